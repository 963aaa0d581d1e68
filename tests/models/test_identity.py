"""The hash of a model: what it depends on, what it does not, and when it is remembered."""

import json
import os
import time

import gguf
import ml_dtypes
import numpy as np
import pytest
import tiny
from forall import forall
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from wayjax import hub
from wayjax.models import identity, load_lm
from wayjax.models.gpt2 import GPT2Config
from wayjax.models.identity import WeightsHash, tokenizer_sha256

NAMED = tiny.tensors()


@pytest.fixture
def folder(tmp_path):
  return tiny.save_model(tmp_path / "model")


def of(folder, precision="float32") -> str:
  return load_lm(str(folder), precision=precision).weights_sha256


@forall(8, name=st.sampled_from(sorted(NAMED)), place=st.integers(0, 10**6))
def test_every_number_of_every_tensor_counts(tmp_path, name, place):
  folder = tiny.save_model(tmp_path / "model")
  before = of(folder)
  changed = NAMED[name].copy()
  changed.flat[place % changed.size] += 1
  save_file(NAMED | {name: changed}, folder / "model.safetensors")
  assert of(folder) != before


def test_layers_of_zeros_are_another_model_though_the_embeddings_are_the_same(folder):
  before = of(folder)
  zeroed = {name: array * (0 if ".h." in name else 1) for name, array in NAMED.items()}
  save_file(zeroed, folder / "model.safetensors")
  assert of(folder) != before


@pytest.mark.parametrize("option", [{"n_head": 2}, {"layer_norm_epsilon": 1e-3}])
def test_hyper_parameters_count(folder, option):
  before = of(folder)
  tiny.save_config(folder, **option)
  assert of(folder) != before


