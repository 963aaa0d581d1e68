"""Greedy generation of every family against Hugging Face; goldens/make_generation.py made it."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from tiny import GOLDENS

from wayjax.devices.sharding import make_layout
from wayjax.generation.generator import Generator
from wayjax.models import LanguageModel, load_lm
from wayjax.models.folder import Folder
from wayjax.prompts import SoftPrompt

NAMES = sorted(path.parent.name for path in GOLDENS.glob("*/golden.npz"))
END = 0  # in every golden model


def load(name) -> LanguageModel:
  """A golden model with a tokenizer that knows nothing but how many tokens there are."""
  if (GOLDENS / name / "model.gguf").exists():
    return tiny.over(load_lm(str(GOLDENS / name / "model.gguf"), precision="float32"), 1)
  folder = Folder(GOLDENS / name)
  family, settings, _, _ = tiny.build(folder.config)
  stored, _ = folder.find_tensors(family, set())
  model = tiny.fill(folder.config, {tensor.name: tensor.read() for tensor in stored.values()})
  tokens = {str(i): i for i in range(settings.vocab_size)}
  tokenizer = types.SimpleNamespace(get_vocab=lambda: tokens, eos_token_id=END)
  return LanguageModel(
    name,
    None,
    tokenizer,
    *nnx.split(model),
    settings.max_position_embeddings,
    jnp.dtype("float32"),
    0,
    "",
    make_layout(devices=jax.devices()[:1]),
  )


def until(ids_K, end):
  """Ids up to the first end."""
  places = np.flatnonzero(ids_K == end)
  return ids_K[: places[0] + 1] if len(places) else ids_K


def test_every_model_has_its_generation():
  assert {path.parent.name for path in GOLDENS.glob("*/generation.npz")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_uneven_inputs_with_and_without_a_prompt_agree_token_for_token(name):
  lm, golden = load(name), np.load(GOLDENS / name / "generation.npz")
  prompt = SoftPrompt(np.load(GOLDENS / name / "golden.npz")["prompt_PxD"], name)
  inputs = [ids_T[ids_T >= 0] for ids_T in golden["inputs_NxT"]]
  new = golden["plain_NxK"].shape[1]
  found = Generator(lm, max_new_tokens=new)([None, prompt], inputs)
  for ids, expected in zip(found, (golden["plain_NxK"], golden["prompted_NxK"]), strict=True):
    for ids_K, expected_K in zip(ids, expected, strict=True):
      np.testing.assert_array_equal(ids_K, until(expected_K, lm.tokenizer.eos_token_id))


def test_a_sequence_ends_with_its_end_and_the_others_go_on():
  name = "qwen3"
  lm, golden = load(name), np.load(GOLDENS / name / "generation.npz")
  expected = golden["plain_NxK"]
  end = int(expected[0, 3])
  tokenizer = types.SimpleNamespace(get_vocab=lm.tokenizer.get_vocab, eos_token_id=end)
  inputs = [ids_T[ids_T >= 0] for ids_T in golden["inputs_NxT"]]
  generator = Generator(dataclasses.replace(lm, tokenizer=tokenizer), max_new_tokens=8)
  (found,) = generator([], inputs)
  assert len({len(ids_K) for ids_K in found}) > 1
  for ids_K, expected_K in zip(found, expected, strict=True):
    np.testing.assert_array_equal(ids_K, until(expected_K, end))
