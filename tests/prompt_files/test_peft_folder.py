"""Folders that PEFT's prompt tuning wrote, and those that it did not."""

import json

import numpy as np
import pytest
from forall import DEEP, JSON_BYTES, forall, outcome, put
from hypothesis import example
from safetensors.numpy import save_file

from wayjax.errors import WayjaxError
from wayjax.prompt_files import load_prompt

PEFT = {
  "base_model_name_or_path": "gpt2",
  "num_virtual_tokens": 3,
  "peft_type": "PROMPT_TUNING",
  "task_type": "CAUSAL_LM",
  "token_dim": 4,
}


@pytest.fixture
def vectors(rng) -> np.ndarray:
  return rng.normal(size=(3, 4)).astype(np.float32)


def save_peft(folder, vectors, name="prompt_embeddings", **changes):
  folder.mkdir()
  config = {k: v for k, v in {**PEFT, **changes}.items() if v is not ...}
  (folder / "adapter_config.json").write_text(json.dumps(config))
  save_file({name: vectors}, folder / "adapter_model.safetensors")
  return folder


def test_it_names_its_model(tmp_path, vectors):
  folder = save_peft(tmp_path / "peft", vectors)
  prompt = load_prompt(folder)
  np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
  assert (prompt.model, prompt.reads_as, prompt.before, prompt.after) == ("gpt2", None, None, None)
  assert prompt.origin == {"folder": str(folder), **PEFT}


@pytest.mark.parametrize(
  "changes",
  [
    {"task_type": None},
    {"task_type": None, "num_transformer_submodules": None},
    {"task_type": ..., "num_transformer_submodules": 1},
    {"token_dim": None},
    {"token_dim": ...},
    {"prompt_tuning_init": "TEXT", "tokenizer_name_or_path": "nowhere"},
    {"peft_version": "99.0", "a_key_of_the_future": [1]},
  ],
)
def test_what_peft_leaves_open_is_left_open(tmp_path, vectors, changes):
  prompt = load_prompt(save_peft(tmp_path / "peft", vectors, **changes))
  np.testing.assert_array_equal(prompt.vectors_PxD, vectors)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"peft_type": "LORA"}, "type 'LORA', changes to the model's weights: wayjax reads PROMPT_TUN"),
    ({"peft_type": "PREFIX_TUNING"}, "type 'PREFIX_TUNING', keys and values of every layer: "),
    ({"peft_type": "P_TUNING"}, "type 'P_TUNING', vectors that an encoder makes: "),
    (
      {"peft_type": "MULTITASK_PROMPT_TUNING"},
      "type 'MULTITASK_PROMPT_TUNING', a prompt that is m",
    ),
    ({"peft_type": "CARTRIDGE"}, "an adapter of type 'CARTRIDGE': wayjax reads PROMPT_TUNING only"),
    ({"peft_type": ["LORA"]}, r"an adapter of type \['LORA'\]: wayjax reads PROMPT_TUNING only"),
    ({"peft_type": "LORA", "num_virtual_tokens": ...}, "an adapter of type 'LORA'"),
    ({"peft_type": ...}, "lacks peft_type"),
    ({"num_virtual_tokens": ...}, "lacks num_virtual_tokens"),
    ({"num_virtual_tokens": None}, "lacks num_virtual_tokens"),
    ({"task_type": "SEQ_2_SEQ_LM"}, "for an encoder–decoder model: wayjax reads those of causal"),
    ({"num_transformer_submodules": 2}, "for an encoder–decoder model"),
    ({"task_type": None, "num_transformer_submodules": 2}, "for an encoder–decoder model"),
    ({"num_transformer_submodules": 3}, "sets num_transformer_submodules to 3: causal models have"),
    ({"num_transformer_submodules": "1"}, "sets num_transformer_submodules to '1'"),
    ({"task_type": "SEQ_CLS"}, "sets task_type to 'SEQ_CLS': wayjax reads soft prompts of causal"),
    ({"base_model_name_or_path": ...}, "does not name the model that its prompt belongs to: give"),
    ({"base_model_name_or_path": None}, "does not name the model that its prompt belongs to: give"),
    ({"base_model_name_or_path": ""}, "sets base_model_name_or_path to '': it must name a model"),
    ({"base_model_name_or_path": 7}, "sets base_model_name_or_path to 7: it must name a model"),
    ({"num_virtual_tokens": 4}, r"sets num_virtual_tokens to 4, but prompt_embeddings .* \(3, 4\)"),
    (
      {"token_dim": 3},
      r"sets token_dim to 3, but prompt_embeddings has the shape \(3, 4\): one of",
    ),
    ({"token_dim": "4"}, "sets token_dim to '4', but"),
    ({"name": "other"}, "has no tensor 'prompt_embeddings': it holds other"),
  ],
)
def test_other_adapters_are_refused(tmp_path, vectors, changes, message):
  with pytest.raises(WayjaxError, match=message):
    load_prompt(save_peft(tmp_path / "peft", vectors, **changes))


def test_a_folder_that_names_no_model_can_be_told_one(tmp_path, vectors):
  folder = save_peft(tmp_path / "peft", vectors, base_model_name_or_path=None)
  assert load_prompt(folder, model="gpt2").model == "gpt2"


def test_what_it_says_of_tokenizers_is_never_used(tmp_path, vectors, monkeypatch):
  transformers = pytest.importorskip("transformers")
  monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: 1 / 0)
  folder = save_peft(
    tmp_path / "peft",
    vectors,
    prompt_tuning_init="TEXT",
    prompt_tuning_init_text="read me",
    tokenizer_name_or_path="evil/code",
    tokenizer_kwargs={"trust_remote_code": True},
  )
  assert "tokenizer_kwargs" not in load_prompt(folder).origin


@pytest.mark.parametrize("name", ["inf", "-inf", "nan"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, vectors, name):
  vectors[2, 3] = float(name)
  with pytest.raises(WayjaxError, match="with numbers that are not finite"):
    load_prompt(save_peft(tmp_path / "peft", vectors))


def test_its_files_must_be_there(tmp_path, vectors):
  folder = save_peft(tmp_path / "peft", vectors)
  (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
  with pytest.raises(
    WayjaxError, match=r"has only adapter_model\.bin, a pickle file, .*save the ada"
  ):
    load_prompt(folder)
  (folder / "adapter_model.bin").unlink()
  with pytest.raises(
    WayjaxError, match=r"has no adapter_model\.safetensors: save the adapter agai"
  ):
    load_prompt(folder)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"[1]", "does not contain a JSON object"),
    (b"{", "cannot be read as JSON"),
    (
      b'{"peft_type": 1, "peft_type": 2}',
      "cannot be read as JSON: the name 'peft_type' occurs twi",
    ),
    (b"\xff\xfe", "is UTF-16"),
  ],
)
def test_its_configuration_must_be_an_object(tmp_path, vectors, content, message):
  folder = save_peft(tmp_path / "peft", vectors)
  put(folder / "adapter_config.json", content)
  with pytest.raises(WayjaxError, match=message):
    load_prompt(folder)


@forall(60, content=JSON_BYTES)
@example(content=DEEP)
@example(content=json.dumps({**PEFT, "peft_type": "a\nb\x1b"}).encode())
@example(content=json.dumps({**PEFT, "num_virtual_tokens": [[3]]}).encode())
def test_a_folder_of_any_configuration(tmp_path, content):
  folder = tmp_path / "peft"
  if not folder.exists():
    save_peft(folder, np.ones((3, 4), np.float32))
  put(folder / "adapter_config.json", content)
  outcome(load_prompt, folder)
