"""`load_prompt`: run folders, files, PEFT folders and the Hub; and which model a prompt is of."""

import json
import os

import bucket
import disks
import numpy as np
import pytest
import tiny
from forall import put
from safetensors.numpy import save, save_file

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.prompt_files import load_prompt
from wayjax.prompts import SoftPrompt
from wayjax.results.writer import RunWriter


@pytest.fixture
def vectors(rng) -> np.ndarray:
  return rng.normal(size=(3, 32)).astype(np.float32)


def write_run(place, prompts: dict, **resolved):
  writer = RunWriter.begin(place)
  writer.write_config({"model": "someone/tiny", "resolved": resolved})
  writer.append_rows([], prompts)
  return writer.path


def save_peft(folder, vectors, **changes):
  folder.mkdir()
  config = {
    "base_model_name_or_path": "someone/tiny",
    "num_virtual_tokens": len(vectors),
    "peft_type": "PROMPT_TUNING",
    "task_type": "CAUSAL_LM",
  }
  (folder / "adapter_config.json").write_text(json.dumps(config | changes))
  save_file({"prompt_embeddings": vectors}, folder / "adapter_model.safetensors")
  return folder


KEYS = ["ni/a/gamma=0.01/seed=1", "ni/a/gamma=0.01/seed=10", "ni/b/gamma=0/seed=1"]


class TestRunFolder:
  @pytest.mark.parametrize("on_gs", [False, True])
  def test_a_key_names_the_prompt(self, tmp_path, monkeypatch, vectors, on_gs):
    bucket.install(monkeypatch)
    path = write_run(
      "gs://bucket/run" if on_gs else tmp_path / "run",
      {key: vectors + i for i, key in enumerate(KEYS)},
      targets=["ni/a", "ni/b"],
      target_texts=["read me", "or me"],
      before="<s>",
      after="Say:",
    )
    prompt = load_prompt(path, key=KEYS[1])
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors + 1)
    assert (prompt.model, prompt.reads_as) == ("someone/tiny", Target("ni", "a", "read me"))
    assert (prompt.before, prompt.after) == ("<s>", "Say:")
    assert prompt.origin == {"run": str(path), "key": KEYS[1]}

  def test_without_a_key_it_is_the_only_one(self, tmp_path, vectors):
    path = write_run(tmp_path / "one", {KEYS[0]: vectors})
    np.testing.assert_array_equal(load_prompt(path).vectors_PxD, vectors)
    path = write_run(tmp_path / "three", dict.fromkeys(KEYS, vectors))
    with pytest.raises(WayjaxError, match=r"holds 3 prompts: give the key of one, such as 'ni/a/g"):
      load_prompt(path)

  def test_a_key_that_is_not_there_brings_near_ones(self, tmp_path, vectors):
    path = write_run(tmp_path / "run", dict.fromkeys(KEYS, vectors))
    with pytest.raises(
      WayjaxError, match=r"has no prompt 'ni/b/gamma=0': .* are 'ni/b/gamma=0/see"
    ):
      load_prompt(path, key="ni/b/gamma=0")

  def test_a_run_without_prompts_and_one_that_diverged(self, tmp_path, vectors):
    with pytest.raises(WayjaxError, match="holds no prompt yet: none of its members has finished"):
      load_prompt(write_run(tmp_path / "none", {}))
    vectors[1, 1] = np.nan
    with pytest.raises(WayjaxError, match="not finite, as after a training that diverged"):
      load_prompt(write_run(tmp_path / "lost", {"a": vectors}))


