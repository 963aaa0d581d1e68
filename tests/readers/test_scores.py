"""What a reading is worth: by hand, and by plain evaluations."""

import numpy as np
import pytest
import tiny

from wayjax.data.encoding import token_ids
from wayjax.data.tasks import get_task
from wayjax.evaluation import Evaluation, evaluate
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers.scores import (
  agreement,
  behaviours,
  class_rate,
  faithfulness,
  kl,
  rouge_1,
)


def evaluation(losses_NxC, answers=None):
  predictions_N = np.argmin(losses_NxC, axis=1)
  return Evaluation(0.5, None, 1.0, predictions_N, np.array(losses_NxC), answers)


def test_faithfulness_is_the_share_of_the_gain():
  assert faithfulness(hard=0.6, soft=0.9, none=0.5) == pytest.approx(0.25)
  assert faithfulness(hard=0.9, soft=0.9, none=0.5) == 1
  assert faithfulness(hard=0.4, soft=0.9, none=0.5) == pytest.approx(-0.25)
  assert faithfulness(hard=0.6, soft=0.5, none=0.5) is None


def test_kl_is_from_the_first_to_the_second():
  # Probabilities (1/4, 3/4) and (1/2, 1/2), and a row in which they are equal.
  one = evaluation([[-np.log(1), -np.log(3)], [0, 0]])
  other = evaluation([[5, 5], [2, 2]])
  expected = (0.25 * np.log(0.5) + 0.75 * np.log(1.5)) / 2
  assert kl(one, other) == pytest.approx(expected)
  assert kl(other, one) == pytest.approx((0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2)
  assert kl(one, one) == 0


def test_agreement_is_of_predictions_or_answers():
  one, other = evaluation([[0, 1], [1, 0]]), evaluation([[0, 9], [0, 1]])
  assert agreement(one, other) == 0.5
  same = evaluation([[0], [0]], answers=("a", "b")), evaluation([[0], [0]], answers=("a", "c"))
  assert agreement(*same) == 0.5


def test_classes_are_named_by_whole_words():
  task = get_task("agnews")
  assert class_rate("Is it about sports, or Business?", task) == 0.5
  assert class_rate("sportsmanlike worldly", task) == 0
  assert class_rate("negative or great", get_task("sst2")) == 1


def test_rouge_1_ignores_stop_words_and_endings_and_takes_the_best_reference():
  assert rouge_1("the sentiments of it", ["sentiment of a review", "cooking"]) == pytest.approx(
    2 / 3
  )
  assert rouge_1("the of it", ["sentiment"]) == 0
  assert rouge_1("anything", []) is None


def test_behaviours_are_those_of_the_texts_as_hard_prompts(lm, rng):
  encoded = tiny.examples(rng, [int(n) for n in rng.integers(1, 9, size=20)])
  found = text_prompt(lm, "abc")
  other = SoftPrompt(rng.normal(0, 0.3, (4, lm.width)), lm.name)
  texts = [["abc", "", "xy"], ["abc"]]
  scores = behaviours(lm, encoded, [found, other], texts)
  assert [len(of_prompt) for of_prompt in scores] == [3, 1]
  assert scores[0][0].kl == pytest.approx(0, abs=1e-6)
  assert scores[0][0].agreement == 1
  (ids,) = token_ids(lm.tokenizer, ["xy"])
  soft, none, hard = evaluate(
    lm, encoded, [found, None, SoftPrompt(np.asarray(lm.table_VxD)[ids], lm.name)]
  )
  assert scores[0][1].accuracy == none.accuracy
  assert scores[0][2].accuracy == hard.accuracy
  assert scores[0][2].kl == pytest.approx(kl(soft, hard), rel=1e-4)
  assert scores[0][2].agreement == agreement(soft, hard)
  (soft,) = evaluate(lm, encoded, [other])
  expected = faithfulness(scores[0][0].accuracy, soft.accuracy, none.accuracy)
  assert scores[1][0].faithfulness == expected
  assert scores[1][0].kl > 0.01
