"""Which prompts of a run are exported, and what the run knows of them."""

import dataclasses
import re
from collections import Counter
from hashlib import sha256

import numpy as np

from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError, reason
from wayjax.export.source import Source
from wayjax.prompt_files import find_key, is_run, load_prompt, require_finite
from wayjax.prompt_files.belonging import choose_model
from wayjax.results import schema, summary
from wayjax.results.folder import CONFIG, Run, read_run
from wayjax.results.rows import is_free

_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_LONGEST = 100  # characters of a folder's name
_SHOWN = 3  # keys in a message
_NEEDED = ("prompt_key", "status", "accuracy", "gamma", "seed", "projected_text")  # of a row
_TARGET = ("target_group", "target_name", "target_text")


def choose(
  path: str, keys: list[str] | None, best: bool, every: bool, tensor: str | None, lm
) -> tuple[list[Source], list[str]]:
  """The prompts that a command line names, and sentences on which they are.

  Args:
    path: a run folder, or whatever else `load_prompt` reads.
    keys: the keys of a run's prompts; None means its only one.
    best: whether the most accurate is wanted instead.
    every: whether all are.
    tensor: the tensor of a safetensors file.
    lm: the model, where it is loaded.

  Raises:
    WayjaxError: there are no such prompts, or they are not finite or of another model.
  """
  if not is_run(path):
    if best or every:
      raise WayjaxError(f"--best and --all belong to run folders, and {path} is none")
    prompt = load_prompt(path, key=keys and keys[0], tensor=tensor, model=lm)
    return [Source(prompt=prompt, where=path)], []
  if tensor is not None:
    raise WayjaxError(
      f"--tensor belongs to files of tensors, and {path} is a run folder: use --key"
    )
  run = read_run(path)
  for row in run.rows:
    schema.need(row, (*_NEEDED, *_TARGET), f"a row of {path}")
  present = sorted(run.prompt_keys())
  if not present:
    find_key(run, None)  # says so
  if best:
    row, said = _best(run)
    return [_source(run, row["prompt_key"], lm)], [said]
  if every:
    return _all(run, present, lm)
  if keys is None and len(present) > 1:
    some = ", ".join(f"'{key}'" for key in present[:_SHOWN])
    raise WayjaxError(
      f"{path} holds {len(present)} prompts: give --key with some of {some} and so on, "
      "--best or --all"
    )
  wanted = dict.fromkeys(find_key(run, key) for key in keys or [None])
  return [_source(run, key, lm) for key in wanted], []


def _best(run: Run) -> tuple[dict, str]:
  """The row of a run's most accurate prompt, and a sentence on it."""
  kind = "constrained"
  rows = summary.best(run.rows)
  if not rows:
    kind = "unconstrained"
    sound = [row for row in run.rows if row["status"] == "done"]
    rows = sorted(sound, key=lambda row: row["accuracy"], reverse=True)
  if not rows:
    raise WayjaxError(f"{run.path} has no row of a prompt that did not diverge: use --key")
  row = rows[0]
  return row, (
    f"the most accurate {kind} prompt: {row['prompt_key']}, {summary.percent(row['accuracy'])} %"
  )


def _all(run: Run, keys: list[str], lm) -> tuple[list[Source], list[str]]:
  """Every prompt of finite numbers, and a sentence on those that have others."""
  finite = [key for key in keys if np.isfinite(run.prompt(key).vectors_PxD).all()]
  lost = [key for key in keys if key not in finite]
  if not finite:
    raise WayjaxError(f"all prompts in {run.path} diverged: there is nothing to export")
  said = f"left out, because they diverged: {', '.join(lost)}"
  return [_source(run, key, lm) for key in finite], [said] if lost else []


def _source(run: Run, key: str, lm) -> Source:
  where = f"{run.path}, '{key}'"
  prompt = require_finite(run.prompt(key), where)
  if not prompt.model:
    prompt = dataclasses.replace(prompt, model=choose_model(str(run.path), None, None, lm))
  row = next((row for row in run.rows if row["prompt_key"] == key), None)
  resolved = run.config.get("resolved") or {}
  return Source(
    prompt=prompt,
    where=where,
    task=_task(run),
    max_length=resolved.get("max_length"),
    row=row,
    config=run.config,
    unconstrained=row and _unconstrained(run, row),
  )


def _task(run: Run) -> Task | None:
  """The task as the run's folder has it; its file may have changed since."""
  if not run.config.get("task"):
    return None
  where = f"{run.path}/{CONFIG}"
  try:
    names = ("name", "template", "label_words", "class_names")
    task = Task.from_json(schema.need(run.config["task"], names, where))
  except (KeyError, TypeError) as error:
    raise WayjaxError(f"{where} is damaged: its task {reason(error)}") from error
  _ = task.layout  # says what is wrong with its template
  return task


def _unconstrained(run: Run, row: dict) -> float | None:
  """The accuracy of the unconstrained prompt of the same target and seed."""
  same = (*_TARGET, "seed")
  for other in run.rows:
    alike = all(other[name] == row[name] for name in same)
    if alike and is_free(other) and other["status"] == "done":
      return other["accuracy"]
  return None


def safe_names(keys: list[str]) -> list[str]:
  """A folder's name for each of several keys: plain characters, and no two alike."""
  plain = [_UNSAFE.sub("-", key).strip(".-") for key in keys]
  counts = Counter(name.casefold() for name in plain)  # some file systems ignore case
  return [
    name
    if name and len(name) <= _LONGEST and counts[name.casefold()] == 1
    else f"{name[:_LONGEST]}-{sha256(key.encode(errors='replace')).hexdigest()[:12]}".strip("-")
    for name, key in zip(plain, keys)
  ]
