"""Hidden states against Hugging Face's, together against alone, and put back in their own place."""

import dataclasses
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from tiny import GOLDENS

from wayjax.data.frame import NO_FRAME
from wayjax.errors import WayjaxError
from wayjax.generation.generator import Generator
from wayjax.generation.requests import Patch, Request
from wayjax.models import LanguageModel, load_lm
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import Context, states
from wayjax.readers.states import hidden_states, layer_count, over_states, prompt_states

NAMES = ("gpt2", "llama-grouped-tied", "gemma3", "opt", "opt-350m")
TOLERANCE = 1e-4
NOTHING = np.zeros(0, np.int32)


@pytest.fixture(scope="module")
def golden_lm(tmp_path_factory):
  """Loads a golden model with a tokenizer of as many tokens."""

  def load(name) -> LanguageModel:
    folder = tmp_path_factory.mktemp("model") / name
    shutil.copytree(GOLDENS / name, folder)
    tiny.save_tokenizer(folder, most=70)
    return tiny.over(load_lm(str(folder), precision="float32"), 1)

  return load


@pytest.fixture
def requests(lm, rng) -> list[Request]:
  """Sequences of a text, a prompt, both, and in frames; one fills its padding, one is a token."""

  def soft(size):
    return SoftPrompt(rng.normal(0, 0.1, (size, 32)), lm.name)

  def ids(size):
    return rng.integers(257, size=size).astype(np.int32)

  return [
    Request(0, 0, None, NO_FRAME, ids(1)),
    Request(0, 0, soft(3), NO_FRAME, ids(4)),
    Request(0, 0, soft(9), tiny.frame_of(9, 3), NOTHING),
    Request(0, 0, soft(2), NO_FRAME, NOTHING),
    Request(0, 0, None, tiny.frame_of(2, 1), ids(5)),
  ]


@pytest.mark.parametrize("name", NAMES)
def test_states_of_a_prompt_and_a_text_agree_with_pytorch(name, golden_lm):
  lm = golden_lm(name)
  golden, found = np.load(GOLDENS / "states.npz"), np.load(GOLDENS / name / "golden.npz")
  expected_NxSxI, normed_SxD = golden[f"{name}/states_NxSxI"], golden[f"{name}/normed_SxD"]
  prompt = SoftPrompt(found["prompt_PxD"], lm.name)
  assert len(expected_NxSxI) == layer_count(lm) + 1
  request = Request(0, 0, prompt, NO_FRAME, found["ids_T"])
  # From the last layer on, because they come in the order they were asked for.
  (states_NxSxI,) = hidden_states(lm, [request], list(range(len(expected_NxSxI)))[::-1])
  assert np.abs(states_NxSxI[::-1] - expected_NxSxI).max() < TOLERANCE
  model = nnx.merge(lm.graphdef, lm.params)
  assert np.abs(model.norm(states_NxSxI[0]) - normed_SxD).max() < TOLERANCE
  # No two layers return the same, so that a wrong number would show.
  assert np.abs(np.diff(expected_NxSxI, axis=0)).max(axis=(1, 2)).min() > 100 * TOLERANCE


@pytest.mark.parametrize(("devices", "at_once"), [(1, 32), (2, 3)])
def test_sequences_together_have_the_states_of_each_alone(
  lm, requests, devices, at_once, monkeypatch
):
  monkeypatch.setattr(states, "_AT_ONCE", at_once)
  together = list(hidden_states(tiny.over(lm, devices), requests, [2, 0]))
  for request, states_LxSxI in zip(requests, together, strict=True):
    (alone_LxSxI,) = hidden_states(lm, [request], [2, 0])
    assert states_LxSxI.shape == (2, len(request), 32)
    np.testing.assert_allclose(states_LxSxI, alone_LxSxI, atol=1e-5)


def test_states_of_prompts_are_those_of_their_positions_in_the_whole_sequence(lm, requests):
  """What stands before a prompt counts, and what stands after it does not."""
  framed = [request for request in requests if request.prompt is not None]
  whole = list(hidden_states(lm, framed, [1, 2]))
  for request, states_LxSxI in zip(framed, whole, strict=True):
    (found_LxPxI,) = prompt_states(lm, [request.prompt], Context(frame=request.frame), [1, 2])
    start = len(request.frame.before_ids)
    expected_LxPxI = states_LxSxI[:, start : start + len(request.prompt)]
    np.testing.assert_allclose(found_LxPxI, expected_LxPxI, atol=1e-5)


def test_a_prompt_stands_after_the_text_that_it_was_tuned_after(lm, rng):
  vectors_PxD = rng.normal(0, 0.1, (3, 32))
  tuned = SoftPrompt(vectors_PxD, lm.name, before="ab")
  plain = SoftPrompt(vectors_PxD, lm.name)
  found, bare = prompt_states(lm, [tuned, plain], Context(), [1])
  frame = dataclasses.replace(NO_FRAME, before_ids=tuple(lm.tokenizer("ab")["input_ids"]))
  (expected,) = prompt_states(lm, [plain], Context(frame=frame), [1])
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert np.abs(found - bare).max() > 0.01


