"""Soft prompts from anywhere: arrays, texts, safetensors files, PEFT folders, run folders."""

import dataclasses
import json
import os

import disks
import ml_dtypes
import numpy as np
import pytest
from forall import DEEP, EDITS, HEADER_EDITS, JSON_BYTES, damage, edit_header, forall, outcome, put
from hypothesis import example
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.projection import c_proj
from wayjax.prompts import SoftPrompt, load_prompt, text_prompt
from wayjax.results.folder import read_run
from wayjax.results.writer import RunWriter


@pytest.fixture
def vectors(rng) -> np.ndarray:
  """Numbers that every type of a file holds without rounding."""
  return rng.integers(-8, 8, (3, 4)).astype(np.float32) / 4


class TestSoftPrompt:
  def test_it_has_a_length_and_a_width(self, vectors):
    prompt = SoftPrompt(vectors, "gpt2")
    assert (len(prompt), prompt.width) == (3, 4)
    assert prompt.vectors_PxD.dtype == np.float32
    assert (prompt.model, prompt.reads_as, prompt.origin) == ("gpt2", None, {})

  def test_it_cannot_be_changed(self, vectors):
    prompt = SoftPrompt(vectors, "gpt2")
    with pytest.raises(dataclasses.FrozenInstanceError):
      prompt.model = "other"
    with pytest.raises(ValueError, match="read-only"):
      prompt.vectors_PxD[0, 0] = 7
    before = prompt.vectors_PxD.copy()
    vectors += 1  # nor by what it was made from
    np.testing.assert_array_equal(prompt.vectors_PxD, before)

  @pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int32])
  def test_numbers_of_any_type_become_float32(self, vectors, dtype):
    whole = (vectors * 4).astype(dtype)
    np.testing.assert_array_equal(SoftPrompt(whole, "gpt2").vectors_PxD, vectors * 4)
    assert SoftPrompt([[1, 2], [3, 4]], "gpt2").vectors_PxD.dtype == np.float32

  def test_a_broken_prompt_can_be_held(self):
    assert np.isnan(SoftPrompt([[np.nan]], "gpt2").vectors_PxD).all()  # so that it can be measured

  @pytest.mark.parametrize("shape", [(), (4,), (0, 4), (4, 0), (2, 3, 4)])
  def test_other_shapes_are_refused(self, shape):
    with pytest.raises(WayjaxError) as error:
      SoftPrompt(np.zeros(shape), "gpt2")
    assert str(error.value) == f"a soft prompt has the shape (tokens, width), not {shape}"

  @pytest.mark.parametrize("value", [[[1.0], [2.0, 3.0]], "text", [["a"]], None, {}, [[10**400]]])
  def test_what_is_not_a_matrix_of_numbers_is_refused(self, value):
    with pytest.raises(WayjaxError, match=r"a soft prompt (is made of numbers|has the shape)"):
      SoftPrompt(value, "gpt2")

  def test_no_part_of_a_number_is_dropped(self):
    with pytest.raises(WayjaxError, match="made of numbers: these are complex"):
      SoftPrompt(np.zeros((2, 4), complex), "gpt2")

  def test_what_it_reads_as_is_a_target(self, vectors):
    with pytest.raises(WayjaxError, match="reads_as must be a Target, not a value of type str"):
      SoftPrompt(vectors, "gpt2", "a text")


class TestText:
  def test_a_text_is_the_embeddings_of_its_tokens(self, lm):
    prompt = text_prompt(lm, "read me")
    ids = lm.tokenizer("read me", add_special_tokens=False)["input_ids"]
    np.testing.assert_array_equal(prompt.vectors_PxD, c_proj(np.array(ids), lm.table_VxD))
    assert prompt.reads_as.text == "read me"
    assert prompt.model == lm.name
    assert prompt.origin == {"text": "read me"}

  def test_the_model_is_one_that_was_loaded(self):
    with pytest.raises(
      WayjaxError, match="lm must be what load_lm returns, not a value of type st"
    ):
      text_prompt("tiny", "read me")

  def test_a_target_stays_what_it_is(self, lm):
    target = Target("ni", "t1", "or me")
    prompt = text_prompt(lm, target)
    assert prompt.reads_as is target
    np.testing.assert_array_equal(prompt.vectors_PxD, text_prompt(lm, "or me").vectors_PxD)

  def test_a_text_without_tokens_is_refused(self, lm):
    with pytest.raises(WayjaxError, match="target 'none' has no tokens: give it some text"):
      text_prompt(lm, Target("ni", "none", ""))


