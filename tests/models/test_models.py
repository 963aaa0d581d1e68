"""`load_lm`: folders as the Hub lays them out, and everything that can be wrong with them."""

import json
import os
import re
import shutil

import chex
import disks
import ml_dtypes
import numpy as np
import pytest
import tiny
from flax import nnx
from forall import forall, put
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file
from tokenizers import Tokenizer, pre_tokenizers

from wayjax.errors import WayjaxError
from wayjax.models import FAMILIES, load_lm
from wayjax.projection import d_proj


@pytest.fixture
def folder(model_dir, tmp_path):
  return shutil.copytree(model_dir, tmp_path / "model")


def test_load_lm_yields_model_and_tokenizer(lm, model_dir):
  stored = load_file(model_dir / "model.safetensors")
  assert lm.revision is None
  assert lm.max_positions == tiny.CONFIG.n_positions
  assert lm.tokenizer.decode([lm.tokenizer.eos_token_id]) == tiny.EOS
  assert lm.tokenizer("é ", add_special_tokens=False)["input_ids"]
  # The table ends at the tokenizer's last token; the model's own is longer.
  assert lm.table_VxD.shape == (257, tiny.CONFIG.n_embd)
  np.testing.assert_array_equal(lm.table_VxD, stored["transformer.wte.weight"][:257])
  assert lm.table_VxD is lm.table_VxD  # of a large table no second copy is made


def test_a_model_may_be_named_by_a_path(lm, folder):
  assert load_lm(folder).name == str(folder)
  with pytest.raises(WayjaxError, match="named by a text or a path, not by a NoneType"):
    load_lm(None)


@pytest.mark.parametrize("devices", [0, None, "1"])
def test_a_wrong_number_of_devices_is_refused(folder, devices):
  with pytest.raises(WayjaxError, match="model_parallel must be a whole number of at least 1, not"):
    load_lm(str(folder), model_parallel=devices)


def test_names_without_prefix_load_the_same(lm, folder):
  save_file(tiny.tensors(prefix=""), folder / "model.safetensors")
  chex.assert_trees_all_equal(lm.params, load_lm(str(folder), precision="float32").params)


def test_buffers_and_tied_head_are_ignored(lm, folder):
  extra = {
    "transformer.h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32),
    "transformer.h.1.attn.masked_bias": np.float32([-1e4]),
    "lm_head.weight": np.ones((261, 32), np.float32),
  }
  save_file(tiny.tensors() | extra, folder / "model.safetensors")
  chex.assert_trees_all_equal(lm.params, load_lm(str(folder), precision="float32").params)


