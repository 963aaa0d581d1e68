"""What people read holds nothing that they cannot see; ordinary texts stay as they are."""

import pytest
from forall import ANY_TEXT, forall

from wayjax.visible import is_unicode, visible

UNSEEN = (
  *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)),  # C0, DEL and C1
  *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",  # direction
  *"\u200b\u2060\ufeff\u00ad\u034f\u3164\u2028\u2029\x85",  # without a shape or width, line ends
  "\ud800", "\U000e0041",
)  # fmt: skip


@pytest.mark.parametrize("char", UNSEEN)
def test_what_cannot_be_seen_is_escaped(char):
  shown = visible(f"a{char}b")
  assert char not in shown
  assert shown.isprintable()
  assert len(shown) > 2


def test_line_ends_and_tabs_have_signs_and_the_rest_is_as_python_writes_it():
  assert visible("a\n\tb\r\x1b[31m\u202e\x9b\ud83d") == r"a⏎⇥b\r\x1b[31m\u202e\x9b\ud83d"


@pytest.mark.parametrize(
  "text",
  [
    "", "plain: [red] \\x1b", "é ñ Å", "漢字かな カナ", "한국어", "שלום مرحبا", "नमस्ते",
    "👩‍👩‍👧 🏳️‍🌈 ❤️", "می‌خواهم", "e\u0301", "γ Δ̂ – …",
  ],
)  # fmt: skip
def test_ordinary_unicode_stays_readable(text):
  assert visible(text) == text


@pytest.mark.parametrize("text", ["\u200d", "a\u200d", "\u200ca", "a\u200d\u200cb", "a \u200d b"])
def test_a_joiner_that_joins_nothing_is_escaped(text):
  assert "\\u200" in visible(text)


@forall(200, text=ANY_TEXT)
def test_any_text_is_one_line_that_can_be_written(text):
  shown = visible(text)
  shown.encode()
  assert len(shown.splitlines()) <= 1
  assert shown.translate(dict.fromkeys(map(ord, "\u200c\u200d"))).isprintable()
  assert visible(shown) == shown


def test_halves_of_surrogate_pairs_are_no_unicode():
  assert is_unicode("plain, é, \U0001f600")
  assert not is_unicode("a\ud800")
  assert not is_unicode(b"caf\xe9".decode("utf-8", "surrogateescape"))
