"""Run folders, read and merged -> a report."""

import dataclasses
import re
from collections.abc import Callable

from wayjax.command_line import to_command
from wayjax.errors import WayjaxError, reason
from wayjax.report import figures, gather, paper, tables
from wayjax.report.content import Entry, Figure, Report, Table
from wayjax.report.gather import Results
from wayjax.results import schema
from wayjax.results.rows import is_free
from wayjax.results.summary import is_demo, without_f1


def make_report(results: list[Results], measured: dict[str, dict]) -> Report:
  """The report of what was found in run folders: the tables and figures that it is enough for.

  Args:
    results: rows by setting.
    measured: what experiments measured without tuning, by name. Each has a `command`, and a
      `table`, the other fields of `content.Table`, or a `figure`, or both: a name in
      `figures.FIGURES`, beside what that draws and the `name`, `title` and `caption` of the figure.

  Raises:
    WayjaxError: a measurement is damaged.
  """
  any_text = _only(results, paper.is_any_text)
  of_group = _only(results, lambda row: row["target_group"] == paper.FIGURE_5_GROUP)
  sized = [found for found in of_group or any_text if tables.chosen_lines(found)]
  made = [part for name, content in measured.items() for part in _measured(name, content)]
  # Tables of what was measured come first, such figures last: as in the paper.
  found_tables = [part for part in made if isinstance(part, Table)]
  found_tables += _tables(results, any_text, sized)
  found_figures = _figures(results, any_text, sized)
  found_figures += [part for part in made if isinstance(part, Figure)]
  if any(is_demo(found.rows) for found in results):
    found_tables, found_figures = (
      [dataclasses.replace(part, title=f"{part.title} (demo)") for part in parts]
      for parts in (found_tables, found_figures)
    )
  return Report(
    title="Prompt waywardness",
    facts=tuple(_facts(results)),
    tables=tuple(found_tables),
    figures=tuple(found_figures),
    entries=tuple(_entry(found, row) for found in results for row in found.rows),
  )


def _only(results: list[Results], belongs: Callable[[dict], bool]) -> list[Results]:
  """Results of one kind of target, of settings that have constrained prompts of it."""
  kept = [found.only(belongs) for found in results]
  return [found for found in kept if any(not is_free(line) for line in found.lines)]


def _measured(experiment: str, content: dict) -> list[Table | Figure]:
  """The table, the figure or both that an experiment measured."""
  parts = []
  try:
    if "table" in content:
      table = content["table"]
      lines = tuple(tuple(map(str, line)) for line in table["lines"])
      columns = tuple(map(str, table["columns"]))
      if any(len(line) != len(columns) for line in lines):
        raise ValueError("a line of its table has more cells or fewer than there are columns")
      parts.append(Table(table["name"], table["title"], table["caption"], columns, lines))
    if "figure" in content:
      if (draw := figures.FIGURES.get(content["figure"])) is None:
        raise ValueError(f"its figure is not one of {', '.join(figures.FIGURES)}")
      parts.append(draw(content))
    parts = [dataclasses.replace(part, command=content["command"]) for part in parts]
    for part in parts:
      if not re.fullmatch(r"[\w-]+", part.name):  # files are named after it
        raise ValueError(f"{part.name!r} cannot be the name of a file")
  except KeyError as error:
    raise WayjaxError(f"{experiment}.measured.json is damaged: it lacks {error}") from error
  except (TypeError, ValueError, AttributeError) as error:
    raise WayjaxError(f"{experiment}.measured.json is damaged: {reason(error)}") from error
  for part in parts:
    schema.check(vars(part), type(part), f"{experiment}.measured.json")
  return parts


def _tables(results, any_text, sized) -> list[Table]:
  described = _only(results, paper.describes_task)
  pairs = [
    (found, other) for found in described for other in any_text if found.setting == other.setting
  ]
  made = [
    _made_by(any_text, tables.main_results(any_text)),
    _made_by(any_text, tables.examples(any_text)),
    _made_by(described, tables.true_descriptions(described)),
    _made_by([found for pair in pairs for found in pair], tables.comparison(pairs)),
    _made_by(sized, tables.model_sizes(sized)),
    _made_by(results, tables.targets(results)),
  ]
  return [table for table in made if table.lines]


def _figures(results, any_text, sized) -> list[Figure]:
  weighted = [found for found in any_text if figures.has_curve(found)]
  cut = _only(results, paper.has_set_length)
  return [
    _made_by(of, draw(of))
    for draw, of in (
      (figures.gamma, weighted),
      (figures.length, cut),
      (figures.model_size, sized),
    )
    if of
  ]


def _made_by(results: list[Results], part: Table | Figure) -> Table | Figure:
  """A table or figure with the commands of the runs that it is of, each once."""
  commands = dict.fromkeys(to_command(run.config) for found in results for run in found.runs)
  return dataclasses.replace(part, command="\n".join(commands))


def _facts(results: list[Results]) -> list[tuple[str, str]]:
  def different(values) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))

  rows = [row for found in results for row in found.rows]
  resolved = [run.config["resolved"] for found in results for run in found.runs]
  if not rows:
    return []
  facts = [
    ("model", different(found.setting["model"] for found in results)),
    ("tasks", different(found.setting["dataset"] for found in results)),
    ("prompts", f"{len(rows):,}"),
    ("seeds", different(sorted({row["seed"] for row in rows}))),
    *((name, different(found.setting[name] for found in results)) for name in _SHOWN),
    ("device", different(run["device"] for run in resolved)),
    ("versions", "; ".join(dict.fromkeys(_versions(run["versions"]) for run in resolved))),
  ]
  if diverged := sum(row["status"] != "done" for row in rows):
    facts.append(("left out of means", f"{diverged:,} that diverged"))
  if without := without_f1(rows):
    facts.append(("left out of means of F1", f"targets without words: {len(without):,}"))
  if any(is_demo(found.rows) for found in results):
    facts.append(("demo", "numbers of the embedded model or rows, not of real ones"))
  return facts


_SHOWN = ("steps", "split", "precision", "init")


def _versions(versions: dict[str, str]) -> str:
  return ", ".join(f"{name} {text}" for name, text in versions.items())


def _entry(found: Results, row: dict) -> Entry:
  key = gather.member(row)
  home = found.homes[key]
  reading = home.reading(row["prompt_key"]) or {"target_tokens": (), "nearest": ()}
  schema.need(reading, ("target_tokens", "nearest"), f"a reading of {home.path}")
  return Entry(
    row,
    found.setting,
    tuple(reading["target_tokens"]),
    tuple(tuple(map(tuple, tokens)) for tokens in reading["nearest"]),
    found.curves[key],
    tuple(
      tuple(wall.get(name) for name in ("token", "distance", "relative"))
      for wall in reading.get("walls") or ()
    ),
  )