def test_a_sharded_index_loads_the_same(lm, folder):
  named = tiny.tensors()
  parts = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
  weight_map = {}
  for i, (name, array) in enumerate(named.items()):
    file = list(parts)[i % 2]
    parts[file][name], weight_map[name] = array, file
  for file, part in parts.items():
    save_file(part, folder / file)
  (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
  (folder / "model.safetensors").unlink()
  chex.assert_trees_all_equal(lm.params, load_lm(str(folder), precision="float32").params)

  (folder / list(parts)[1]).unlink()
  with pytest.raises(WayjaxError, match="model-00002-of-00002"):
    load_lm(str(folder))


def test_every_misfit_is_named_in_one_error(folder):
  named = tiny.tensors()
  del named["transformer.h.0.ln_1.bias"], named["transformer.wpe.weight"]
  named["transformer.h.1.mlp.c_fc.weight"] = np.zeros((3, 5), np.float32)
  named["transformer.adapter.weight"] = np.zeros((2,), np.float32)
  save_file(named, folder / "model.safetensors")
  with pytest.raises(WayjaxError) as error:
    load_lm(str(folder))
  message = str(error.value)
  for part in (
    "missing: h.0.ln_1.bias",
    "missing: wpe.weight",
    "wrong shape: transformer.h.1.mlp.c_fc.weight is (3, 5), expected (32, 128)",
    "not part of this model: transformer.adapter.weight",
  ):
    assert part in message


def test_a_tensor_that_only_the_index_lists_is_named(folder):
  named = tiny.tensors()
  weight_map = dict.fromkeys(named, "model.safetensors")
  del named["transformer.ln_f.bias"]
  save_file(named, folder / "model.safetensors")
  (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
  with pytest.raises(WayjaxError, match=r"missing: transformer\.ln_f\.bias, which the index"):
    load_lm(str(folder))


def test_pickle_weights_are_refused(folder):
  (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
  with pytest.raises(WayjaxError, match=r"pickle .* can run any code .* convert them"):
    load_lm(str(folder))


def test_shards_cannot_point_outside_the_folder(folder, tmp_path):
  save_file(tiny.tensors(), tmp_path / "outside.safetensors")
  weight_map = dict.fromkeys(tiny.tensors(), "../outside.safetensors")
  (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
  with pytest.raises(WayjaxError, match="outside"):
    load_lm(str(folder))


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda f: (f / "config.json").unlink(), "no config.json"),
    (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
    (lambda f: (f / "config.json").write_text("[]"), "does not contain a JSON object"),
    (
      lambda f: tiny.save_config(f, model_type="t5"),
      "type 't5'; supported: gemma2, gemma3, gemma3_text, gpt2",
    ),
    (lambda f: tiny.save_config(f, model_type=["gpt2"]), "type ..gpt2..; supported: gemma2"),
    (lambda f: tiny.save_config(f, n_head=0), "sets n_head to 0"),
    (lambda f: tiny.save_config(f, n_embd="32"), "sets n_embd to '32'"),
    (lambda f: (f / "model.safetensors").unlink(), "contains no weights.*pickle"),
    (lambda f: save_file({}, f / "model.safetensors"), "missing: wte.weight"),
    (lambda f: (f / "model.safetensors").write_bytes(b"123"), "cannot be read as safetensors"),
    (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "is damaged"),
    (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be loaded"),
    (lambda f: tiny.save_config(f, vocab_size=100), "257 tokens, but the model has only 100"),
  ],
)
def test_every_fault_of_a_folder_is_named(folder, damage, message):
  damage(folder)
  with pytest.raises(WayjaxError, match=message):
    load_lm(str(folder))


def test_a_folder_without_tokenizer_files_is_refused(folder):
  for name in ("tokenizer.json", "tokenizer_config.json"):
    (folder / name).unlink()
  with pytest.raises(WayjaxError, match=r"has no tokenizer: it needs tokenizer.json, or vocab"):
    load_lm(str(folder))


def test_a_duplicate_tensor_is_refused(folder):
  save_file(
    tiny.tensors() | {"wpe.weight": np.zeros((160, 32), np.float32)}, folder / "model.safetensors"
  )
  with pytest.raises(WayjaxError, match=r"twice: (transformer\.)?wpe\.weight and "):
    load_lm(str(folder))


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_a_padded_vocabulary_is_never_projected_to(model_type, tmp_path):
  loaded = load_lm(str(tiny.save_model(tmp_path, tiny.CONFIGS[model_type])), precision="float32")
  assert len(loaded.tokenizer) == 257
  table = nnx.merge(loaded.graphdef, loaded.params).embedding_table()
  assert len(table) == 261
  ids = d_proj(table, loaded.table_VxD)  # the last four are padding
  np.testing.assert_array_equal(ids[:257], np.arange(257))
  assert max(ids[257:]) < 257


def test_an_untied_head_is_its_own_tensor(tmp_path):
  config = {**tiny.CONFIGS["gpt2"], "tie_word_embeddings": False}
  named = tiny.tensors(config)
  loaded = load_lm(str(tiny.save_model(tmp_path, config)), precision="float32")
  model = nnx.merge(loaded.graphdef, loaded.params)
  np.testing.assert_array_equal(model.lm_head.weight[...], named["lm_head.weight"])
  np.testing.assert_array_equal(model.embedding_table(), named["transformer.wte.weight"])
  assert loaded.parameters == sum(array.size for array in named.values())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_files_are_read(folder, dtype):
  named = {name: array.astype(dtype) for name, array in tiny.tensors().items()}
  save_file(named, folder / "model.safetensors")
  table = load_lm(str(folder), precision="float32").table_VxD
  np.testing.assert_array_equal(table, named["transformer.wte.weight"][:257].astype(np.float32))


def test_every_family_has_a_tiny_model():
  assert set(tiny.CONFIGS) == set(FAMILIES)


@pytest.mark.parametrize("cls", ["GPT2Tokenizer", "LlamaTokenizer", "PreTrainedTokenizerFast"])
def test_the_tokenizer_is_the_files_whatever_its_class(folder, cls):
  stored = Tokenizer.from_file(str(folder / "tokenizer.json"))
  stored.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(use_regex=False)]
  )
  stored.add_tokens(["20"])  # never made of single digits
  stored.save(str(folder / "tokenizer.json"))
  settings = json.loads((folder / "tokenizer_config.json").read_text())
  (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": cls}))
  tokenizer = load_lm(str(folder), precision="float32").tokenizer
  text = " It was 2019 terrible ."
  assert tokenizer.tokenize(text) == stored.encode(text).tokens
  assert tokenizer.eos_token == tiny.EOS


def test_the_end_of_sequence_of_the_tokenizer_class(folder):
  """GPT-2's files on the Hub name none."""
  settings = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 1024}
  (folder / "tokenizer_config.json").write_text(json.dumps(settings))
  assert load_lm(str(folder), precision="float32").tokenizer.eos_token == tiny.EOS


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.bool_])
def test_weights_that_are_not_floats_are_refused(folder, kind):
  named = tiny.tensors()
  named["transformer.h.0.mlp.c_fc.weight"] = np.ones((32, 128), kind)
  save_file(named, folder / "model.safetensors")
  with pytest.raises(WayjaxError, match=r"contains transformer.h.0.mlp.c_fc.weight as (I|BOOL)"):
    load_lm(str(folder))