class TestFile:
  @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
  def test_its_only_tensor_is_the_prompt(self, tmp_path, vectors, dtype):
    path = tmp_path / "prompt.safetensors"
    save_file({"any name": vectors.astype(dtype)}, path)
    prompt = load_prompt(path, model="gpt2")
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
    assert prompt.vectors_PxD.dtype == np.float32
    assert (prompt.model, prompt.reads_as) == ("gpt2", None)
    assert prompt.origin == {"file": str(path), "tensor": "any name"}
    assert load_prompt(str(path), model="gpt2").origin == prompt.origin

  def test_of_several_tensors_one_is_named(self, tmp_path, vectors):
    path = tmp_path / "prompts.safetensors"
    save_file({"b": vectors, "a": vectors + 1, "c": vectors, "d": vectors}, path)
    found = load_prompt(path, model="gpt2", tensor="a")
    np.testing.assert_array_equal(found.vectors_PxD, vectors + 1)
    with pytest.raises(WayjaxError, match=r"holds 4 tensors \(a, b, c\): name the one that is"):
      load_prompt(path, model="gpt2")
    with pytest.raises(WayjaxError, match="has no tensor 'e': it holds a, b, c"):
      load_prompt(path, model="gpt2", tensor="e")

  @pytest.mark.parametrize(
    ("array", "message"),
    [
      (np.zeros((3, 4), np.int32), r"holds 'x' as int32 \(3, 4\), which is not a soft prompt"),
      (np.zeros((3, 4), bool), "holds 'x' as bool"),
      (np.zeros((3, 4), np.complex64), "holds 'x' as complex64"),
      (np.zeros(4, np.float32), r"holds 'x' as float32 \(4,\)"),
      (np.zeros((1, 3, 4), np.float32), r"holds 'x' as float32 \(1, 3, 4\)"),
      (np.zeros((0, 4), np.float32), r"holds 'x' as float32 \(0, 4\)"),
      (np.array([[1, np.nan]], np.float32), "holds 'x' with numbers that are not finite"),
      (np.array([[1, np.inf]], np.float16), "holds 'x' with numbers that are not finite"),
    ],
  )
  def test_what_is_not_a_prompt_is_refused(self, tmp_path, array, message):
    path = tmp_path / "x.safetensors"
    save_file({"x": array}, path)
    with pytest.raises(WayjaxError, match=message):
      load_prompt(path, model="gpt2")

  def test_the_model_must_be_named(self, tmp_path, vectors):
    path = tmp_path / "x.safetensors"
    save_file({"x": vectors}, path)
    with pytest.raises(WayjaxError, match="does not name the model that its prompt belongs to"):
      load_prompt(path)

  def test_a_file_must_be_there_and_be_safetensors(self, tmp_path):
    with pytest.raises(
      WayjaxError, match=r"there is no soft prompt at .*: give a safetensors file"
    ):
      load_prompt(tmp_path / "none", model="gpt2")
    with pytest.raises(WayjaxError, match="cannot be read as safetensors"):
      load_prompt(put(tmp_path / "x.safetensors", b"PK\3\4 a pickle"), model="gpt2")
    with pytest.raises(WayjaxError, match="holds 0 tensors"):
      load_prompt(put(tmp_path / "x.safetensors", save({})), model="gpt2")


PEFT = {
  "base_model_name_or_path": "gpt2",
  "num_virtual_tokens": 3,
  "peft_type": "PROMPT_TUNING",
  "task_type": "CAUSAL_LM",
}


def save_peft(folder, vectors, name="prompt_embeddings", **changes):
  folder.mkdir()
  config = {k: v for k, v in {**PEFT, **changes}.items() if v is not ...}
  (folder / "adapter_config.json").write_text(json.dumps(config))
  save_file({name: vectors}, folder / "adapter_model.safetensors")
  return folder

  def test_what_may_not_be_read_is_a_sentence(self, tmp_path, vectors):
    save_file({"prompt": vectors}, tmp_path / "prompt.safetensors")
    with disks.mode(tmp_path, 0), disks.as_nobody():
      for path in (tmp_path, tmp_path / "prompt.safetensors", tmp_path / "nothing"):
        with pytest.raises(WayjaxError, match=r"cannot be read.*Permission denied"):
          load_prompt(path, model="gpt2")
    with pytest.raises(WayjaxError, match="cannot be read: File name too long"):
      load_prompt("a" * 300)


