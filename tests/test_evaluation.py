"""Accuracy of prompts: any number of them, of any length, at once."""

import re

import numpy as np
import pytest
import tiny

from wayjax import evaluation
from wayjax.data import packing
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator, evaluate
from wayjax.loss import SCORE_BLOCK
from wayjax.metrics import macro_f1
from wayjax.prompts import SoftPrompt


def prompts_of(rng, sizes):
  return [SoftPrompt(rng.normal(0, 0.3, (size, tiny.CONFIG.n_embd)), "tiny") for size in sizes]


@pytest.mark.parametrize("options", [{"prompts_at_once": 2}, {"length_multiple": 8}])
def test_prompts_are_scored_together_as_alone(lm, rng, options):
  encoded = tiny.examples(rng, [int(n) for n in rng.integers(1, 12, size=30)])
  prompts = prompts_of(rng, (3, 16, 5, 4))
  together = Evaluator(lm, encoded, **options)(prompts)
  one_by_one = Evaluator(lm, encoded)
  for prompt, result in zip(prompts, together, strict=True):
    (alone,) = one_by_one([prompt])
    np.testing.assert_allclose(result.losses_NxC, alone.losses_NxC, rtol=1e-5)
    np.testing.assert_array_equal(result.predictions_N, np.argmin(alone.losses_NxC, axis=1))
    assert result.accuracy == np.mean(result.predictions_N == encoded.labels)
    assert result.macro_f1 == macro_f1(encoded.labels, result.predictions_N)
  assert len({result.losses_NxC.tobytes() for result in together}) == 4


def test_prompts_of_many_calls_share_few_programs(lm, rng, monkeypatch):
  compiled = []
  lower = Evaluator.lower
  monkeypatch.setattr(
    Evaluator, "lower", lambda self, *key: compiled.append(key) or lower(self, *key)
  )
  encoded = tiny.examples(rng)
  evaluator = Evaluator(lm, encoded)
  for sizes in ((3, 60, 9, 20, 5), (5,), (40, 33), (2, 3, 4), (62,)):
    prompts = prompts_of(rng, sizes)
    for prompt, result in zip(prompts, evaluator(prompts), strict=True):
      (alone,) = Evaluator(lm, encoded, length_multiple=1)([prompt])
      compiled.remove((len(prompt), 1))
      np.testing.assert_allclose(result.losses_NxC, alone.losses_NxC, rtol=1e-5)
  # The first call needs one for a prompt of 60 tokens, and one for the other four.
  assert compiled == [(64, 1), (32, 4), (64, 2)]
  for size in (140, 100, 3, 70, 130):
    evaluator(prompts_of(rng, (size,)))
  # Prompts of 70, 100 and 130 tokens have room in the program for 160.
  assert compiled[3:] == [(160, 1)]
  assert len(evaluator._programs) == evaluation._KEPT


@pytest.mark.parametrize("asked", [None, 10 * evaluation.PROMPTS_AT_ONCE["cpu"]])
def test_no_more_are_scored_at_once_than_suit_the_device(lm, rng, asked):
  evaluator = Evaluator(lm, tiny.examples(rng), asked)
  assert len(evaluator(prompts_of(rng, [3] * 9))) == 9
  assert list(evaluator._programs) == [(32, evaluation.PROMPTS_AT_ONCE["cpu"])]


def test_no_prompt_is_scored_as_plain_rows_are(lm, rng):
  encoded = tiny.examples(rng, (3, 7, 2, 5))
  table_VxD = np.asarray(lm.table_VxD)
  expected_NxC = [  # the first token of a row may as well be a prompt
    [
      tiny.unpacked_losses(table_VxD[prefix[:1]], prefix[1:], candidate).mean()
      for candidate in encoded.candidates
    ]
    for prefix in encoded.prefixes
  ]
  some, none = evaluate(lm, encoded, [*prompts_of(rng, [3]), None])
  np.testing.assert_allclose(none.losses_NxC, expected_NxC, rtol=1e-5)
  assert np.abs(some.losses_NxC - none.losses_NxC).max() > 0.1


def test_no_prompts_no_results(lm, rng):
  assert evaluate(lm, tiny.examples(rng), []) == []


def test_a_prompt_that_does_not_fit_is_refused(lm, rng):
  encoded = tiny.examples(rng)  # the longest takes 9 + 2 positions
  assert len(evaluate(lm, encoded, prompts_of(rng, [149]))) == 1
  with pytest.raises(WayjaxError, match=r"150 tokens and an example of 11 exceed .* 160"):
    Evaluator(lm, encoded)(prompts_of(rng, [150]))


def test_a_broken_prompt_scores_without_raising(lm, rng):
  encoded = tiny.examples(rng)
  (result,) = evaluate(lm, encoded, [SoftPrompt(np.full((3, 32), np.nan), "tiny")])
  assert result.predictions_N.tolist() == [-1] * len(encoded)
  assert result.accuracy == result.macro_f1 == 0


def test_prompts_of_another_width_are_refused(lm, rng):
  with pytest.raises(WayjaxError, match=r"a prompt of width 4 does not fit .*, whose width is 32"):
    evaluate(lm, tiny.examples(rng), [*prompts_of(rng, [4]), SoftPrompt(np.ones((3, 4)), "tiny")])


def test_what_is_not_a_list_of_prompts_is_refused(lm, rng):
  (prompt,), encoded = prompts_of(rng, [4]), tiny.examples(rng)
  with pytest.raises(WayjaxError, match="list of SoftPrompts, and one is a ndarray"):
    evaluate(lm, encoded, [prompt.vectors_PxD])
  with pytest.raises(WayjaxError, match="list of SoftPrompts, and one is a ndarray"):
    evaluate(lm, encoded, prompt.vectors_PxD)
  for wrong in (prompt, None, iter([prompt])):
    with pytest.raises(WayjaxError, match="list of SoftPrompts"):
      evaluate(lm, encoded, wrong)


def test_arguments_of_another_kind_are_named(lm, rng):
  prompts, encoded = prompts_of(rng, [4]), tiny.examples(rng)
  with pytest.raises(WayjaxError, match="lm must be what load_lm returns, not a value of type str"):
    evaluate("tiny", encoded, prompts)
  with pytest.raises(WayjaxError, match="examples must be what encode returns, not a value of ty"):
    evaluate(lm, ["a text"], prompts)


def test_logits_exist_a_block_at_a_time(lm, rng):
  encoded = tiny.examples(rng, [3] * 60)
  rows, _ = packing.pack_evaluation(encoded, 600, 16)
  prompts, scored, vocabulary = 3, rows.labels_R.shape[1], tiny.CONFIG.vocab_size
  assert scored == 360
  text = (
    evaluation._score_rows.lower(
      lm.graphdef, lm.params, np.zeros((prompts, 16, 32), np.float32), np.ones((prompts, 16)), rows
    )
    .compile()
    .as_text()
  )
  shapes = [tuple(map(int, dims.split(","))) for dims in re.findall(r"\bf32\[([\d,]+)\]", text)]
  logits = [np.prod(shape) // vocabulary for shape in shapes if vocabulary in shape]
  assert max(logits) <= prompts * SCORE_BLOCK < prompts * scored