def test_what_is_computed_on_the_device_sees_the_sequence_and_the_arrays(lm, requests):
  found = list(over_states(lm, requests, [1], weighted_mean, np.float32(3)))
  for request, mean_I in zip(requests, found, strict=True):
    (states_LxSxI,) = hidden_states(lm, [request], [1])
    np.testing.assert_allclose(mean_I, 3 * states_LxSxI[0].mean(0), atol=1e-5)


def weighted_mean(model, states_LxSxI, sequence, weight):
  size = states_LxSxI.shape[1]
  real_S = jnp.arange(size) >= size - sequence.length
  total_I = jnp.where(real_S[:, None], states_LxSxI[0], 0.0).sum(0)
  return weight * total_I / sequence.length.astype(total_I.dtype)


class TestPatches:
  """A sequence with its own states put in their place goes on as it is, whatever the layer."""

  def test_a_sequence_has_the_same_states_after_every_later_layer(self, golden_lm, rng):
    lm = golden_lm("gemma3")
    ids_P = rng.integers(71, size=5).astype(np.int32)
    frame, ids_T = tiny.frame_of(2, 0), np.array([9, 30, 11], np.int32)
    prompt = SoftPrompt(np.asarray(lm.table_VxD)[ids_P], lm.name)
    layers = list(range(layer_count(lm) + 1))
    (own_LxPxI,) = prompt_states(lm, [prompt], Context(frame=frame), layers)
    (expected_LxSxI,) = hidden_states(lm, [Request(0, 0, prompt, frame, ids_T)], layers)

    def patched(states, layer):
      return Request(0, 0, Patch(ids_P, states, layer), frame, ids_T)

    for found_LxSxI in hidden_states(lm, [patched(own_LxPxI[n], n) for n in layers], layers):
      np.testing.assert_allclose(found_LxSxI, expected_LxSxI, atol=TOLERANCE)
    others = hidden_states(lm, [patched(1.1 * own_LxPxI[n], n) for n in layers], layers)
    for n, found_LxSxI in enumerate(others):
      np.testing.assert_allclose(found_LxSxI[:n], expected_LxSxI[:n], atol=TOLERANCE)
      assert np.abs(found_LxSxI[n:] - expected_LxSxI[n:]).max(axis=(1, 2)).min() > 0.01

  def test_the_same_tokens_are_generated_after_it(self, lm, rng):
    frame = tiny.frame_of(2, 0)
    ids_P = rng.integers(257, size=5).astype(np.int32)
    prompt = SoftPrompt(np.asarray(lm.table_VxD)[ids_P], lm.name)
    (states_LxPxI,) = prompt_states(lm, [prompt], Context(frame=frame), [0, 1, 2])
    inputs = [NOTHING, np.array([9, 30], np.int32), np.array([5], np.int32)]
    generator = Generator(lm, max_new_tokens=6)
    (expected,) = generator([prompt], inputs, frame)
    for n, states_PxI in enumerate(states_LxPxI):
      (found,) = generator([Patch(ids_P, states_PxI, n)], inputs, frame)
      assert [ids_N.tolist() for ids_N in found] == [ids_N.tolist() for ids_N in expected]
      (other,) = generator([Patch(ids_P, -states_PxI, n)], inputs, frame)
      assert other[0].tolist() != expected[0].tolist()

  def test_of_a_soft_prompt_before_the_first_layer(self, lm, rng):
    """There the tokens under it do not matter."""
    prompt = SoftPrompt(rng.normal(0, 0.1, (4, 32)), lm.name)
    (own_1xPxI,) = prompt_states(lm, [prompt], Context(), [0])
    patch = Patch(np.zeros(4, np.int32), own_1xPxI[0], 0)
    ids_T = np.array([9, 30], np.int32)
    plain, patched = (
      next(hidden_states(lm, [Request(0, 0, one, NO_FRAME, ids_T)], [0, 1, 2]))
      for one in (prompt, patch)
    )
    np.testing.assert_allclose(patched, plain, atol=1e-5)


def test_nothing_to_read_is_no_states(lm):
  assert list(hidden_states(lm, [], [1])) == []
  assert prompt_states(lm, [], Context(), [1]) == []


@pytest.mark.parametrize("layer", [-1, 3, 1.0, True, "1"])
def test_a_layer_that_the_model_does_not_have_is_refused(lm, layer):
  with pytest.raises(WayjaxError, match=f"after 0 to 2 layers of .*, not after {layer!r}"):
    prompt_states(lm, [text_prompt(lm, "a")], Context(), [0, layer])


def test_sequences_that_do_not_fit_are_refused(lm):
  full = SoftPrompt(np.zeros((158, 32)), lm.name)
  (states_LxPxI,) = prompt_states(lm, [full], Context(frame=tiny.frame_of(2, 9)), [1])
  assert states_LxPxI.shape == (1, 158, 32)
  with pytest.raises(WayjaxError, match=r"158 prompt tokens and 3 of text exceed .* 160 positions"):
    prompt_states(lm, [full], Context(frame=tiny.frame_of(3, 0)), [1])
  with pytest.raises(WayjaxError, match="nothing to read"):
    next(hidden_states(lm, [Request(0, 0, None, NO_FRAME, NOTHING)], [1]))
  with pytest.raises(WayjaxError, match="has only 261 embeddings"):
    next(hidden_states(lm, [Request(0, 0, None, NO_FRAME, np.array([261], np.int32))], [1]))
