"""A report as one HTML page that needs nothing beside itself."""

import base64
import dataclasses
import hashlib
import html
import json
import math
import re
import string
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from wayjax.config import MODEL_HASHES
from wayjax.report.content import Entry, Figure, Report, Table
from wayjax.report.gather import setting_names
from wayjax.results.differences import differences
from wayjax.results.rows import Row
from wayjax.results.summary import is_demo
from wayjax.visible import visible, visible_lines

_FOLDER = Path(__file__).parent
_STYLES = "page.css", "page.entry.css"
_SCRIPTS = "page.curve.js", "page.entry.js", "page.js"

_NUMERIC = re.compile(r"[\d\s.,:±%()\[\]<>≤≥+−–e-]+")
_DIGITS = 5  # significant ones of distances and curves
_CURVES = "cross_entropy", "c_dist", "dev_accuracy"

# What a page leaves out of rows and settings: what is shown otherwise, or tells readers little.
_UNSHOWN = (
  *("prompt_key", "prompt_tokens", "readings", "train_loss", "wall_seconds"),
  *("batch_size", "template", "label_words", "answer", "max_length", "data_sha256"),
  *MODEL_HASHES,
)


def render(report: Report) -> str:
  """Writes a report as a page.

  Args:
    report: what it holds; its texts may be any, they are escaped.

  Returns:
    The HTML: styles, script, figures and data are inside, and nothing is loaded.
  """
  style = "\n".join(map(_read, _STYLES))
  script = '"use strict";\n' + "\n".join(map(_read, _SCRIPTS))
  parts = [
    ("tables", "Tables", [_table(table) for table in report.tables]),
    ("figures", "Figures", [_figure(figure) for figure in report.figures]),
  ]
  return string.Template(_read("page.html")).substitute(
    policy=_policy(style, script),
    style=style,
    script=script,
    title=_text(report.title),
    badge=" <span class=badge>demo</span>" if is_demo([e.row for e in report.entries]) else "",
    facts=_facts(report.facts),
    contents=_contents([*parts, ("prompts", "Prompts", report.entries)]),
    data=_json(_data(report.entries)),
    **{name: _part(name, title, blocks) for name, title, blocks in parts},
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


def _text(text: str) -> str:
  """A text on one line of HTML, in which none of it is markup."""
  return html.escape(visible(text))


def _facts(facts: tuple[tuple[str, str], ...]) -> str:
  pairs = [f"<div><dt>{_text(term)}</dt><dd>{_text(value)}</dd></div>" for term, value in facts]
  return f"<dl class=facts>{''.join(pairs)}</dl>" if pairs else ""


def _contents(parts: list[tuple]) -> str:
  """Links to the parts that hold something."""
  links = [f'<a href="#{name}">{title}</a>' for name, title, content in parts if content]
  return f'<nav class="controls" aria-label="Parts">{"".join(links)}</nav>' if links else ""


def _part(name: str, title: str, blocks: list[str]) -> str:
  return f'<section id="{name}"><h2>{title}</h2>{"".join(blocks)}</section>' if blocks else ""


def _table(table: Table) -> str:
  numeric = [_is_numeric([line[k] for line in table.lines]) for k in range(len(table.columns))]
  head = _cells("th scope=col", table.columns, numeric)
  body = "".join(f"<tr>{_cells('td', line, numeric)}</tr>" for line in table.lines)
  return _block(
    table,
    f'<div class=scroll tabindex=0 role=region aria-label="{_text(table.title)}">'
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
    f"<{tag}{' class=number' * is_number}>{_text(text)}</{tag.split()[0]}>"
    for text, is_number in zip(texts, numeric, strict=True)
  )


def _figure(figure: Figure) -> str:
  # As an image: the ids of one drawing cannot meet those of another.
  data = base64.b64encode(figure.svg.encode(errors="replace")).decode()
  return _block(figure, f'<img alt="{_text(figure.title)}" src="data:image/svg+xml;base64,{data}">')


def _block(of: Table | Figure, content: str) -> str:
  code = html.escape(visible_lines(of.command))
  command = f"<pre><code>{code}</code></pre>" if code else ""
  return (
    f'<section class="block"><h3>{_text(of.title)}</h3>'
    f'<p class="caption">{_text(of.caption)}</p>{content}{command}</section>'
  )


def _json(data) -> str:
  """JSON that may stand in a script element."""
  text = json.dumps(data, allow_nan=False, separators=(",", ":"))
  for char in "<>&":
    text = text.replace(char, f"\\u{ord(char):04x}")
  return text


def _data(entries: tuple[Entry, ...]) -> dict:
  """What the explorer shows; tokens are numbers in a list of texts, as most come many times."""
  texts: dict[str, int] = {}
  anchors: set[str] = set()
  settings = [name for name in setting_names() if name not in _UNSHOWN]
  fields = [field.name for field in dataclasses.fields(Row) if field.name not in _UNSHOWN]
  names = tuple(dict.fromkeys(fields + settings))
  shown = [
    _entry(entry, names, texts) | {"anchor": _anchor(entry.row, anchors)} for entry in entries
  ]
  return {"entries": shown, "texts": list(texts), "settings": settings}


def _entry(entry: Entry, names: tuple[str, ...], texts: dict[str, int]) -> dict:
  """An entry, and what its row or its setting has under some names."""
  recorded = entry.setting | entry.row

  def number_of(text: str) -> int:
    return texts.setdefault(text, len(texts))

  shown = {
    "row": {name: _finite(recorded.get(name)) for name in names},
    "target": [number_of(token) for token in entry.target_tokens],
    "nearest": [
      [[number_of(token), _short(distance)] for token, distance in tokens]
      for tokens in entry.nearest
    ],
    "walls": [
      [None if token is None else number_of(token), *map(_short, distances)]
      for token, *distances in entry.walls
    ],
    "curve": {
      "step": [point["step"] for point in entry.curve],
      **{name: [_short(point.get(name)) for point in entry.curve] for name in _CURVES},
    },
  }
  if not (entry.target_tokens and entry.nearest):
    sides = (entry.row.get(field) or "" for field in ("target_text", "projected_text"))
    shown["words"] = differences(*sides)
  return shown


def _anchor(row: dict, taken: set[str]) -> str:
  """A name of an entry for links; entries of one name are numbered in their order."""
  names = [row[key] for key in ("model", "dataset", "prompt_key") if row.get(key)]
  name = anchor = urllib.parse.quote("/".join(names) or "prompt", safe="/=", errors="replace")
  number = 1
  while anchor in taken:
    number += 1
    anchor = f"{name}~{number}"
  taken.add(anchor)
  return anchor


def _finite(value):
  """A value for JSON, which knows no NaN."""
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: float | None) -> float | None:
  return None if _finite(value) is None else float(f"{value:.{_DIGITS}g}")
