"""The run folder as it is written: by one process, in an order that loses nothing."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from wayjax.results.folder import (
  CHECKPOINTS,
  CONFIG,
  DECISIONS,
  METRICS,
  PROMPTS,
  READINGS,
  ROWS,
  SUMMARY,
  read_config,
  read_prompts,
  read_run,
)
from wayjax.results.storage import open_files

_log = logging.getLogger("wayjax")


class RunWriter:
  """Writes a run folder; whatever was written stays readable if the run ends early.

  Only one process at a time writes a folder: from `begin` or `resume` to `close` it is held. A
  context manager, which closes it.

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
    self._written: set[str] = set()  # keys of the rows
    self._curves: set[str] = set()  # keys of the metrics
    self.on_metrics: Callable[[list[dict]], None] = _ignore
    self.on_rows: Callable[[list[dict]], None] = _ignore

  @classmethod
  def begin(cls, path: str | Path) -> "RunWriter":
    """Begins a run folder.

    Raises:
      FolderTaken: it exists and is not empty, or another process holds it.
      WayjaxError: it cannot be written to.
    """
    writer = cls(path)
    writer._files.create()
    return writer

  @classmethod
  def resume(cls, path: str | Path) -> "RunWriter":
    """Resumes a run folder; a last line that was cut off is dropped, with a warning.

    Raises:
      FolderTaken: another process writes it.
      WayjaxError: it is not a run folder, is damaged, or cannot be written to.
    """
    writer = cls(path)
    read_config(path)  # a folder that is none is not locked
    writer._files.hold()
    try:
      for name in (ROWS, METRICS, READINGS):
        if writer._files.mend(name):
          _log.warning(
            "the last line of %s had been cut off; it is dropped", writer._files.locate(name)
          )
      run = read_run(path)
      writer._written = {row["prompt_key"] for row in run.rows}
      writer._curves = {point.get("prompt_key") for point in run.metrics}
    except BaseException:
      writer.close()
      raise
    return writer

  @property
  def checkpoints(self) -> str:
    """The path of the checkpoints' folder."""
    return self._files.locate(CHECKPOINTS)

  def close(self) -> None:
    """Gives the folder back; one that this run made is removed where nothing was written."""
    self._files.release()

  def __enter__(self) -> "RunWriter":
    return self

  def __exit__(self, *exception) -> None:
    self.close()

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
    # A part a chunk: written whole each time, the file would grow with the square of the sweep.
    self._files.add_part(PROMPTS, _to_bytes(prompts))
    self._append(READINGS, list(nearest))
    self._append(ROWS, rows)
    self._written.update(row["prompt_key"] for row in rows if "prompt_key" in row)
    self.on_rows(rows)

  def append_metrics(self, records: list[dict]) -> None:
    """Adds points of the training curves."""
    self._append(METRICS, records)
    self._curves.update(record["prompt_key"] for record in records if "prompt_key" in record)
    self.on_metrics(records)

  def forget_metrics(self, keys: list[str], step: int) -> None:
    """Drops the points of some members after the step from which they train again."""

    def keep(line: bytes) -> bool:
      record = json.loads(line)
      return not (record["prompt_key"] in keys and record["step"] > step)

    if self._writes and self._curves.intersection(keys):
      self._files.keep_lines(METRICS, keep)

  def finish(self, summary: str) -> None:
    """Writes the closing table, and brings the prompts into one file."""
    self._replace(SUMMARY, summary)
    if self._writes:
      prompts = read_prompts(self._files)
      if prompts:
        self._files.merge_parts(PROMPTS, _to_bytes(prompts))

  def _append(self, name: str, records: list[dict]) -> None:
    lines = "".join(map(_line, records))
    if self._writes and lines:
      self._files.append(name, lines.encode())

  def _replace(self, name: str, text: str) -> None:
    if self._writes:
      self._files.replace(name, text.encode())


def _ignore(_) -> None:
  pass


def _to_bytes(prompts: dict[str, np.ndarray]) -> bytes:
  return save({key: np.ascontiguousarray(x_PxD, np.float32) for key, x_PxD in prompts.items()})


def _line(record: dict) -> str:
  return json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"
