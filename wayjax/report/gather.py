"""Run folders -> the rows of each setting, with what was recorded beside them."""

import collections
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from wayjax.errors import WayjaxError
from wayjax.results.folder import CONFIG, Run, read_run
from wayjax.results.summary import by_target

# Rows that differ in one of these are never averaged: of rows, of configurations, of their tasks,
# and of what these were resolved to.
SETTING = ("model", "dataset", "split", "steps", "init", "lr", "precision", "projection")
_CONFIGURED = ("batch_size", "prompt_tokens")
_TASK = ("template", "label_words")
_HASHES = ("data_sha256", "model_sha256")
_RESOLVED = ("max_length", *_HASHES)
MODEL = ("model", "model_sha256")
# What else of rows, and of what configurations were resolved to, reports cannot do without.
_READ = ("target_group", "target_name", "target_text", "gamma", "seed", "status", "accuracy")
_READ += ("prompt_f1", "projected_text")
_READ_RESOLVED = ("majority", "parameters", "device", "versions")
MEASURED = "*.measured.json"  # what an experiment measures without tuning a prompt


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
    rows = [row for row in self.rows if belongs(row)]
    holding = {id(self.homes[member(row)]) for row in rows}
    runs = [run for run in self.runs if id(run) in holding]
    return dataclasses.replace(self, rows=rows, runs=runs)

  @functools.cached_property
  def lines(self) -> list[dict]:
    """Means over seeds, a line for each target and gamma: see `summary.by_target`."""
    return by_target(self.rows)

  @property
  def resolved(self) -> dict:
    """What the first of its runs resolved: rows, versions, device."""
    return self.runs[0].config["resolved"]


def member(row: dict) -> tuple[str, str]:
  """What tells the members of a setting apart: texts of the command line share their names."""
  return row["prompt_key"], row["target_text"]


def labels(results: list[Results], but: tuple[str, ...] = ()) -> list[str]:
  """Each one's task, and in which setting it differs from others of the same task.

  Args:
    results: what stands together in a table or a figure.
    but: names in settings that are shown otherwise.
  """
  settings = [
    {name: value for name, value in one.setting.items() if name not in but} for one in results
  ]
  differing = {
    name
    for one in settings
    for other in settings
    for name in one
    if one["dataset"] == other["dataset"] and one[name] != other[name]
  }

  def label(setting: dict, names: set[str]) -> str:
    parts = [_label(name, value) for name, value in setting.items() if name in names]
    return ", ".join([setting["dataset"], *parts])

  # A hash says nothing to readers, so it stands only where nothing else tells two apart.
  named = [label(setting, differing.difference(_HASHES)) for setting in settings]
  if len(set(named)) < len({tuple(setting.values()) for setting in settings}):
    named = [label(setting, differing) for setting in settings]
  return named


def _label(name: str, value) -> str:
  if name == "model":
    return value
  return f"{name} {str(value)[:12] if name in _HASHES else value}"


def find_runs(folders: Iterable[str]) -> list[Run]:
  """The run folders among folders and in them.

  Raises:
    WayjaxError: a folder neither is a run folder nor holds one.
  """
  runs, known = [], set()
  for folder in folders:
    if "://" in folder or (Path(folder) / CONFIG).is_file():
      found = [folder]
    else:
      found = sorted(str(path.parent) for path in Path(folder).glob(f"**/{CONFIG}"))
    new = [path for path in found if _whole(path) not in known]
    known.update(map(_whole, new))
    runs += map(read_run, new)
    if not found and not find_measured([folder]):
      raise WayjaxError(f"{folder} is no run folder and holds none: it has no {CONFIG}")
  return runs


def _whole(path: str) -> str:
  return path if "://" in path else str(Path(path).resolve())


def find_measured(folders: Iterable[str]) -> dict[str, dict]:
  """What experiments measured without tuning, by the experiment's name.

  Raises:
    WayjaxError: a file is damaged.
  """
  found = {}
  for folder in folders:
    for path in sorted(Path(folder).glob(MEASURED)):
      try:
        content = json.loads(path.read_text(encoding="utf-8"))
      except (OSError, ValueError) as error:
        raise WayjaxError(f"{path} is damaged: {error}") from error
      if not isinstance(content, dict) or "command" not in content:
        raise WayjaxError(f"{path} is damaged: it holds no measurement")
      found[path.name.split(".")[0]] = content
  return found


def merge(runs: list[Run]) -> list[Results]:
  """The rows of several run folders, by setting.

  Args:
    runs: run folders, read; parts of one sweep or different sweeps.

  Raises:
    WayjaxError: two folders hold different rows of the same member.
  """
  merged: dict[tuple, Results] = {}
  for run in runs:
    curves = collections.defaultdict(list)
    for point in run.metrics:
      curves[point["prompt_key"]].append(point)
    for row in run.rows:
      setting = _setting(run, row)
      results = merged.setdefault(tuple(setting.values()), Results(setting, [], [], {}, {}))
      key = member(row)
      if key in results.homes:
        raise WayjaxError(
          f"{results.homes[key].path} and {run.path} both hold {key[0]}: name parts of one sweep, "
          "or one of the two"
        )
      results.homes[key] = run
      results.curves[key] = tuple(curves[key[0]])
      at_the_end = [point for point in results.curves[key] if point["step"] == row["steps"]]
      dev = at_the_end[-1].get("dev_accuracy") if at_the_end else None
      results.rows.append(row | {"dev_accuracy": dev})
      if not results.runs or results.runs[-1] is not run:
        results.runs.append(run)
  return list(merged.values())


def _setting(run: Run, row: dict) -> dict:
  try:
    resolved = run.config["resolved"]
    for holder, names in ((row, _READ), (resolved, _READ_RESOLVED)):
      for name in names:
        holder[name]
    task = run.config.get("task") or {}
    return (
      {name: row[name] for name in SETTING}
      | {name: run.config.get(name) for name in _CONFIGURED}
      | {name: _hashable(task.get(name)) for name in _TASK}
      | {name: resolved.get(name) for name in _RESOLVED}
    )
  except KeyError as error:
    raise WayjaxError(f"{run.path} is damaged: a row or its config.json lacks {error}") from error


def _hashable(value):
  return ", ".join(value) if isinstance(value, list) else value
