"""The choice of the next token against plain NumPy."""

import jax
import numpy as np
import pytest

from wayjax.generation.sampling import Sampling, choose

VOCABULARY, DRAWS = 12, 4000
LOGITS = np.random.default_rng(0).normal(0, 2, VOCABULARY).astype(np.float32)


def expected(temperature, top_k=None, top_p=None) -> np.ndarray:
  """Probabilities in the order that Hugging Face applies: temperature, then k, then p."""
  order = np.argsort(-LOGITS)
  powers = np.exp((LOGITS - LOGITS.max()) / temperature)[order][:top_k]
  probabilities = powers / powers.sum()
  if top_p is not None:
    kept = np.cumsum(probabilities) - probabilities < top_p
    probabilities = probabilities * kept / probabilities[kept].sum()
  found = np.zeros(VOCABULARY)
  found[order[: len(probabilities)]] = probabilities
  return found


def drawn(sampling) -> np.ndarray:
  """How often each token is drawn, over the numbers of prompts."""
  logits_V = jax.numpy.asarray(LOGITS)
  draw = jax.jit(
    jax.vmap(lambda prompt: choose(sampling, np.uint32(sampling.seed), logits_V, prompt, 0, 0))
  )
  return np.bincount(draw(np.arange(DRAWS)), minlength=VOCABULARY) / DRAWS


@pytest.mark.parametrize(
  "options",
  [
    {"temperature": 1.0},
    {"temperature": 2.5},
    {"temperature": 1.5, "top_k": 3},
    {"temperature": 1.5, "top_k": 100},
    {"temperature": 1.5, "top_p": 0.7},
    {"temperature": 2.5, "top_k": 5, "top_p": 0.8},
    {"temperature": 2.5, "top_p": 1.0},
    {"temperature": 1.0, "top_p": 1e-9},
  ],
)
def test_tokens_are_drawn_as_often_as_their_probabilities_say(options):
  probabilities, found = expected(**options), drawn(Sampling(**options, seed=5))
  assert not found[probabilities == 0].any()
  deviations = np.sqrt(probabilities * (1 - probabilities) / DRAWS)
  assert (np.abs(found - probabilities) <= 4.5 * deviations + 1e-9).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-30])
def test_cold_is_greedy(temperature):
  assert drawn(Sampling(temperature))[LOGITS.argmax()] == 1


def test_every_number_changes_what_is_drawn():
  sampling = Sampling(5.0, seed=1)
  numbers = np.array([[1, 2, 3], [2, 1, 3], [1, 3, 2], [0, 2, 3]])
  draws = [
    [
      int(choose(sampling, np.uint32(1), np.zeros(1000, np.float32), *row + step * 7))
      for step in range(3)
    ]
    for row in numbers
  ]
  assert len({tuple(row) for row in draws}) == len(numbers)


def test_no_more_are_kept_than_add_up_to_p():
  logits_V = np.zeros(4, np.float32)
  sampling = Sampling(1.0, top_p=0.5)
  draw = jax.jit(jax.vmap(lambda prompt: choose(sampling, np.uint32(0), logits_V, prompt, 0, 0)))
  assert sorted(set(draw(np.arange(200)).tolist())) == [0, 1]
