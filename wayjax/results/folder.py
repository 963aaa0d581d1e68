"""The run folder: what is written, when, and how it is read back."""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError, reason
from wayjax.prompts import SoftPrompt
from wayjax.results import rows, schema
from wayjax.results.storage import Files, open_files

_log = logging.getLogger("wayjax")

CONFIG, ROWS, METRICS = "config.json", "results.jsonl", "metrics.jsonl"
READINGS = "readings.jsonl"
PROMPTS, SUMMARY, DECISIONS = "prompts.safetensors", "summary.md", "decisions.json"
CHECKPOINTS = "checkpoints"


class RunWriter:
  """Writes a run folder; whatever was written stays readable if the run ends early.

  Args:
    path: a folder, or gs://BUCKET/FOLDER.
    writes: whether anything is written; of several processes only the first writes.

  Attributes:
    path: the folder.
    on_metrics: called with points of the training curves after they are written.
    on_rows: called with rows after they are written.
  """

  def __init__(self, path: str | Path, *, writes: bool = True):
    self._files, self._writes = open_files(path), writes
    self.path = self._files.path
    self._is_new = False
    self._prompts: dict[str, np.ndarray] = {}
    self._written: set[str] = set()
    self.on_metrics: Callable[[list[dict]], None] = _ignore
    self.on_rows: Callable[[list[dict]], None] = _ignore

  @classmethod
  def begin(cls, path: str | Path) -> "RunWriter":
    """Begins a run folder.

    Raises:
      WayjaxError: it exists and is not empty, or cannot be written to.
    """
    writer = cls(path)
    writer._is_new = writer._files.create()
    return writer

  @classmethod
  def resume(cls, path: str | Path) -> "RunWriter":
    """Resumes a run folder; a last line that was cut off is dropped, with a warning.

    Raises:
      WayjaxError: it is not a run folder, is damaged, or cannot be written to.
    """
    writer = cls(path)
    for name in (ROWS, METRICS, READINGS):
      if writer._files.mend(name):
        _log.warning(
          "the last line of %s had been cut off; it is dropped", writer._files.locate(name)
        )
    run = read_run(path)
    writer._written = {row["prompt_key"] for row in run.rows}
    writer._prompts = {key: run.prompt(key).vectors_PxD for key in run.prompt_keys()}
    return writer

  @property
  def checkpoints(self) -> str:
    """The path of the checkpoints' folder."""
    return self._files.locate(CHECKPOINTS)

  def discard_if_empty(self) -> None:
    """Removes a folder that this run made, where it has written nothing."""
    if self._is_new:
      self._files.discard()

  def write_config(self, config: dict) -> None:
    """Writes the resolved configuration."""
    self._replace(CONFIG, json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False) + "\n")

  def write_decisions(self, decisions: list[dict]) -> None:
    """Writes how members are trained, so that a resumed run need not measure it again."""
    self._replace(DECISIONS, json.dumps({"decisions": decisions}, indent=2) + "\n")

  def append_rows(
    self, rows: list[dict], prompts: dict[str, np.ndarray], nearest: Sequence[dict] = ()
  ) -> None:
    """Adds finished members: their prompts and nearest tokens, then their rows.

    Rows that are already there stay as they are.

    Args:
      rows: rows, as `results.rows` has them.
      prompts: vectors by prompt key, (P, D) each.
      nearest: by member, what `Run.reading` returns.
    """
    if not self._writes:
      return
    rows = [row for row in rows if row.get("prompt_key") not in self._written]
    self._prompts.update(
      {key: np.ascontiguousarray(prompt, np.float32) for key, prompt in prompts.items()}
    )
    self._files.replace(PROMPTS, save(self._prompts))
    self._append(READINGS, list(nearest))
    self._append(ROWS, rows)
    self._written.update(row["prompt_key"] for row in rows if "prompt_key" in row)
    self.on_rows(rows)

  def append_metrics(self, records: list[dict]) -> None:
    """Adds points of the training curves."""
    self._append(METRICS, records)
    self.on_metrics(records)

  def forget_metrics(self, keys: list[str], step: int) -> None:
    """Drops the points of some members after the step from which they train again."""

    def keep(line: bytes) -> bool:
      record = json.loads(line)
      return not (record["prompt_key"] in keys and record["step"] > step)

    if self._writes:
      self._files.keep_lines(METRICS, keep)

  def write_summary(self, text: str) -> None:
    """Writes the closing table."""
    self._replace(SUMMARY, text)

  def _append(self, name: str, records: list[dict]) -> None:
    lines = "".join(map(_line, records))
    if self._writes and lines:
      self._files.append(name, lines.encode())

  def _replace(self, name: str, text: str) -> None:
    if self._writes:
      self._files.replace(name, text.encode())


def _ignore(_) -> None:
  pass


def _line(record: dict) -> str:
  return json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"


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
    origin = {"run": str(self.path), "key": key}
    return SoftPrompt(found, self.config.get("model", ""), self._targets.get(_text_of(key)), origin)

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
    content = self._files.read(PROMPTS)
    if content is None:
      return {}
    try:
      return load(content)
    except Exception as error:  # not a safetensors file, or types that numpy lacks
      raise WayjaxError(f"{self._files.locate(PROMPTS)} cannot be read: {reason(error)}") from error


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


def _read_lines(files: Files, name: str, kind: type) -> list[dict]:
  # After the last line end there is nothing, or a line that was cut off, even within a character.
  lines = (files.read(name) or b"").split(b"\n")[:-1]
  where = files.locate(name)
  return [
    schema.parse(line, kind, f"{where}, line {number}")
    for number, line in enumerate(lines, start=1)
  ]
