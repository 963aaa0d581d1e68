"""The run folder: what is in it, and how it is read back, also while it is written."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError, reason
from wayjax.prompts import SoftPrompt
from wayjax.results import rows, schema
from wayjax.results.run_files import Files
from wayjax.results.storage import open_files

CONFIG, ROWS, METRICS = "config.json", "results.jsonl", "metrics.jsonl"
READINGS = "readings.jsonl"
PROMPTS, SUMMARY, DECISIONS = "prompts.safetensors", "summary.md", "decisions.json"
CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder, read back.

  Attributes:
    path: the folder.
    config: the resolved configuration, with versions, device, revisions and the data's hash.
    rows: one a finished member; `results.rows.Row` lists the fields.
    metrics: points of the training curves.
  """

  path: Path | str
  config: dict
  rows: list[dict]
  metrics: list[dict]

  def prompt(self, key: str) -> SoftPrompt:
    """The tuned prompt of a row's `prompt_key`.

    Raises:
      WayjaxError: the folder has no such prompt, or its prompts cannot be read.
    """
    where = self._files.locate(PROMPTS)
    if key not in self._prompts:
      raise WayjaxError(f"{where} has no prompt '{key}'")
    found = self._prompts[key]
    if found.dtype != np.float32 or found.ndim != 2 or 0 in found.shape:
      raise WayjaxError(
        f"{where} holds '{key}' as {found.dtype} {found.shape}, which is not a soft prompt"
      )
    resolved = self.config.get("resolved") or {}
    return SoftPrompt(
      found,
      self.config.get("model", ""),
      self._targets.get(_text_of(key)),
      {"run": str(self.path), "key": key},
      before=resolved.get("before", ""),  # earlier versions put nothing around prompts
      after=resolved.get("after", ""),
      reply=resolved.get("reply", ""),
    )

  def prompt_keys(self) -> list[str]:
    """The keys of all prompts, including members whose rows are yet to be written."""
    return list(self._prompts)

  def reading(self, key: str) -> dict | None:
    """The nearest tokens of a row's prompt: `target_tokens`, and `nearest` by position.

    Returns:
      None where the folder does not have them.
    """
    return self._readings.get(key)

  def decisions(self) -> list[dict]:
    """How members are trained, as the sweep decided it."""
    content, where = self._files.read(DECISIONS), self._files.locate(DECISIONS)
    if content is None:
      return []
    stored = schema.parse(content, schema.Decided, where)
    return schema.need(stored, ["decisions"], where)["decisions"]

  @functools.cached_property
  def _files(self) -> Files:
    return open_files(self.path)

  @functools.cached_property
  def _readings(self) -> dict[str, dict]:
    records = _read_lines(self._files, READINGS, schema.NearestTokens)
    return {record.get("prompt_key"): record for record in records}

  @functools.cached_property
  def _targets(self) -> dict[str, Target]:
    """What the folder's prompts are to read as, by group and name."""
    try:
      resolved = self.config.get("resolved", {})
      texts = zip(resolved.get("targets", ()), resolved.get("target_texts", ()))
      return {name: Target(*name.split("/", 1), text) for name, text in texts}
    except (AttributeError, TypeError) as error:
      raise WayjaxError(f"{self._files.locate(CONFIG)} is damaged: {reason(error)}") from error

  @functools.cached_property
  def _prompts(self) -> dict[str, np.ndarray]:
    return read_prompts(self._files)


def _text_of(key: str) -> str:
  """The group and name of the target in a prompt's key."""
  return key.rsplit("/gamma=", 1)[0]


def read_config(path: str | Path) -> dict:
  """The resolved configuration of a run folder.

  Raises:
    WayjaxError: it is not a run folder, or its configuration is damaged.
  """
  files = open_files(path)
  content = files.read(CONFIG)
  if content is None:
    raise WayjaxError(f"{files.path} is not a run folder: it has no {CONFIG}")
  return schema.parse(content, schema.Config, files.locate(CONFIG))


def read_run(path: str | Path) -> Run:
  """Reads a run folder, also one whose run has not ended.

  Args:
    path: the folder, or gs://BUCKET/FOLDER.

  Returns:
    Its configuration, rows and metrics; prompts are read when asked for.

  Raises:
    WayjaxError: it is not a run folder, or a file in it is damaged.
  """
  config, files = read_config(path), open_files(path)
  found = [rows.from_json(row) for row in _read_lines(files, ROWS, rows.Row)]
  return Run(files.path, config, found, _read_lines(files, METRICS, schema.CurvePoint))


def read_prompts(files: Files) -> dict[str, np.ndarray]:
  """Prompts by key; of a whole file and its parts, the whole."""
  prompts = {}
  try:
    for part in files.read_parts(PROMPTS):
      prompts.update(load(part))
  except WayjaxError:
    raise
  except Exception as error:  # not a safetensors file, or types that numpy lacks
    raise WayjaxError(f"{files.locate(PROMPTS)} cannot be read: {reason(error)}") from error
  return prompts


def _read_lines(files: Files, name: str, kind: type) -> list[dict]:
  # After the last line end there is nothing, or a line that was cut off, even within a character.
  lines = (files.read(name) or b"").split(b"\n")[:-1]
  where = files.locate(name)
  return [
    schema.parse(line, kind, f"{where}, line {number}")
    for number, line in enumerate(lines, start=1)
  ]