class TestPlaces:
  def test_a_folder_that_was_exported(self, tmp_path, vectors):
    save_file({"prompt": vectors}, tmp_path / "prompt.safetensors")
    prompt = load_prompt(tmp_path, model="gpt2")
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)

  def test_a_peft_folder_of_the_hub_from_the_cache(self, hub_cache, vectors):
    home = tiny.cached_repo(hub_cache, "model", "someone/prompt")
    for path in save_peft(hub_cache / "made", vectors).iterdir():
      put(home / path.name, path.read_bytes())
    prompt = load_prompt("someone/prompt")
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
    assert prompt.model == "someone/tiny"

  def test_what_is_not_cached_is_asked_for_without_pickles(self, monkeypatch):
    asked = []

    def snapshot(*args):
      asked.append(args)
      raise WayjaxError("asked")

    monkeypatch.setattr("wayjax.prompt_files.hub.snapshot", snapshot)
    with pytest.raises(WayjaxError, match="asked"):
      load_prompt("someone/prompt", revision="v1")
    ((name, kind, revision, patterns, is_complete),) = asked
    assert (name, kind, revision) == ("someone/prompt", "model", "v1")
    assert patterns == ["adapter_config.json", "adapter_model.safetensors", "README.md"]
    assert is_complete.__name__ == "is_complete"

  @pytest.mark.parametrize(
    ("name", "options", "message"),
    [
      (
        "none",
        {},
        "there is no soft prompt at .*none: give a run folder, a PEFT folder or its name",
      ),
      ("none.safetensors", {}, "there is no soft prompt at"),
      ("none/some.npy", {}, "there is no soft prompt at none/some.npy"),
      ("some/run", {"key": "a"}, "there is no soft prompt at some/run"),
      ("none/adapter_model.bin", {}, "may be a pickle file"),
      (".", {}, "holds no soft prompt: it has no config.json of a run, no adapter_config.json of"),
    ],
  )
  def test_where_there_is_nothing(self, tmp_path, monkeypatch, name, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WayjaxError, match=message):
      load_prompt(name, **options)

  @pytest.mark.parametrize(
    ("home", "options", "message"),
    [
      ("peft", {"key": "a"}, "key belongs to run folders, and .*peft is none"),
      ("x.safetensors", {"key": "a"}, "key belongs to run folders"),
      ("run", {"tensor": "a"}, "tensor belongs to files of tensors, and .*run is none"),
      ("peft", {"tensor": "a"}, "tensor belongs to files of tensors"),
      ("run", {"revision": "v1"}, "revision belongs to PEFT folders on the Hub"),
      ("peft", {"revision": "v1"}, "revision belongs to PEFT folders on the Hub"),
    ],
  )
  def test_what_belongs_elsewhere_is_refused(self, tmp_path, vectors, home, options, message):
    write_run(tmp_path / "run", {"a": vectors})
    save_peft(tmp_path / "peft", vectors)
    save_file({"a": vectors}, tmp_path / "x.safetensors")
    with pytest.raises(WayjaxError, match=message):
      load_prompt(tmp_path / home, **options)

  @pytest.mark.parametrize("name", ["key", "tensor", "revision"])
  def test_arguments_of_another_kind_are_named(self, tmp_path, vectors, name):
    write_run(tmp_path / "run", {"a": vectors})
    with pytest.raises(WayjaxError, match=f"{name} must be a text, not a value of type int"):
      load_prompt(tmp_path / "run", **{name: 7})
    with pytest.raises(WayjaxError, match="path must be a path, not a value of type NoneType"):
      load_prompt(None)

  def test_what_may_not_be_read_is_a_sentence(self, tmp_path, vectors):
    save_file({"prompt": vectors}, tmp_path / "prompt.safetensors")
    with disks.mode(tmp_path, 0), disks.as_nobody():
      for path in (tmp_path, tmp_path / "prompt.safetensors", tmp_path / "nothing"):
        with pytest.raises(WayjaxError, match=r"cannot be read.*Permission denied"):
          load_prompt(path, model="gpt2")
    with pytest.raises(WayjaxError, match="cannot be read: File name too long"):
      load_prompt("a" * 300)

  def test_named_pipes_are_not_waited_for(self, tmp_path):
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(WayjaxError, match="there is no soft prompt at"):
      load_prompt(tmp_path / "x.safetensors", model="gpt2")
    os.mkfifo(tmp_path / "adapter_config.json")
    with pytest.raises(WayjaxError, match=r"adapter_config\.json cannot be read: it is not a regu"):
      load_prompt(tmp_path)


