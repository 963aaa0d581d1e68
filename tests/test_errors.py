"""Errors are one sentence on one line, whatever they quote."""

import time

import pytest
from forall import ANY_TEXT, forall

from wayjax.errors import WayjaxError, in_one_sentence, reason


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


@pytest.mark.parametrize("text", ["x" * 10**7, "\n" * 10**6, "\U0001f600\ud800" * 10**6])
def test_a_message_of_megabytes_is_cut_in_its_middle(text):
  started = time.monotonic()
  message = str(WayjaxError(f"a file says {text}: download it again"))
  assert len(message) <= 2_000
  assert message.startswith("a file says ")
  assert message.endswith(": download it again")
  assert " ... " in message
  assert message.isprintable()
  assert time.monotonic() - started < 1


def test_an_ordinary_message_is_not_cut():
  assert str(WayjaxError("x" * 2_000)) == "x" * 2_000


class PanicException(BaseException):
  """As PyO3 raises for a panic in Rust; it is not an Exception."""


@pytest.mark.parametrize("error", [ValueError("no\nmore"), PanicException("no"), KeyError("no")])
def test_what_another_library_raises_becomes_one_sentence(error):
  with (
    pytest.raises(WayjaxError, match=r"^it failed: '?no'?$") as caught,
    in_one_sentence("it failed"),
  ):
    raise error
  assert caught.value.__cause__ is error


@pytest.mark.parametrize(
  "error", [KeyboardInterrupt(), SystemExit(), WayjaxError("a sentence already")]
)
def test_what_is_no_failure_of_the_library_passes(error):
  with pytest.raises(type(error)) as caught, in_one_sentence("it failed"):
    raise error
  assert caught.value is error
