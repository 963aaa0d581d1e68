"""Run folders, read and merged -> a report."""

import dataclasses
from collections.abc import Callable

from wayjax.command_line import to_command
from wayjax.report import figures, gather, kinds, paper, tables
from wayjax.report.content import Entry, Figure, Report, Table
from wayjax.report.gather import Results
from wayjax.results.summary import is_demo


def make_report(results: list[Results], measured: dict[str, dict]) -> Report:
  """The report of what was found in run folders: the tables and figures that it is enough for.

  Args:
    results: rows by setting.
    measured: what experiments measured without tuning, by name.
  """
  any_text = _only(results, kinds.is_any_text)
  of_group = _only(results, lambda row: row["target_group"] == paper.FIGURE_5_GROUP)
  sized = [found for found in of_group or any_text if tables.chosen_lines(found)]
  found_tables = _tables(results, any_text, sized, measured)
  found_figures = _figures(results, any_text, sized, measured)
  if any(is_demo(found.rows) for found in results):
    found_tables, found_figures = (
      [dataclasses.replace(one, title=f"{one.title} (demo)") for one in found]
      for found in (found_tables, found_figures)
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
  found = [one.only(belongs) for one in results]
  return [one for one in found if any(line["gamma"] > 0 for line in one.lines)]


def _tables(results, any_text, sized, measured: dict[str, dict]) -> list[Table]:
  described = _only(results, kinds.describes_task)
  pairs = [(one, other) for one in described for other in any_text if one.setting == other.setting]
  made = []
  if "table1_tasks" in measured:
    made.append(tables.tasks(measured["table1_tasks"]))
  made += [
    _made_by(any_text, tables.main_results(any_text)),
    _made_by(any_text, tables.examples(any_text)),
    _made_by(described, tables.true_descriptions(described)),
    _made_by([found for pair in pairs for found in pair], tables.comparison(pairs)),
    _made_by(sized, tables.model_sizes(sized)),
    _made_by(results, tables.targets(results)),
  ]
  return [table for table in made if table.lines]


def _figures(results, any_text, sized, measured: dict[str, dict]) -> list[Figure]:
  weighted = [found for found in any_text if figures.has_curve(found)]
  cut = _only(results, kinds.has_set_length)
  made = [
    _made_by(of, draw(of))
    for draw, of in (
      (figures.gamma, weighted),
      (figures.length, cut),
      (figures.model_size, sized),
    )
    if of
  ]
  for name, draw in (("fig6_voronoi", figures.voronoi), ("prop1_margins", figures.margins)):
    if name in measured:
      made.append(draw(measured[name]))
  return made


def _made_by(results: list[Results], one: Table | Figure) -> Table | Figure:
  """A table or figure with the commands of the runs that it is of, each once."""
  commands = dict.fromkeys(to_command(run.config) for found in results for run in found.runs)
  return dataclasses.replace(one, command="\n".join(commands))


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
    ("device", different(one["device"] for one in resolved)),
    ("versions", "; ".join(dict.fromkeys(_versions(one["versions"]) for one in resolved))),
  ]
  if diverged := sum(row["status"] != "done" for row in rows):
    facts.append(("left out of means", f"{diverged:,} that diverged"))
  if any(is_demo(found.rows) for found in results):
    facts.append(("demo", "numbers of the embedded model or rows, not of real ones"))
  return facts


_SHOWN = ("steps", "split", "precision", "init")


def _versions(versions: dict[str, str]) -> str:
  return ", ".join(f"{name} {text}" for name, text in versions.items())


def _entry(found: Results, row: dict) -> Entry:
  key = gather.member(row)
  reading = found.homes[key].reading(row["prompt_key"]) or {"target_tokens": (), "nearest": ()}
  return Entry(
    row,
    tuple(reading["target_tokens"]),
    tuple(tuple(map(tuple, tokens)) for tokens in reading["nearest"]),
    found.curves[key],
  )