def test_weights_in_eight_bits_are_refused(folder):
  whole = (folder / "model.safetensors").read_bytes()
  length = int.from_bytes(whole[:8], "little")
  header = json.loads(whole[8 : 8 + length])
  entry = header["transformer.wpe.weight"]  # F8 takes a quarter of F32's bytes
  entry["dtype"] = "F8_E4M3"
  first, last = entry["data_offsets"]
  quarter = (last - first) // 4
  body = whole[8 + length :]
  body = body[: first + quarter] + body[last:]
  for other in header.values():
    if "data_offsets" in other and other["data_offsets"][0] >= last:
      other["data_offsets"] = [offset - 3 * quarter for offset in other["data_offsets"]]
  entry["data_offsets"] = [first, first + quarter]
  text = json.dumps(header).encode()
  (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
  with pytest.raises(WayjaxError, match=r"contains transformer.wpe.weight as F8_E4M3"):
    load_lm(str(folder))


def test_a_model_that_is_not_causal_is_refused(folder):
  tiny.save_config(folder, is_causal=False)
  with pytest.raises(WayjaxError, match="sets is_causal to False"):
    load_lm(str(folder))


def test_a_folder_with_a_gguf_file_names_what_to_pass(tmp_path):
  (tmp_path / "model.gguf").write_bytes(b"GGUF")
  with pytest.raises(WayjaxError, match=r"no config.json; pass the .gguf file itself"):
    load_lm(str(tmp_path))


def test_quantised_safetensors_are_refused(folder):
  tiny.save_config(folder, quantization_config={"quant_method": "gptq"})
  with pytest.raises(WayjaxError, match=r"sets quantization_config: .*GGUF"):
    load_lm(str(folder))


def test_the_tied_head_counts_once(lm):
  assert lm.parameters == sum(array.size for array in tiny.tensors().values())


def test_a_tokenizer_without_end_of_sequence_is_refused(folder):
  settings = json.loads((folder / "tokenizer_config.json").read_text())
  settings.pop("eos_token")
  (folder / "tokenizer_config.json").write_text(json.dumps(settings))
  with pytest.raises(WayjaxError, match="no end-of-sequence token"):
    load_lm(str(folder))


def test_revision_needs_the_hub(model_dir):
  with pytest.raises(WayjaxError, match="--revision belongs to models on the Hub"):
    load_lm(str(model_dir), revision="main")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "a/b/c"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(name):
  with pytest.raises(WayjaxError, match="does not exist"):
    load_lm(name)


def test_what_may_not_be_read_is_not_called_missing(folder):
  for closed, bits in ((folder.parent, 0), (folder, 0o644)):
    with disks.mode(closed, bits), disks.as_nobody():
      for path in (folder, folder / "model.gguf"):
        with pytest.raises(WayjaxError, match="cannot be read: Permission denied"):
          load_lm(str(path))


NAMED = tiny.tensors()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nan_in_an_unused_row_is_refused_by_name(folder, value, precision):
  """Row 260 is padding, which no text ever reads; the table's mean would be wrong all the same."""
  table = NAMED["transformer.wte.weight"].copy()
  table[260, 3] = value
  save_file(NAMED | {"transformer.wte.weight": table}, folder / "model.safetensors")
  message = (
    rf"the weights contain {value} \(transformer\.wte\.weight, row 260\), with which nothing"
  )
  with pytest.raises(WayjaxError, match=message):
    load_lm(str(folder), precision=precision)


@forall(
  10,
  name=st.sampled_from(sorted(NAMED)),
  place=st.integers(0, 10**6),
  value=st.sampled_from([np.nan, np.inf, -np.inf]),
  dtype=st.sampled_from([np.float64, np.float32, np.float16, ml_dtypes.bfloat16]),
  precision=st.sampled_from(["float32", "bfloat16"]),
)
def test_a_number_that_is_not_finite_is_found_in_any_tensor_of_any_type(
  folder, name, place, value, dtype, precision
):
  named = {key: array.astype(dtype) for key, array in NAMED.items()}
  at = np.unravel_index(place % named[name].size, named[name].shape)
  named[name][at] = value
  put(folder / "model.safetensors", save(named))
  place = f"{'row' if named[name].ndim > 1 else 'place'} {at[0]}"
  with pytest.raises(WayjaxError, match=rf"contain {value} \({re.escape(name)}, {place}\), with"):
    load_lm(str(folder), precision=precision)


@pytest.mark.parametrize(
  ("dtype", "largest", "precision", "name"),
  [
    (np.float64, 1e39, "float32", "transformer.wte.weight"),
    (np.float32, 3.4e38, "bfloat16", "transformer.h.1.mlp.c_fc.weight"),
  ],
)
def test_a_number_beyond_the_compute_type_is_refused_by_name(
  folder, dtype, largest, precision, name
):
  named = {key: array.astype(dtype) for key, array in NAMED.items()}
  named[name][5, 1] = largest
  save_file(named, folder / "model.safetensors")
  message = rf"contain {largest:g} \({re.escape(name)}, row 5\), which is beyond {precision}"
  with pytest.raises(WayjaxError, match=re.escape(message).replace(r"\\", "")):
    load_lm(str(folder), precision=precision)


def test_what_is_not_loaded_may_hold_anything(folder):
  buffer = {"transformer.h.0.attn.masked_bias": np.float32([-np.inf])}
  save_file(NAMED | buffer, folder / "model.safetensors")
  load_lm(str(folder), precision="float32")


def test_a_pipe_as_a_shard_is_refused_and_nothing_waits_for_it(folder):
  (folder / "model.safetensors").unlink()
  os.mkfifo(folder / "model-1.safetensors")
  weight_map = dict.fromkeys(NAMED, "model-1.safetensors")
  (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
  with pytest.raises(WayjaxError, match=r"model-1\.safetensors .* it is not a regular file"):
    load_lm(str(folder))


@pytest.mark.parametrize(
  "name", ["config.json", "model.safetensors", "model.safetensors.index.json"]
)
def test_a_pipe_in_place_of_a_file_never_hangs(folder, name):
  (folder / name).unlink(missing_ok=True)
  os.mkfifo(folder / name)
  if name.endswith("index.json"):
    load_lm(str(folder), precision="float32")  # one file is enough
  else:
    with pytest.raises(WayjaxError, match=r"has no config.json|contains no weights"):
      load_lm(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_json_beyond_all_bounds_is_not_read(folder, name):
  with (folder / name).open("ab") as file:
    file.truncate(2**40)  # it takes no room
  with pytest.raises(WayjaxError, match=r"json cannot be read: it has more than 16 MiB"):
    load_lm(str(folder))


def test_a_safetensors_file_may_not_say_much_more_than_it_holds(folder):
  whole = (folder / "model.safetensors").read_bytes()
  length = int.from_bytes(whole[:8], "little")
  filled = whole[8 : 8 + length] + b" " * 2**24  # each tensor that is read would read it again
  (folder / "model.safetensors").write_bytes(
    len(filled).to_bytes(8, "little") + filled + whole[8 + length :]
  )
  with pytest.raises(WayjaxError, match="says of its tensors takes more than 16 MiB"):
    load_lm(str(folder))
