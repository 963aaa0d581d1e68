"""Scores on hand-computed cases."""

import math
import warnings

import nltk
import numpy as np
import pytest

from wayjax import metrics
from wayjax.metrics import (
  delta,
  exact_match,
  macro_f1,
  majority,
  prompt_f1,
  prompt_f1_lemma,
)


@pytest.mark.parametrize(
  ("projected", "target", "expected"),
  [
    ("Write the answer.", "write an Answer", 1.0),  # case, punctuation, articles
    ("one two three", "two three four five", 4 / 7),
    ("x x y", "x y y", 2 / 3),  # words count as often as they occur
    ("don't", "dont", 1.0),  # punctuation is taken out, not replaced
    ("a b", "b", 1.0),
    ("theory", "ory", 0.0),  # articles are words of their own
    ("nothing shared", "at all", 0.0),
    ("", "word", 0.0),  # as in the released code: no shared word means 0
    ("~~~", "word", 0.0),
    ("cafe\u0301 na\u00efve", "Caf\u00c9 nai\u0308ve", 1.0),  # one character, written in two ways
    ("cafe", "caf\u00e9", 0.0),
  ],
)
def test_prompt_f1(projected, target, expected):
  assert prompt_f1(projected, target) == pytest.approx(expected)


@pytest.mark.parametrize("target", ["", " ", "~~~", "?!", "the", "A. The, an -"])
def test_f1_is_undefined_for_a_target_without_words(wordnet, target):
  for projected in (target, "word", ""):
    assert prompt_f1(projected, target) is None
    assert prompt_f1_lemma(projected, target) is None


def test_lemmas_join_singular_and_plural(wordnet):
  assert prompt_f1("questions", "question") == 0
  assert prompt_f1_lemma("questions", "question") == 1


def test_without_wordnet_there_is_no_lemma_f1_and_one_warning(monkeypatch, tmp_path, caplog):
  monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
  monkeypatch.setattr(
    "nltk.stem.WordNetLemmatizer.lemmatize",
    lambda self, word: (_ for _ in ()).throw(LookupError("no wordnet")),
  )
  metrics._lemmatizer.cache_clear()
  with warnings.catch_warnings():
    warnings.simplefilter("error")  # as PYTHONWARNINGS=error does: nobody's run ends for that
    assert prompt_f1_lemma("a", "a") is None
    assert prompt_f1_lemma("a", "a") is None
  metrics._lemmatizer.cache_clear()
  assert caplog.text.count("python -m nltk.downloader wordnet") == 1


def test_macro_f1_averages_over_classes_that_occur():
  # Class 0: 2 of 3 right, none wrong: F1 = 4/5. Class 1: F1 = 2/3. Class 2 never occurs.
  assert macro_f1([0, 0, 0, 1], [0, 0, 1, 1]) == pytest.approx((4 / 5 + 2 / 3) / 2)
  assert macro_f1([0, 0], [1, 1]) == 0
  assert macro_f1([2, 1], [2, 1]) == 1


def test_majority():
  assert majority(np.array([0, 1, 1, 2])) == 0.5


def test_delta_is_the_relative_drop():
  assert delta(0.8, 0.76) == pytest.approx(0.05)
  assert delta(0.5, 0.6) == pytest.approx(-0.2)
  assert math.isnan(delta(0.0, 0.5))


@pytest.mark.parametrize(
  ("prediction", "answer", "right"),
  [
    ("The Eiffel Tower.", "eiffel tower", True),
    ("42", "42 ", True),
    ("42", "43", False),
    ("", "x", False),
    ("x y", "y x", False),
    ("+", "+", True),  # a sign has no words, and is compared as it is
    ("+", "-", False),
    ("the", "", False),
    ("cafe\u0301", "Caf\u00e9", True),
  ],
)
def test_exact_match(prediction, answer, right):
  assert exact_match(prediction, answer) == right


def test_the_most_frequent_answer_counts_after_normalisation():
  assert majority(["Paris", "paris.", "London", "Rome"]) == 0.5
  assert majority((0, 1, 1, 2)) == 0.5