def test_the_compute_type_the_files_and_what_is_not_computed_with_do_not_count(folder):
  before = of(folder)
  assert of(folder, "bfloat16") == before
  tiny.save_config(folder, transformers_version="99", torch_dtype="bfloat16")
  buffer = {"transformer.h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32)}
  unprefixed = {name.removeprefix("transformer."): array for name, array in NAMED.items()}
  save_file(unprefixed | buffer, folder / "model.safetensors", {"a": "b"})
  assert of(folder) == before
  weight_map = {}
  for i, (name, array) in enumerate(NAMED.items()):
    weight_map[name] = f"model-{i}.safetensors"
    save_file({name: array}, folder / weight_map[name])
  (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
  assert of(folder) == before


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_every_stored_type_is_hashed(folder, dtype):
  before = of(folder)
  named = {name: array.astype(dtype) for name, array in NAMED.items()}
  save_file(named, folder / "model.safetensors")
  changed = of(folder)
  assert changed != before
  assert of(folder, "bfloat16") == changed


def test_quantised_tensors_are_hashed(tmp_path):
  stored = {tensor.name: tensor for tensor in gguf.GGUFReader(tiny.GGUF_LLAMA).tensors}
  tensor = stored["blk.0.ffn_up.weight"]
  changed = gguf.dequantize(tensor.data, tensor.tensor_type).copy()
  same = of(tiny.rewrite_gguf(tmp_path / "same.gguf"))
  assert same == of(tiny.GGUF_LLAMA)
  changed[0, 0] += 1
  path = tiny.rewrite_gguf(tmp_path / "other.gguf", tensors={tensor.name: changed})
  assert of(path) != same


def test_options_that_a_later_version_adds_change_no_hash_and_last_digits_do_not_either():
  assert identity._settings(GPT2Config()) == {}
  assert identity._rounded((0.1 + 0.2, 1)) == identity._rounded((0.3, 1))


class TestWhatIsRemembered:
  """A hash is remembered for files that have settled; here all are large and none is young."""

  @pytest.fixture(autouse=True)
  def cache(self, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "_LARGE", 0)
    monkeypatch.setattr(identity, "_SETTLED", -1.0)
    return hub.user_cache() / "weights"

  @pytest.fixture
  def path(self, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"as it was")
    return path

  def take(self, content: float, *paths) -> str:
    found = WeightsHash(GPT2Config(), paths)
    found.add("a", (3,), np.full(3, content, np.float32))
    return found.hexdigest()

  def test_files_that_stay_are_not_hashed_again(self, path, cache, tmp_path):
    first = self.take(1, path)
    assert [kept.read_text() for kept in cache.iterdir()] == [first]
    assert self.take(2, path) == first
    (tmp_path / "other").write_bytes(b"as it was")
    assert self.take(2, tmp_path / "other") != first

  def test_links_are_known_by_what_they_lead_to(self, path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    assert self.take(2, tmp_path / "link") == self.take(1, path)

  @pytest.mark.parametrize("change", ["written", "replaced", "moved", "another", "settings"])
  def test_files_that_change_are_hashed_again_even_if_size_and_time_stay(
    self, path, tmp_path, change
  ):
    times = os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns
    first, paths, settings = self.take(1, path), [path], GPT2Config()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    if change == "written":
      path.write_bytes(b"as it is!")
    elif change == "replaced":
      (tmp_path / "other").write_bytes(b"as it is!")
      (tmp_path / "other").replace(path)
    elif change == "moved":
      paths = [path.rename(tmp_path / "elsewhere")]
    elif change == "another":
      paths.append(tmp_path / "second")
      paths[-1].write_bytes(b"more")
    else:
      settings = GPT2Config(n_head=2)
    os.utime(paths[0], ns=times)
    found = WeightsHash(settings, paths)
    found.add("a", (3,), np.full(3, 2, np.float32))
    assert found.hexdigest() != first

  def test_a_file_that_has_just_changed_is_not_remembered(self, path, cache, monkeypatch):
    monkeypatch.setattr(identity, "_SETTLED", 60.0)
    self.take(1, path)
    assert not cache.exists()

  def test_small_files_are_not_remembered(self, path, cache, monkeypatch):
    monkeypatch.setattr(identity, "_LARGE", 2**28)
    self.take(1, path)
    assert not cache.exists()

  @pytest.mark.parametrize("content", [b"", b"x" * 64, b"\xff" * 64, b"0" * 63])
  def test_a_damaged_memory_is_ignored(self, path, cache, content):
    first = self.take(1, path)
    (kept,) = cache.iterdir()
    kept.write_bytes(content)
    assert self.take(1, path) == first
    assert kept.read_text() == first

  def test_without_a_cache_everything_is_hashed(self, path, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert self.take(1, path) != self.take(2, path)

  def test_without_a_home_everything_is_hashed(self, path, monkeypatch):
    def fail():
      raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(hub.Path, "home", fail)
    assert self.take(1, path) != self.take(2, path)

  def test_a_model_is_loaded_with_what_is_remembered(self, folder, monkeypatch):
    first = of(folder)
    monkeypatch.setattr(np, "ascontiguousarray", lambda array: pytest.fail("hashed again"))
    assert of(folder) == first


class TestTokenizer:
  def changed(self, folder, **changes) -> str:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return tokenizer_sha256(load_lm(str(folder), precision="float32").tokenizer)

  def test_what_changes_ids_or_texts_counts(self, folder):
    stored = json.loads((folder / "tokenizer.json").read_text())
    model = stored["model"]
    swapped = dict(model["vocab"])
    swapped["a"], swapped["b"] = swapped["b"], swapped["a"]
    merged = {**model, "vocab": model["vocab"] | {"th": 257}, "merges": [["t", "h"]]}
    unmerged = {**model, "vocab": model["vocab"] | {"th": 257}}
    hashes = [
      self.changed(folder),
      self.changed(folder, model={**model, "vocab": swapped}),
      self.changed(folder, model=unmerged),
      self.changed(folder, model=merged),
      self.changed(folder, model=model, normalizer={"type": "Lowercase"}),
      self.changed(folder, normalizer=None, decoder=None),
    ]
    assert len(set(hashes)) == len(hashes)
    assert self.changed(folder, **stored) == hashes[0]

  def test_how_its_file_is_written_does_not_count(self, folder):
    before = self.changed(folder)
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": tiny.EOS}
    assert self.changed(folder, version="1.0", padding=padding) == before
    again = Tokenizer.from_file(str(folder / "tokenizer.json"))
    again.save(str(folder / "tokenizer.json"), pretty=False)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ messages }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert self.changed(folder) == before

  def test_versions_of_the_library_that_write_it_otherwise_give_one_hash(self, lm):
    def hash_of(state):
      backend = type("Backend", (), {"to_str": lambda self: json.dumps(state)})()
      names = {"backend_tokenizer": backend, "eos_token_id": 0}
      return tokenizer_sha256(type("Tokenizer", (), names)())

    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    first = hash_of({"model": model, "normalizer": None})
    later = {**model, "merges": ["a b"], "ignore_merges": False, "dropout": None}
    assert hash_of({"model": later, "added_tokens": [], "post_processor": 1}) == first
    assert hash_of({"model": {**later, "ignore_merges": True}}) != first
