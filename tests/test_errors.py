"""Errors are one sentence on one line, whatever they quote."""

import pytest
from forall import ANY_TEXT, forall

from wayjax.errors import WayjaxError, reason


def test_what_cannot_be_printed_is_escaped():
  assert str(WayjaxError("a\nb\t\x1b[31m é 漢")) == r"a\nb\t\x1b[31m é 漢"
  assert str(WayjaxError("\ud800")) == r"\ud800"


@forall(60, text=ANY_TEXT)
def test_any_message_is_one_line(text):
  message = str(WayjaxError(text))
  assert message.isprintable()
  message.encode()


@pytest.mark.parametrize(
  ("error", "quoted"),
  [
    (ValueError("first line\nsecond"), "first line"),
    (ValueError("\n  indented\n"), "indented"),
    (FileNotFoundError(2, "No such file or directory", "x.csv"), "No such file or directory"),
    (OSError("no number"), "no number"),
    (KeyError("name"), "'name'"),
    (RecursionError(), "RecursionError"),
    (ValueError(" \n"), "ValueError"),
    (ValueError("x" * 500), "x" * 200),
  ],
)
def test_the_reason_is_the_first_line_of_a_message(error, quoted):
  assert reason(error) == quoted


def test_a_reason_is_as_long_as_asked_for():
  assert reason(ValueError("abcdef"), longest=3) == "abc"


@forall(60, text=ANY_TEXT)
def test_any_error_has_a_reason(text):
  for error in (ValueError(text), OSError(5, text), KeyError(text)):
    assert reason(error)
    assert str(WayjaxError(reason(error))).isprintable()
