"""What PEFT writes is read, and what is written PEFT reads, with the losses that PEFT computes."""

import json
import shutil

import numpy as np
import pytest
import tiny
from safetensors import safe_open

from wayjax.data.encoding import EncodedExamples
from wayjax.data.targets import Target
from wayjax.evaluation import Evaluator
from wayjax.export.save import save_prompt
from wayjax.models import load_lm
from wayjax.prompt_files import load_prompt
from wayjax.prompts import SoftPrompt

PEFT = tiny.GOLDENS / "peft"
MODELS = sorted(path.name for path in PEFT.iterdir() if path.is_dir())
WRITTEN_BY_PEFT = ("text", "sample_vocab", "random")
TOKENS = 71  # of the models' tokenizer


@pytest.fixture(scope="module", params=MODELS)
def lm(request, tmp_path_factory):
  """One of the small models, with a tokenizer."""
  folder = tmp_path_factory.mktemp("models") / request.param
  shutil.copytree(tiny.GOLDENS / request.param, folder)
  tiny.save_tokenizer(folder, TOKENS - 1)
  return tiny.over(load_lm(folder, precision="float32"), 1)


@pytest.fixture(scope="module")
def examples() -> EncodedExamples:
  with np.load(PEFT / "examples.npz") as stored:
    prefixes, candidates = (
      tuple(row[row >= 0] for row in stored[name]) for name in ("prefixes_NxL", "candidates_CxL")
    )
  return EncodedExamples(prefixes, candidates, np.zeros(len(prefixes), np.int32))


def home_of(lm):
  return PEFT / lm.name.rsplit("/", 1)[-1]


def tensor_of(folder) -> np.ndarray:
  with safe_open(folder / "adapter_model.safetensors", "numpy") as file:
    return file.get_tensor("prompt_embeddings")


def test_there_are_goldens_of_every_architecture():
  assert MODELS == ["gpt2", "gpt_neox-padded", "llama-grouped-tied", "qwen2"]


def test_losses_are_those_that_peft_computes(lm, examples):
  losses = np.load(home_of(lm) / "losses.npz")
  names = (*WRITTEN_BY_PEFT, "wayjax")
  prompts = [load_prompt(home_of(lm) / name, model=lm) for name in names]
  for name, found in zip(names, Evaluator(lm, examples)(prompts), strict=True):
    np.testing.assert_allclose(found.losses_NxC, losses[name], rtol=0, atol=1e-4, err_msg=name)
  assert len({losses[name].tobytes() for name in names}) == len(names)


def test_what_peft_began_with_a_text_reads_as_it(lm):
  prompt = load_prompt(home_of(lm) / "text")
  ids = lm.tokenizer("AB:CDE", add_special_tokens=False)["input_ids"][:5]
  np.testing.assert_array_equal(prompt.vectors_PxD, np.asarray(lm.table_VxD)[ids])
  assert prompt.model == home_of(lm).name


def test_the_folder_that_peft_read_is_written_again(lm, tmp_path):
  name = home_of(lm).name
  prompt_PxD = np.load(tiny.GOLDENS / name / "golden.npz")["prompt_PxD"]
  target = Target("text", "text", "AB")
  save_prompt(SoftPrompt(prompt_PxD, name, target, before="", after=""), tmp_path / "out")
  golden = home_of(lm) / "wayjax"
  config, stored = (
    json.loads((folder / "adapter_config.json").read_text())
    for folder in (tmp_path / "out", golden)
  )
  assert config == stored
  assert tensor_of(tmp_path / "out").tobytes() == tensor_of(golden).tobytes()
  assert load_prompt(golden).reads_as == target


def test_the_keys_are_those_that_peft_writes():
  for model in MODELS:
    ours, theirs = (
      json.loads((PEFT / model / name / "adapter_config.json").read_text())
      for name in ("wayjax", "random")
    )
    taken_from_the_model = {"num_attention_heads": None, "num_layers": None}
    assert ours == theirs | taken_from_the_model
    assert list(ours) == list(theirs)