class TestPeftFolder:
  def test_it_names_its_model(self, tmp_path, vectors):
    folder = save_peft(tmp_path / "peft", vectors)
    prompt = load_prompt(folder)
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
    assert (prompt.model, prompt.reads_as) == ("gpt2", None)
    assert prompt.origin == {"folder": str(folder), **PEFT}

  @pytest.mark.parametrize(
    ("changes", "message"),
    [
      ({"peft_type": "LORA"}, "sets peft_type to 'LORA': wayjax reads PROMPT_TUNING only"),
      ({"peft_type": ...}, "sets peft_type to None"),
      ({"task_type": "SEQ_2_SEQ_LM"}, "sets task_type to 'SEQ_2_SEQ_LM': wayjax reads CAUSAL_LM"),
      ({"base_model_name_or_path": ...}, "names no base_model_name_or_path"),
      ({"base_model_name_or_path": ""}, "names no base_model_name_or_path"),
      ({"base_model_name_or_path": 7}, "names no base_model_name_or_path"),
      ({"name": "other"}, "has no tensor 'prompt_embeddings': it holds other"),
    ],
  )
  def test_other_adapters_are_refused(self, tmp_path, vectors, changes, message):
    with pytest.raises(WayjaxError, match=message):
      load_prompt(save_peft(tmp_path / "peft", vectors, **changes))

  def test_its_files_must_be_there(self, tmp_path, vectors):
    folder = save_peft(tmp_path / "peft", vectors)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(WayjaxError, match="does not open pickle files; save the adapter with PEFT"):
      load_prompt(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(
      WayjaxError, match=r"is not a PEFT folder: .*for a run folder, use read_run"
    ):
      load_prompt(folder)

  def test_its_configuration_must_be_an_object(self, tmp_path, vectors):
    folder = save_peft(tmp_path / "peft", vectors)
    put(folder / "adapter_config.json", b"[1]")
    with pytest.raises(WayjaxError, match="does not contain a JSON object"):
      load_prompt(folder)

  def test_peft_itself_writes_such_folders(self, model_dir, tmp_path):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base = transformers.AutoModelForCausalLM.from_pretrained(model_dir)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    adapted = peft.get_peft_model(base, config)
    adapted.save_pretrained(tmp_path / "peft")
    prompt = load_prompt(tmp_path / "peft")
    weight = adapted.prompt_encoder["default"].embedding.weight
    np.testing.assert_array_equal(prompt.vectors_PxD, weight.detach().numpy())
    assert prompt.model == str(model_dir)


WHOLE = save(
  {
    "p": np.arange(12, dtype=np.float32).reshape(3, 4),
    "q": np.ones((2, 4), ml_dtypes.bfloat16),
  }
)


def check_file(folder, content, tensor):
  path = put(folder / "prompt.safetensors", content)
  prompt = outcome(load_prompt, path, model="gpt2", tensor=tensor)
  if prompt is not None:
    assert prompt.vectors_PxD.ndim == 2
    assert np.isfinite(prompt.vectors_PxD).all()


@forall(60, edits=EDITS, tensor=st.sampled_from(["p", "q", None]))
def test_a_damaged_file(tmp_path, edits, tensor):
  check_file(tmp_path, damage(WHOLE, edits), tensor)


@forall(60, edits=HEADER_EDITS, tensor=st.sampled_from(["p", "q", None]))
@example(edits=[(0, "dtype", "F4")], tensor="p")
@example(edits=[(0, "shape", [2**63, 4])], tensor="p")
def test_a_file_with_any_header(tmp_path, edits, tensor):
  check_file(tmp_path, edit_header(WHOLE, edits), tensor)


@forall(60, content=st.binary() | JSON_BYTES)
@example(content=DEEP)
@example(content=json.dumps({**PEFT, "peft_type": "a\nb\x1b"}).encode())
def test_a_peft_folder_of_any_configuration(tmp_path, content):
  folder = tmp_path / "peft"
  if not folder.exists():
    save_peft(folder, np.ones((3, 4), np.float32))
  put(folder / "adapter_config.json", content)
  outcome(load_prompt, folder)


def test_a_run_folder_gives_its_prompts_back(tmp_path, vectors):
  writer = RunWriter.begin(tmp_path / "run")
  writer.write_config(
    {
      "model": "gpt2",
      "resolved": {"targets": ["ni/a/gamma=1", "text/b"], "target_texts": ["read me", "or me"]},
    }
  )
  keys = ["ni/a/gamma=1/gamma=0.5/seed=1", "text/b/gamma=0/seed=1/constraint=ball", "else/c"]
  writer.append_rows([], {key: vectors + i for i, key in enumerate(keys)})
  run = read_run(tmp_path / "run")
  assert sorted(run.prompt_keys()) == sorted(keys)
  prompts = [run.prompt(key) for key in keys]
  for i, (key, prompt) in enumerate(zip(keys, prompts, strict=True)):
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors + i)
    assert prompt.model == "gpt2"
    assert prompt.origin == {"run": str(tmp_path / "run"), "key": key}
  assert [prompt.reads_as for prompt in prompts] == [
    Target("ni", "a/gamma=1", "read me"),
    Target("text", "b", "or me"),
    None,
  ]
  with pytest.raises(WayjaxError, match="has no prompt 'none'"):
    run.prompt("none")


def test_a_peft_configuration_that_is_a_named_pipe_is_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / "adapter_config.json")
  with pytest.raises(
    WayjaxError, match=r"adapter_config\.json cannot be read: it is not a regular"
  ):
    load_prompt(tmp_path)
