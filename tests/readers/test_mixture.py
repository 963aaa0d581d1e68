"""Mixtures of texts against a solver of scipy's, and texts whose weights are known."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
from scipy.optimize import minimize

from wayjax.errors import WayjaxError
from wayjax.evaluation import evaluate
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import mixture
from wayjax.readers.mixture import mix
from wayjax.readers.reading import Context

TEXTS = ("read me", "good or bad?", "zebra", "q", "1 + 1 = 2", "what is it")


@pytest.fixture(scope="module")
def context():
  encoded = tiny.examples(np.random.default_rng(3), lengths=(3, 7, 1, 5, 2, 6))
  return Context(examples=encoded, candidates=TEXTS)


def log_softmax(x):
  shifted = x - x.max(axis=-1, keepdims=True)
  return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def plain_kl(weights_K, log_p_NxC, log_q_KxNxC) -> float:
  """KL of the geometric mixture, row by row in float64."""
  total = 0.0
  for n, log_p_C in enumerate(log_softmax(log_p_NxC)):
    mixed_C = sum(weight * log_q_NxC[n] for weight, log_q_NxC in zip(weights_K, log_q_KxNxC))
    total += np.sum(np.exp(log_p_C) * (log_p_C - log_softmax(mixed_C)))
  return total / len(log_p_NxC)


def by_scipy(log_p_NxC, log_q_KxNxC) -> tuple[np.ndarray, float]:
  texts = len(log_q_KxNxC)
  found = minimize(
    plain_kl,
    np.full(texts, 1 / texts),
    (log_p_NxC, log_q_KxNxC),
    method="SLSQP",
    bounds=[(0, 1)] * texts,
    constraints={"type": "eq", "fun": lambda weights_K: weights_K.sum() - 1},
    options={"ftol": 1e-12, "maxiter": 500},
  )
  return found.x, found.fun


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_weights_are_those_of_another_solver(scale):
  rng = np.random.default_rng(0)
  # What all texts have in common, and what does not tell classes apart, change nothing.
  log_q_KxNxC = scale * rng.normal(size=(5, 8, 3)) + 3 * rng.normal(size=(8, 3)) - 20
  log_p_MxNxC = scale * rng.normal(size=(3, 8, 3))
  log_p_MxNxC[1] += np.einsum("k,knc->nc", [0.7, 0, 0.3, 0, 0], log_q_KxNxC)
  weights_MxK, kl_M, kl_MxK, gap_M = mix(log_p_MxNxC, log_q_KxNxC, 2000)
  for log_p_NxC, weights_K, kl, kl_K, gap in zip(log_p_MxNxC, weights_MxK, kl_M, kl_MxK, gap_M):
    best_K, smallest = by_scipy(log_p_NxC, log_q_KxNxC)
    assert kl == pytest.approx(smallest, rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(weights_K, best_K, atol=5e-3)
    assert weights_K.min() >= 0
    assert weights_K.sum() == pytest.approx(1, abs=1e-5)
    assert kl == pytest.approx(plain_kl(weights_K, log_p_NxC, log_q_KxNxC), rel=1e-4, abs=1e-5)
    alone = [plain_kl(one_K, log_p_NxC, log_q_KxNxC) for one_K in np.eye(5)]
    np.testing.assert_allclose(kl_K, alone, rtol=1e-4, atol=1e-5)
    assert kl - smallest <= gap + 1e-5
    assert gap < 1e-3


def test_the_gap_bounds_what_an_unfinished_search_misses():
  rng = np.random.default_rng(1)
  log_q_KxNxC, log_p_MxNxC = 3 * rng.normal(size=(6, 5, 3)), rng.normal(size=(2, 5, 3))
  _, early_M, _, gap_M = mix(log_p_MxNxC, log_q_KxNxC, 2)
  _, late_M, _, _ = mix(log_p_MxNxC, log_q_KxNxC, 3000)
  assert np.all(early_M - late_M > 1e-3)
  assert np.all(early_M - late_M <= gap_M)


def test_a_mixture_is_found_again():
  rng = np.random.default_rng(2)
  log_q_KxNxC, true_K = rng.normal(size=(30, 40, 4)), np.zeros(30)
  true_K[[4, 17]] = 0.25, 0.75
  log_p_NxC = np.einsum("k,knc->nc", true_K, log_q_KxNxC)
  weights_MxK, kl_M, _, _ = mix(log_p_NxC[None], log_q_KxNxC, 2000)
  np.testing.assert_allclose(weights_MxK[0], true_K, atol=0.01)
  assert kl_M[0] < 1e-5


def test_a_texts_own_prompt_has_its_weight(lm, context):
  prompts = [text_prompt(lm, TEXTS[4]), text_prompt(lm, TEXTS[1])]
  for reading, text in zip(mixture.read(lm, prompts, context), (TEXTS[4], TEXTS[1]), strict=True):
    assert reading.text == text
    assert reading.weights_K[TEXTS.index(text)] > 0.9
    assert reading.kl < 1e-4
    assert reading.kl_K[TEXTS.index(text)] < 1e-6
    assert np.delete(reading.kl_K, TEXTS.index(text)).min() > 1e-3
    assert reading.prompt_f1 in (1, None)


def test_prompts_together_are_those_alone_and_of_the_evaluation(lm, context):
  rng = np.random.default_rng(6)
  prompts = [SoftPrompt(rng.normal(0, 0.5, (size, 32)), lm.name) for size in (3, 9)]
  together = mixture.read(lm, prompts, context)
  log_q_KxNxC = [
    -each.losses_NxC
    for each in evaluate(lm, context.examples, [text_prompt(lm, text) for text in TEXTS])
  ]
  for prompt, reading in zip(prompts, together, strict=True):
    (alone,) = mixture.read(lm, [prompt], context)
    np.testing.assert_allclose(alone.weights_K, reading.weights_K, atol=1e-3)
    assert alone.kl == pytest.approx(reading.kl, rel=1e-4)
    (evaluation,) = evaluate(lm, context.examples, [prompt])
    expected = plain_kl(reading.weights_K, -evaluation.losses_NxC, log_q_KxNxC)
    assert reading.kl == pytest.approx(expected, rel=1e-3)
    assert reading.kl <= reading.kl_K.min() + 1e-6
    assert reading.text == TEXTS[int(np.argmax(reading.weights_K))]


def test_rows_hold_the_weights_by_their_texts(lm, context):
  (reading,) = mixture.read(lm, [text_prompt(lm, TEXTS[2])], context, iterations=5)
  held = json.loads(json.dumps(reading.to_json()))
  weights = [weight for _, weight in held["weights"]]
  assert weights == sorted(weights, reverse=True)
  assert sum(weights) == pytest.approx(1, abs=1e-5)
  assert held["weights"][0][0] == held["text"] == reading.text


def test_a_broken_prompt_is_read_without_raising(lm, context):
  (reading,) = mixture.read(lm, [SoftPrompt(np.full((3, 32), np.nan), lm.name)], context)
  assert json.loads(json.dumps(reading.to_json()))["kl"] is None


def test_wrong_questions_are_refused(lm, context):
  prompts = [text_prompt(lm, "read me")]
  assert mixture.read(lm, [], context) == []
  with pytest.raises(WayjaxError, match="the reader mixture needs texts to mix"):
    mixture.read(lm, prompts, dataclasses.replace(context, candidates=()))
  with pytest.raises(WayjaxError, match="the reader mixture needs a task's rows"):
    mixture.read(lm, prompts, dataclasses.replace(context, examples=None))
  with pytest.raises(WayjaxError, match="rows must be a whole number of at least 1, not 0"):
    mixture.read(lm, prompts, context, rows=0)
  free = dataclasses.replace(context.examples, answers=("x", "y", "z"))
  with pytest.raises(WayjaxError, match="free-text answers"):
    mixture.read(lm, prompts, dataclasses.replace(context, examples=free))
