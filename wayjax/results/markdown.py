"""Texts in Markdown."""

import html
import re

from wayjax.visible import visible, visible_lines

# What makes a list or a heading of a paragraph: a sign, or a number with one.
_BEGINS_BLOCK = re.compile(r"^(\s*\d*)(#+|[-+.)])(?=\s|$)")


def escape_markdown(text: str) -> str:
  """A text on one line of Markdown, in which none of it is markup."""
  text = html.escape(visible(text), quote=False)
  text = "".join("\\" + char if char in "\\|`*_[]$~" else char for char in text)
  return _BEGINS_BLOCK.sub(r"\1\\\2", text)


def code_block(text: str, language: str = "") -> str:
  """A text as a code block of Markdown, which nothing in it can end."""
  fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
  return f"{fence}{language}\n{visible_lines(text)}\n{fence}"
