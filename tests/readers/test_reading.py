"""What every reader's readings have in common."""

import pytest

from wayjax.data.targets import Target
from wayjax.metrics import prompt_f1, prompt_f1_lemma
from wayjax.readers import READERS, Reading
from wayjax.readers.reading import scores


def test_a_text_is_scored_against_what_the_prompt_is_to_read_as():
  found = scores("read the book", Target("text", "t", "read a letter"))
  assert found["prompt_f1"] == prompt_f1("read the book", "read a letter") == 0.5
  assert found["prompt_f1_lemma"] == prompt_f1_lemma("read the book", "read a letter")


def test_a_prompt_that_was_found_has_no_scores():
  assert scores("read the book", None) == {"prompt_f1": None, "prompt_f1_lemma": None}


def test_rows_hold_text_and_scores():
  reading = Reading(text="x", prompt_f1=0.5, prompt_f1_lemma=None)
  assert reading.to_json() == {"text": "x", "prompt_f1": 0.5, "prompt_f1_lemma": None}
  with pytest.raises(TypeError):
    Reading("x", 0.5, None)  # by name alone, because readers add fields of their own


def test_the_papers_reader_comes_first():
  assert next(iter(READERS)) == "nearest"
