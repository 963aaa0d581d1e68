"""The run folder: what is written, when, and how it is read back."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from wayjax.errors import WayjaxError

CONFIG, ROWS, METRICS = "config.json", "results.jsonl", "metrics.jsonl"
PROMPTS, SUMMARY = "prompts.safetensors", "summary.md"


def create_folder(path: Path) -> bool:
  """Makes a run folder.

  Returns:
    Whether it was not there before.

  Raises:
    WayjaxError: it exists and is not empty, or cannot be written to.
  """
  existed = os.path.isdir(path)
  if os.path.exists(path) and not existed:
    raise WayjaxError(f"--out {path} is a file: name a folder")
  try:
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
      raise WayjaxError(f"--out {path} is not empty: name a new folder, no run is overwritten")
    probe = path / ".writable"
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise WayjaxError(f"--out {path} cannot be written to: {error.strerror}") from error
  return not existed


class RunWriter:
  """Writes a run folder; whatever was written stays readable if the run ends early.

  Args:
    path: an empty folder.
  """

  def __init__(self, path: Path):
    self.path = path
    self._prompts: dict[str, np.ndarray] = {}

  def write_config(self, config: dict) -> None:
    """Writes the resolved configuration."""
    self._replace(CONFIG, json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False) + "\n")

  def append_rows(self, rows: list[dict], prompts: dict[str, np.ndarray]) -> None:
    """Adds finished members: first their prompts, (P, D) each by prompt key, then their rows."""
    self._prompts.update(
      {key: np.ascontiguousarray(prompt, np.float32) for key, prompt in prompts.items()}
    )
    partial = self.path / (PROMPTS + ".partial")
    with _writing(self.path):
      save_file(self._prompts, partial)
      os.replace(partial, self.path / PROMPTS)
    self._append(ROWS, rows)

  def append_metrics(self, records: list[dict]) -> None:
    """Adds points of the training curves."""
    self._append(METRICS, records)

  def write_summary(self, text: str) -> None:
    """Writes the closing table."""
    self._replace(SUMMARY, text)

  def _append(self, name: str, records: list[dict]) -> None:
    lines = [json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n" for record in records]
    with _writing(self.path), (self.path / name).open("a", encoding="utf-8") as file:
      file.write("".join(lines))
      file.flush()
      os.fsync(file.fileno())

  def _replace(self, name: str, text: str) -> None:
    partial = self.path / (name + ".partial")
    with _writing(self.path):
      partial.write_text(text, encoding="utf-8")
      os.replace(partial, self.path / name)


@contextlib.contextmanager
def _writing(path: Path):
  """Turns a failed write into one sentence."""
  try:
    yield
  except (OSError, SafetensorError) as error:
    reason = getattr(error, "strerror", None) or error
    raise WayjaxError(
      f"{path} cannot be written to ({reason}); what was written so far stays readable"
    ) from error


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder, read back.

  Attributes:
    path: the folder.
    config: the resolved configuration, with versions, device, revisions and the data's hash.
    rows: one a finished member; the README lists the fields.
    metrics: points of the training curves.
  """

  path: Path
  config: dict
  rows: list[dict]
  metrics: list[dict]

  def prompt(self, key: str) -> np.ndarray:
    """The tuned prompt of a row's `prompt_key`, (P, D), float32.

    Raises:
      WayjaxError: the folder has no such prompt, or its prompts cannot be read.
    """
    path = self.path / PROMPTS
    try:
      with safe_open(path, framework="numpy") as file:
        if key in file.keys():  # noqa: SIM118 - not a dict
          return file.get_tensor(key)
    except (OSError, SafetensorError) as error:
      raise WayjaxError(f"{path} cannot be read: {error}") from error
    raise WayjaxError(f"{path} has no prompt '{key}'")


def read_run(path: str | Path) -> Run:
  """Reads a run folder, also one whose run has not ended.

  Args:
    path: the folder.

  Returns:
    Its configuration, rows and metrics; prompts are read when asked for.

  Raises:
    WayjaxError: it is no run folder, or a file in it is damaged.
  """
  path = Path(path)
  if not os.path.isfile(path / CONFIG):
    raise WayjaxError(f"{path} is no run folder: it has no {CONFIG}")
  try:
    config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
  except ValueError as error:
    raise WayjaxError(f"{path / CONFIG} is damaged: {error}") from error
  return Run(path, config, _read_lines(path / ROWS), _read_lines(path / METRICS))


def _read_lines(path: Path) -> list[dict]:
  if not path.is_file():
    return []
  lines = path.read_text(encoding="utf-8").split("\n")
  records = []
  # What follows the last line's end is nothing, or a line that was cut off.
  for number, line in enumerate(lines[:-1], start=1):
    try:
      records.append(json.loads(line))
    except ValueError as error:
      raise WayjaxError(f"{path}, line {number} is damaged: {error}") from error
  return records
