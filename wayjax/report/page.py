"""A report as one HTML page that needs nothing beside itself."""

import dataclasses
import json
import math
import string
import urllib.parse
from pathlib import Path

from wayjax.config import MODEL_HASHES
from wayjax.report import markup
from wayjax.report.content import Entry, Report
from wayjax.report.gather import setting_names
from wayjax.results.differences import differences
from wayjax.results.rows import Row
from wayjax.results.summary import is_demo

_FOLDER = Path(__file__).parent
_SCRIPTS = "page.curve.js", "page.entry.js", "page.js"

_DIGITS = 5  # significant ones of distances and curves
_CURVES = "cross_entropy", "c_dist", "reader_nll", "dev_accuracy"

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
  script = '"use strict";\n' + "\n".join(map(_read, _SCRIPTS))
  parts = [
    ("tables", "Tables", [markup.table(table) for table in report.tables]),
    ("figures", "Figures", [markup.figure(figure) for figure in report.figures]),
  ]
  body = string.Template(_read("page.html")).substitute(
    script=script,
    title=markup.one_line(report.title),
    badge=" <span class=badge>demo</span>" if is_demo([e.row for e in report.entries]) else "",
    facts=markup.facts(report.facts),
    contents=markup.contents([*parts, ("prompts", "Prompts", report.entries)]),
    data=_json(_data(report.entries)),
    **{name: markup.part(name, title, blocks) for name, title, blocks in parts},
  )
  return markup.document(report.title, body, script=script)


def _read(name: str) -> str:
  return (_FOLDER / name).read_text(encoding="utf-8")


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
    "readings": [
      [name, reading["text"], _finite(reading.get("prompt_f1"))]
      for name, reading in (entry.row.get("readings") or {}).items()
    ],
    "curve": {
      "step": [point["step"] for point in entry.curve],
      **{
        name: [_short(point.get(name)) for point in entry.curve]
        for name in _CURVES
        if any(point.get(name) is not None for point in entry.curve)
      },
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
