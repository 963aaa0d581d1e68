"""Run folders -> the rows of each setting, with what was recorded beside them."""

import collections
import dataclasses
import fnmatch
import functools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from wayjax.config import MODEL_HASHES, options
from wayjax.data.targets import is_numbered
from wayjax.errors import WayjaxError, in_one_sentence, reason
from wayjax.files import MIB, is_file, is_folder, read_text
from wayjax.options import SETTING, recorded_names
from wayjax.results import rows, schema
from wayjax.results.folder import CONFIG, Run, read_run
from wayjax.results.summary import by_target, percent, variant_of

MODEL = ("model", *MODEL_HASHES)
_HASH = "_sha256"  # how the names of hashes end
# What reports cannot do without, of rows and of what configurations were resolved to.
_READ = ("target_group", "target_name", "target_text", "gamma", "seed", "status", "accuracy")
_READ += ("prompt_f1", "projected_text", "prompt_key")
_READ_RESOLVED = ("majority", "parameters", "device", "versions")
MEASURED = "*.measured.json"  # what an experiment measures without tuning a prompt
_MOST_BYTES = 64 * MIB  # of a measurement


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
  """The rows of one setting.

  Attributes:
    setting: what all its rows have in common, by name.
    rows: a row for each member, with `dev_accuracy` after the last step where it was measured.
    runs: the run folders they come from.
    homes: the run folder of each row, by the row's `member`.
    curves: the training curve of each row, likewise.
  """

  setting: dict
  rows: list[dict]
  runs: list[Run]
  homes: dict[tuple, Run]
  curves: dict[tuple, tuple[dict, ...]]

  def only(self, belongs: Callable[[dict], bool]) -> "Results":
    """Those of some rows, and of the run folders that hold them."""
    kept = [row for row in self.rows if belongs(row)]
    holding = {id(self.homes[member(row)]) for row in kept}
    runs = [run for run in self.runs if id(run) in holding]
    return dataclasses.replace(self, rows=kept, runs=runs)

  @functools.cached_property
  def lines(self) -> list[dict]:
    """Means over seeds, a line for each target, constraint and gamma: see `summary.by_target`."""
    return by_target(self.rows)

  @property
  def resolved(self) -> dict:
    """What the first of its runs resolved: rows, versions, device."""
    return self.runs[0].config["resolved"]


def setting_names() -> list[str]:
  """What rows of one setting have in common: all that options with that role are recorded as.

  Returns:
    Names in the order of labels: rows' own fields, then the sweep's and the task's; hashes last.
  """
  fields = sorted(options(SETTING), key=lambda field: field.metadata["group"])
  recorded = [name for field in fields for name in recorded_names(field)]
  names = dict.fromkeys([*rows.field_names("setting"), *recorded])
  return sorted(names, key=lambda name: name if name.endswith(_HASH) else "")


def member(row: dict) -> tuple[str, str]:
  """What tells the members of a setting apart: texts of the command line share their names."""
  return row["prompt_key"], row["target_text"]


def labels(results: list[Results], but: tuple[str, ...] = ()) -> list[str]:
  """The task of each, and in which setting it differs from others of the same task.

  Args:
    results: what is shown together in a table or a figure.
    but: names in settings that are shown otherwise.
  """
  settings = [
    {name: value for name, value in found.setting.items() if name not in but} for found in results
  ]
  differing = {
    name
    for setting in settings
    for other in settings
    for name in setting
    if setting["dataset"] == other["dataset"] and setting[name] != other[name]
  }

  def label(setting: dict, names: set[str]) -> str:
    parts = [_label(name, value) for name, value in setting.items() if name in names]
    return ", ".join([setting["dataset"], *parts])

  # A hash means nothing to readers, so it is shown only where nothing else tells two apart.
  readable = {name for name in differing if not name.endswith(_HASH)}
  named = [label(setting, readable) for setting in settings]
  if len(set(named)) < len({tuple(setting.values()) for setting in settings}):
    named = [label(setting, differing) for setting in settings]
  return named


def _label(name: str, value) -> str:
  if name == "model":
    return value
  return f"{name} {str(value)[:12] if name.endswith(_HASH) else value}"


def find_runs(folders: Iterable[str]) -> list[Run]:
  """The run folders among folders and in them.

  Raises:
    WayjaxError: a folder neither is a run folder nor holds one, or cannot be read.
  """
  runs, known = [], set()
  for folder in folders:
    is_run = "://" in folder or is_file(Path(folder) / CONFIG)
    found = [folder] if is_run else _runs_in(folder)
    new = [path for path in found if _whole(path) not in known]
    known.update(map(_whole, new))
    runs += map(read_run, new)
    if not found and not find_measured([folder]):
      raise WayjaxError(f"{folder} is not a run folder and holds none: it has no {CONFIG}")
  return runs


def _runs_in(folder: str) -> list[str]:
  """The run folders in a folder, at any depth."""

  def refuse(error: OSError):
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
      # Left out without a word, its rows would be missing from every mean.
      raise WayjaxError(
        f"{error.filename} cannot be read ({reason(error)}): name the run folders themselves"
      ) from error

  walk = os.walk(folder, onerror=refuse)
  return sorted(str(Path(path)) for path, _, files in walk if CONFIG in files)


def _whole(path: str) -> str:
  return path if "://" in path else str(Path(path).resolve())


