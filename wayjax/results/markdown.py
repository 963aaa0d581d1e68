"""Texts in Markdown."""

import html
import re

from wayjax.visible import visible

# What makes a list or a heading of a paragraph: a sign, or a number with one.
_BEGINS_BLOCK = re.compile(r"^(\s*\d*)(#+|[-+.)])(?=\s|$)")


def escape_markdown(text: str) -> str:
  """A text on one line of Markdown, in which none of it is markup."""
  text = html.escape(visible(text), quote=False)
  text = "".join("\\" + char if char in "\\|`*_[]$~" else char for char in text)
  return _BEGINS_BLOCK.sub(r"\1\\\2", text)
