"""Any prompt and the cells of a text: margins as a plain loop finds them; what is moved reads."""

import numpy as np
import pytest

import wayjax
from wayjax.config import METRICS
from wayjax.errors import WayjaxError

TEXT, OTHER = "a fine film", "not this one"


@pytest.fixture(scope="module")
def table(lm):
  return np.asarray(lm.table_VxD, np.float64)


def scores(vectors_PxD, table, metric):
  products = vectors_PxD @ table.T
  if metric == "euclidean":
    return products - 0.5 * np.sum(table**2, axis=1)
  return products / np.linalg.norm(table, axis=1) if metric == "cosine" else products


def prompt_of(lm, rng, text=TEXT, away=1.0, reads_as=True):
  start = wayjax.text_prompt(lm, text)
  noise = rng.normal(size=start.vectors_PxD.shape) * away * np.asarray(lm.table_VxD).std()
  target = start.reads_as if reads_as else None
  return wayjax.SoftPrompt(start.vectors_PxD + noise, lm.name, target)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("away", [0.1, 3.0])
def test_a_margin_is_the_distance_to_the_nearest_wall(lm, table, rng, metric, away):
  prompt = prompt_of(lm, rng, away=away)
  ids = np.array(lm.tokenizer(TEXT)["input_ids"])
  found = wayjax.cell_margin(prompt, lm, metric)
  unit = table / np.linalg.norm(table, axis=1, keepdims=True) if metric == "cosine" else table
  for x_D, token, distance, wall in zip(prompt.vectors_PxD, ids, found.distance_P, found.wall_P):
    all_scores = scores(x_D.astype(np.float64)[None], table, metric)[0]
    lengths = np.linalg.norm(unit - unit[token], axis=1)
    others = [v for v in range(len(table)) if v != token]
    away_from = {v: (all_scores[token] - all_scores[v]) / lengths[v] for v in others}
    assert wall == min(away_from, key=away_from.get)
    np.testing.assert_allclose(distance, away_from[wall], rtol=1e-6, atol=1e-12)
    assert (distance > 0) == (np.argmax(all_scores) == token)


def test_a_prompt_that_was_found_is_measured_against_what_it_reads_as(lm, rng):
  prompt = prompt_of(lm, rng, away=3.0, reads_as=False)
  assert np.all(wayjax.cell_margin(prompt, lm).distance_P > 0)


@pytest.mark.parametrize("metric", [*METRICS, METRICS])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_prompt_that_is_moved_reads_as_the_text(lm, table, rng, metric, dtype):
  prompt = prompt_of(lm, rng, OTHER[: len(TEXT)].ljust(len(TEXT)), away=3.0)
  ids = np.array(lm.tokenizer(TEXT)["input_ids"])
  moved = wayjax.into_cell(prompt, TEXT, lm, metric, dtype)
  assert moved.reads_as.text == TEXT
  stored = moved.vectors_PxD.astype(np.dtype(dtype)).astype(np.float64)
  for name in (metric,) if isinstance(metric, str) else metric:
    assert np.array_equal(np.argmax(scores(stored, table, name), axis=1), ids)
    before = np.argmax(scores(prompt.vectors_PxD.astype(np.float64), table, name), axis=1)
    assert not np.array_equal(before, ids)
  again = wayjax.into_cell(moved, TEXT, lm, metric, dtype)
  np.testing.assert_array_equal(again.vectors_PxD, moved.vectors_PxD)


def test_vectors_that_are_inside_keep_every_bit(lm, rng):
  prompt = prompt_of(lm, rng, away=0.05)
  moved = wayjax.into_cell(prompt, TEXT, lm)
  np.testing.assert_array_equal(moved.vectors_PxD, prompt.vectors_PxD)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"target": "short"}, "has 5 tokens and the prompt 11 vectors"),
    ({"metric": "manhattan"}, "metric must be one of euclidean, dot, cosine, not 'manhattan'"),
    ({"metric": ()}, "metric must be one of euclidean, dot, cosine, or several of them"),
    ({"dtype": "float64"}, "dtype must be one of float32, float16, bfloat16, not 'float64'"),
    ({"target": 3}, "target must be a text or a Target"),
  ],
)
def test_what_does_not_fit_is_one_sentence(lm, rng, change, message):
  arguments = {"target": TEXT, "lm": lm} | change
  with pytest.raises(WayjaxError, match=message) as error:
    wayjax.into_cell(prompt_of(lm, rng), **arguments)
  assert "\n" not in str(error.value)


def test_a_margin_needs_a_text_of_as_many_tokens(lm, rng):
  prompt = prompt_of(lm, rng)
  shorter = wayjax.SoftPrompt(prompt.vectors_PxD[:3], lm.name, prompt.reads_as)
  with pytest.raises(WayjaxError, match="has 11 tokens and the prompt 3 vectors"):
    wayjax.cell_margin(shorter, lm)