def find_measured(folders: Iterable[str]) -> dict[str, dict]:
  """What experiments measured without tuning, by the experiment's name.

  Returns:
    Objects with a `command`, and with a `table`, a `figure` or both: see `build.make_report`.

  Raises:
    WayjaxError: a file is damaged.
  """
  found = {}
  for folder in folders:
    with in_one_sentence(f"{folder} cannot be read"):
      names = os.listdir(folder) if is_folder(folder) else []
    for path in (Path(folder) / name for name in sorted(fnmatch.filter(names, MEASURED))):
      try:
        content = json.loads(read_text(path, _MOST_BYTES))
        content = _renewed(content) if isinstance(content, dict) else {}
      except KeyError as error:
        raise WayjaxError(f"{path} is damaged: it lacks {error}") from error
      except (ValueError, RecursionError, TypeError, AttributeError) as error:
        raise WayjaxError(f"{path} is damaged: {reason(error)}") from error
      if "command" not in content or not content.keys() & {"table", "figure"}:
        raise WayjaxError(f"{path} is damaged: it does not hold a measurement")
      found[path.name.split(".")[0]] = content
  return found


def _renewed(content: dict) -> dict:
  """A measurement in its present form; earlier files left title and caption to the report."""
  # A folder outlives a version of wayjax, and what it holds is reported as before.
  if "tasks" in content and "table" not in content:
    return content | {
      "table": {
        "name": "table1",
        "title": "Table 1: tasks",
        "caption": "Templates, label words and rows. The last column is the share of the most "
        "frequent class in the test rows, in per cent.",
        "columns": ["task", "example", "template", "label words", "train", "dev", "test"]
        + ["majority %"],
        "lines": [
          [task["task"], task["example"], task["template"], ", ".join(task["label_words"])]
          + [f"{task[split]:,}" for split in ("train", "dev", "test")]
          + [percent(task["majority"])]
          for task in content["tasks"]
        ],
      }
    }
  if "cells" in content and "figure" not in content:
    return content | {
      "figure": "cells",
      "name": "fig6",
      "title": "Figure 6: the cell of a token",
      "caption": f"A plane through the token table of {content['model']}, in which the embedding "
      f"of {content['token_text']!r} and the vectors of two prompts in its place, tuned for "
      f"{content['dataset']}, lie. In each cell one token is nearest; a prompt reads as the token "
      "of its cell, wherever in it its vector lies.",
    }
  if "edges" in content and "figure" not in content:
    return content | {
      "figure": "histogram",
      "name": "prop1",
      "title": "Proposition 1: the room around tokens",
      "caption": f"{content['tokens']:,} tokens of {content['model']}: half the distance to the "
      f"nearest other token. Of {content['points']:,} random points inside of these radii "
      f"{content['hits']:,} project back to their token; {content['twins']:,} tokens have a twin "
      "with the same embedding, and no room. Dotted: percentiles.",
      "x_label": "radius within which no other token is nearer",
      "y_label": "tokens",
      "marks": {f"{name} %": value for name, value in content["quantiles"].items()},
    }
  return content


def merge(runs: list[Run]) -> list[Results]:
  """The rows of several run folders, by setting.

  Args:
    runs: run folders, read; parts of one sweep or different sweeps.

  Raises:
    WayjaxError: two folders hold the same member, or one holds different rows of it.
  """
  merged: dict[tuple, Results] = {}
  known: dict[tuple, tuple[Run, dict]] = {}  # of each member its folder and row
  for run in runs:
    curves = collections.defaultdict(list)
    for point in run.metrics:
      schema.need(point, ("prompt_key", "step"), f"a point of {run.path}")
      curves[point["prompt_key"]].append(point)
    for row in run.rows:
      setting = _setting(run, row)
      which = tuple(setting.values())
      home, before = known.setdefault((*which, *_identity(row)), (run, row))
      if home is not run:
        raise WayjaxError(
          f"{home.path} and {run.path} both hold {row['prompt_key']}: name parts of one sweep, or "
          "one of the two"
        )
      results = merged.setdefault(which, Results(setting, [], [], {}, {}))
      key = member(row)
      if key in results.homes:
        if before == row:
          continue  # the same line twice
        raise WayjaxError(f"{run.path} holds different rows of {key[0]}: keep one of them")
      results.homes[key] = run
      results.curves[key] = tuple(curves[key[0]])
      at_the_end = [point for point in results.curves[key] if point["step"] == row["steps"]]
      dev = at_the_end[-1].get("dev_accuracy") if at_the_end else None
      results.rows.append(row | {"dev_accuracy": dev})
      if not results.runs or results.runs[-1] is not run:
        results.runs.append(run)
  return list(merged.values())


def _identity(row: dict) -> tuple:
  """What a member is, among those of a setting: also where its name is only its text's place."""
  group, name, text = row["target_group"], row["target_name"], row["target_text"]
  return group, None if is_numbered(group, name) else name, text, *variant_of(row), row["seed"]


def _setting(run: Run, row: dict) -> dict:
  """What a run folder recorded of a row's setting, by name; None for what it did not."""
  resolved = run.config.get("resolved") or {}
  schema.need(resolved, _READ_RESOLVED, f"the configuration of {run.path}")
  schema.need(row, (*_READ, *rows.field_names("setting")), f"a row of {run.path}")
  absent = {field.name: field.metadata.get("absent") for field in options(SETTING)}
  # What was resolved comes before what was asked for.
  recorded = absent | run.config | (run.config.get("task") or {}) | resolved
  recorded |= {name: row[name] for name in rows.field_names("setting")}
  return {name: _hashable(recorded.get(name)) for name in setting_names()}


def _hashable(value):
  if isinstance(value, list | tuple):
    return ", ".join(map(str, value))
  return str(value) if isinstance(value, dict) else value
