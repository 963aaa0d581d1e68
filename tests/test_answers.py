"""Free-text answers: generated, cut, compared; and their log-losses, against plain loops."""

import dataclasses
import sys

import numpy as np
import pytest
import tiny

from wayjax import metrics
from wayjax.answers import Answerer, matches, rouge_l
from wayjax.data.encoding import encode
from wayjax.data.examples import Examples
from wayjax.data.frame import Frame, make_frame
from wayjax.data.tasks import Task
from wayjax.evaluation import evaluate
from wayjax.prompts import SoftPrompt

QA = Task("qa", "{q} A: {gold}", (), (), answer="gold")
ROWS = Examples((("one",), ("two and a half",), ("",)), ("1", "half", "1"))


@pytest.fixture
def prompts(rng, lm):
  return [SoftPrompt(rng.normal(0, 0.3, (size, 32)), lm.name) for size in (5, 3)]


@pytest.fixture
def encoded(lm):
  return encode(lm.tokenizer, QA, ROWS)


@pytest.mark.parametrize("around", [(0, 0), (2, 1)])
def test_answers_are_what_the_model_says_greedily(lm, prompts, encoded, around):
  encoded = dataclasses.replace(encoded, frame=tiny.frame_of(*around))
  found = Answerer(lm, encoded)(prompts)
  line_end = lm.tokenizer.convert_tokens_to_ids("Ċ")
  for prompt, of_prompt in zip(prompts, found, strict=True):
    for prefix, answer in zip(encoded.prefixes, of_prompt, strict=True):
      longest = len(" half") + 1
      ids = tiny.greedy(lm, prompt.vectors_PxD, prefix, longest, encoded.frame, [line_end])
      text = lm.tokenizer.decode([i for i in ids if i != 0])
      assert answer == text.lstrip("\n").split("\n")[0].strip()


def test_what_ends_a_turn_stands_once(lm, prompts):
  """It is a part of every prefix already."""
  frame = dataclasses.replace(make_frame(lm.tokenizer, "b", ""), reply="/", reply_ids=(15,))
  encoded = encode(lm.tokenizer, QA, ROWS, frame=frame)
  found = Answerer(lm, encoded)(prompts[:1])
  plain = dataclasses.replace(encoded, frame=Frame("b", "", "", frame.before_ids))
  assert found == Answerer(lm, plain)(prompts[:1])


@pytest.mark.parametrize(
  ("text", "tail", "gold", "expected"),
  [
    (" half ", "", "half", "half"),
    (" half .", " .", "half", "half"),
    ("\n\n half\nmore", "", "half", "half"),
    (" two\nlines", "", "two\nlines", "two\nlines"),
    ("", "", "half", ""),
  ],
)
def test_where_an_answer_ends(lm, text, tail, gold, expected):
  task = dataclasses.replace(QA, template=QA.template + tail)
  answerer = Answerer(lm, encode(lm.tokenizer, task, Examples((("x",),), (gold,))))
  ids = np.array([*lm.tokenizer(text)["input_ids"], lm.tokenizer.eos_token_id], np.int32)
  assert answerer._answer(ids) == expected


def test_matches_and_rouge(encoded):
  assert matches(("1.", "The half", "2"), encoded).tolist() == [True, True, False]
  assert rouge_l(("1", "half", "1"), encoded) == 1
  # The longest common subsequence: 1 of 2 words, and all of 1.
  assert rouge_l(("1 of", "x", "y"), encoded) == pytest.approx((2 / 3) / 3)


def test_without_rouge_score_there_is_none_and_one_warning(encoded, monkeypatch, caplog):
  metrics.rouge_scorer.cache_clear()
  monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
  try:
    assert rouge_l(("1", "half", "1"), encoded) is None
    assert rouge_l(("1", "half", "1"), encoded) is None
  finally:
    metrics.rouge_scorer.cache_clear()
  assert len([record for record in caplog.records if "rouge-score" in record.message]) == 1


@pytest.mark.parametrize("around", [(0, 0), (2, 1)])
def test_an_evaluation_of_free_text(lm, prompts, encoded, around):
  encoded = dataclasses.replace(encoded, frame=tiny.frame_of(*around))
  for prompt, score in zip(prompts, evaluate(lm, encoded, prompts), strict=True):
    assert score.losses_NxC.shape == (3, 1)
    for i, prefix in enumerate(encoded.prefixes):
      own = encoded.candidates[encoded.labels[i]]
      losses = tiny.unpacked_losses(prompt.vectors_PxD, prefix, own, "gpt2", encoded.frame)
      np.testing.assert_allclose(score.losses_NxC[i, 0], losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(score.log_loss, score.losses_NxC.mean())
    assert score.accuracy == matches(score.answers_N, encoded).mean()
    assert score.macro_f1 is None
    assert score.predictions_N.tolist() == [-1, -1, -1]  # a random model's answers are none
    assert score.rouge_l == rouge_l(score.answers_N, encoded)
