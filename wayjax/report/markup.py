"""The parts of a page that needs nothing beside itself: every text in them is escaped."""

import base64
import hashlib
import html
import re
import string
from collections.abc import Iterable
from pathlib import Path

from wayjax.report.content import Figure, Table
from wayjax.visible import visible, visible_lines

_NUMERIC = re.compile(r"[\d\s.,:±%()\[\]<>≤≥+−–e-]+")


_FOLDER = Path(__file__).parent
_STYLES = "page.css", "page.entry.css"


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
  """A whole page.

  Args:
    title: its title, a text.
    body: its content, markup.
    style: what it needs besides the style sheet that all pages share.
    script: the one script that it may hold; it stands in the body.
  """
  styles = [_read(name) for name in _STYLES] + [style] * bool(style)
  sheet = "\n".join(styles)
  return string.Template(_read("document.html")).substitute(
    policy=_policy(sheet, script), title=one_line(title), style=sheet, body=body
  )


def _read(name: str) -> str:
  return (_FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
  """A content security policy under which only this style and this script count."""
  return (
    f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
  )


def _hash(source: str) -> str:
  digest = hashlib.sha256(source.encode()).digest()
  return f"'sha256-{base64.b64encode(digest).decode()}'"


def one_line(text: str) -> str:
  """A text on one line of HTML, in which none of it is markup."""
  return html.escape(visible(text))


def facts(known: tuple[tuple[str, str], ...]) -> str:
  """Pairs of a term and its value."""
  pairs = [f"<div><dt>{one_line(term)}</dt><dd>{one_line(text)}</dd></div>" for term, text in known]
  return f"<dl class=facts>{''.join(pairs)}</dl>" if pairs else ""


def contents(parts: list[tuple]) -> str:
  """Links to the parts that hold something."""
  links = [f'<a href="#{name}">{title}</a>' for name, title, content in parts if content]
  return f'<nav class="controls" aria-label="Parts">{"".join(links)}</nav>' if links else ""


def part(name: str, title: str, blocks: list[str]) -> str:
  """A part with its heading; nothing where there is nothing in it."""
  return f'<section id="{name}"><h2>{title}</h2>{"".join(blocks)}</section>' if blocks else ""


def table(of: Table) -> str:
  """A table with its title, caption and command; it scrolls in a box of its own."""
  numeric = [_is_numeric([line[k] for line in of.lines]) for k in range(len(of.columns))]
  head = _cells("th scope=col", of.columns, numeric)
  body = "".join(f"<tr>{_cells('td', line, numeric)}</tr>" for line in of.lines)
  return _block(
    of,
    f'<div class=scroll tabindex=0 role=region aria-label="{one_line(of.title)}">'
    f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
  )


def _is_numeric(cells: Iterable[str]) -> bool:
  """Whether a column holds numbers, with dashes or nothing where a number is not known."""
  known = [cell for cell in cells if cell.strip(" -–—")]
  return bool(known) and all(
    _NUMERIC.fullmatch(cell) and any(map(str.isdigit, cell)) for cell in known
  )


def _cells(tag: str, texts: tuple[str, ...], numeric: list[bool]) -> str:
  return "".join(
    f"<{tag}{' class=number' * is_number}>{one_line(text)}</{tag.split()[0]}>"
    for text, is_number in zip(texts, numeric, strict=True)
  )


def figure(of: Figure) -> str:
  """A figure, as an image: the ids of one drawing cannot meet those of another."""
  data = base64.b64encode(of.svg.encode(errors="replace")).decode()
  return _block(of, f'<img alt="{one_line(of.title)}" src="data:image/svg+xml;base64,{data}">')


def _block(of: Table | Figure, content: str) -> str:
  code = html.escape(visible_lines(of.command))
  command = f"<pre><code>{code}</code></pre>" if code else ""
  return (
    f'<section class="block"><h3>{one_line(of.title)}</h3>'
    f'<p class="caption">{one_line(of.caption)}</p>{content}{command}</section>'
  )
