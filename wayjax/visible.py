"""Texts as people see them: in a terminal, a log, a table, a figure or a page; data stay exact.

A token, a target or a name may hold what no reader sees and a terminal obeys: escape sequences,
overrides of the writing direction, characters without a shape.
"""

import re

_SIGNS = {"\n": "⏎", "\t": "⇥"}  # both are common in texts
_PLAIN = re.compile(r"[ -~]*")
# A joiner counts as seen between letters or signs: emoji and some scripts are made with it.
_JOINED = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d](?=[^\s\u200c\u200d])")
# Letters and marks without a shape, which Python takes for printable.
_SHAPELESS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"


def visible(text: str) -> str:
  r"""A text on one line in which nothing is unseen; ordinary Unicode stays as it is.

  Args:
    text: any text, also with halves of surrogate pairs.

  Returns:
    The text, its line ends and tabs as `⏎` and `⇥`, and whatever else cannot be seen as Python
    escapes it, such as `\x1b` or `\u202e`.
  """
  if _PLAIN.fullmatch(text):
    return text
  joined = {match.start() for match in _JOINED.finditer(text)}
  return "".join(char if at in joined else _seen(char) for at, char in enumerate(text))


def is_unicode(text: str) -> bool:
  """Whether a text has no halves of surrogate pairs, as Python reads bytes that are not UTF-8."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def visible_lines(text: str) -> str:
  """The same of a text of several lines, which stay lines."""
  return "\n".join(map(visible, text.split("\n")))


def _seen(char: str) -> str:
  if char in _SIGNS:
    return _SIGNS[char]
  return char if char.isprintable() and char not in _SHAPELESS else ascii(char)[1:-1]