class TestModel:
  """A prompt belongs to one model: whoever names another is told so."""

  @pytest.fixture(params=["run", "peft", "file"])
  def place(self, request, tmp_path, vectors):
    path = tmp_path / request.param
    if request.param == "run":
      return write_run(path, {"a": vectors})
    if request.param == "peft":
      return save_peft(path, vectors)
    path = path.with_suffix(".safetensors")
    save_file({"a": vectors}, path, {"wayjax": json.dumps({"model": "someone/tiny"})})
    return path

  @pytest.mark.parametrize("name", ["someone/tiny", "/elsewhere/tiny", "tiny"])
  def test_the_same_name_is_the_same_model(self, place, name):
    assert load_prompt(place).model == "someone/tiny"
    assert load_prompt(place, model=name).model == name

  @pytest.mark.parametrize("name", ["someone/Tiny", "someone", "tiny-2", "other/tiny2"])
  def test_another_name_is_another_model(self, place, name):
    with pytest.raises(
      WayjaxError, match=rf"a prompt of 'someone/tiny', not of '{name}': leave model out, or"
    ):
      load_prompt(place, model=name)

  @pytest.mark.parametrize("model", ["", 7, ["gpt2"]])
  def test_a_model_is_a_name_or_what_was_loaded(self, place, model):
    with pytest.raises(WayjaxError, match=r"model must be (the|a) name"):
      load_prompt(place, model=model)

  def test_a_file_that_names_none_needs_one(self, tmp_path, vectors):
    path = put(tmp_path / "x.safetensors", save({"x": vectors}))
    with pytest.raises(WayjaxError, match="does not name the model that its prompt belongs to: gi"):
      load_prompt(path)
    assert load_prompt(path, model="gpt2").model == "gpt2"

  def test_a_loaded_model_is_compared_by_its_weights(self, tmp_path, vectors, lm):
    same = write_run(tmp_path / "same", {"a": vectors}, weights_sha256=lm.weights_sha256)
    assert load_prompt(same, model=lm).model == lm.name  # whatever the run called it
    other = write_run(tmp_path / "other", {"a": vectors}, weights_sha256="0" * 64)
    with pytest.raises(WayjaxError, match="of 'someone/tiny' with other weights than those of"):
      load_prompt(other, model=lm)
    with pytest.raises(
      WayjaxError, match=r"give model=load_lm\(\.\.\.\), which is compared by its"
    ):
      load_prompt(other, model="else")

  def test_a_loaded_model_has_the_width(self, tmp_path, lm):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.ones((3, 4), np.float32)}, path)
    with pytest.raises(
      WayjaxError, match=r"a prompt of width 4 does not fit .*, whose width is 32"
    ):
      load_prompt(path, model=lm)
    assert load_prompt(path, model="any").width == 4


RECORD = {
  "model": "gpt2",
  "reads_as": {"group": "ni", "name": "a", "text": "read me"},
  "before": "<s>",
  "after": "",
  "weights_sha256": None,
}


class TestMetadata:
  def test_what_wayjax_says_is_read_back(self, tmp_path, vectors):
    path = tmp_path / "x.safetensors"
    save_file({"a": vectors}, path, {"format": "pt", "wayjax": json.dumps(RECORD)})
    prompt = load_prompt(path)
    assert (prompt.model, prompt.before, prompt.after) == ("gpt2", "<s>", "")
    assert prompt.reads_as == Target("ni", "a", "read me")
    assert prompt.origin == {"file": str(path), "tensor": "a", "wayjax": RECORD}

  @pytest.mark.parametrize(
    ("text", "message"),
    [
      ("{", "is damaged"),
      ("[]", "is damaged: it is not a JSON object"),
      ('{"model": 7}', "is damaged: model cannot be 7"),
      ('{"reads_as": "a text"}', 'is damaged: reads_as cannot be "a text"'),
      ('{"reads_as": {"name": "a"}}', "is damaged: it lacks group"),
      ('{"before": ["<s>"]}', "is damaged: before cannot be"),
      ('{"holds": "prompt and input"}', "holds a prompt together with an input"),
      ("[" * 100_000, "is damaged"),
    ],
  )
  def test_what_is_damaged_is_refused(self, tmp_path, vectors, text, message):
    path = tmp_path / "x.safetensors"
    save_file({"a": vectors}, path, {"wayjax": text})
    with pytest.raises(WayjaxError, match=message):
      load_prompt(path, model="gpt2")


def test_a_prompt_is_a_soft_prompt(tmp_path, vectors):
  path = put(tmp_path / "x.safetensors", save({"x": vectors}))
  assert isinstance(load_prompt(str(path), model="gpt2"), SoftPrompt)
