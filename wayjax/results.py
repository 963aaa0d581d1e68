"""The run folder: what is written, when, and how it is read back."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from wayjax.errors import WayjaxError

CONFIG, ROWS, METRICS = "config.json", "results.jsonl", "metrics.jsonl"
PROMPTS, SUMMARY, DECISIONS = "prompts.safetensors", "summary.md", "decisions.json"
CHECKPOINTS = "checkpoints"


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
    writes: whether anything is written; of several processes only the first writes.
  """

  def __init__(self, path: Path, *, writes: bool = True):
    self.path, self._writes = path, writes
    self._prompts: dict[str, np.ndarray] = {}
    self._written: set[str] = set()

  @classmethod
  def resume(cls, path: Path, say: Callable[[str], None]) -> "RunWriter":
    """Goes on with a run folder; a last line that was cut off is dropped, and said to be.

    Raises:
      WayjaxError: it is no run folder, is damaged, or cannot be written to.
    """
    writer = cls(path)
    for name in (ROWS, METRICS):
      if writer._drop_torn_line(name):
        say(f"warning: the last line of {path / name} had been cut off; it is dropped")
    run = read_run(path)
    writer._written = {row["prompt_key"] for row in run.rows}
    if (path / PROMPTS).exists():
      writer._prompts = {key: run.prompt(key) for key in run.prompt_keys()}
    return writer

  def write_config(self, config: dict) -> None:
    """Writes the resolved configuration."""
    self._replace(CONFIG, json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False) + "\n")

  def write_decisions(self, decisions: list[dict]) -> None:
    """Writes how members are trained, so that a run that goes on need not measure it."""
    self._replace(DECISIONS, json.dumps({"decisions": decisions}, indent=2) + "\n")

  def append_rows(self, rows: list[dict], prompts: dict[str, np.ndarray]) -> None:
    """Adds finished members: first their prompts, (P, D) each by prompt key, then their rows.

    Rows that are there already stay as they are.
    """
    if not self._writes:
      return
    rows = [row for row in rows if row.get("prompt_key") not in self._written]
    self._prompts.update(
      {key: np.ascontiguousarray(prompt, np.float32) for key, prompt in prompts.items()}
    )
    partial = self.path / (PROMPTS + ".partial")
    with _writing(self.path):
      save_file(self._prompts, partial)
      with partial.open("rb+") as file:
        os.fsync(file.fileno())  # rows follow, and none may be there without its prompt
      os.replace(partial, self.path / PROMPTS)
    self._append(ROWS, rows)
    self._written.update(row["prompt_key"] for row in rows if "prompt_key" in row)

  def append_metrics(self, records: list[dict]) -> None:
    """Adds points of the training curves."""
    self._append(METRICS, records)

  def forget_metrics(self, keys: list[str], step: int) -> None:
    """Drops the points of some members after a step, from which they train again."""
    kept, dropped = [], 0
    for record in _read_lines(self.path / METRICS):
      again = record["prompt_key"] in keys and record["step"] > step
      dropped += again
      kept += [] if again else [_line(record)]
    if dropped:
      self._replace(METRICS, "".join(kept))

  def write_summary(self, text: str) -> None:
    """Writes the closing table."""
    self._replace(SUMMARY, text)

  def _append(self, name: str, records: list[dict]) -> None:
    if not self._writes:
      return
    with _writing(self.path), (self.path / name).open("a", encoding="utf-8") as file:
      file.write("".join(map(_line, records)))
      file.flush()
      os.fsync(file.fileno())

  def _drop_torn_line(self, name: str) -> bool:
    path = self.path / name
    if not path.exists():
      return False
    with _writing(self.path), path.open("rb+") as file:
      text = file.read()
      file.truncate(text.rfind(b"\n") + 1)
    return not text.endswith(b"\n") and bool(text)

  def _replace(self, name: str, text: str) -> None:
    if not self._writes:
      return
    partial = self.path / (name + ".partial")
    with _writing(self.path):
      partial.write_text(text, encoding="utf-8")
      os.replace(partial, self.path / name)


def _line(record: dict) -> str:
  return json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"


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
          stored = file.get_slice(key)
          kind, shape = stored.get_dtype(), tuple(stored.get_shape())
          if kind != "F32" or len(shape) != 2 or 0 in shape:
            raise WayjaxError(f"{path} holds '{key}' as {kind} {shape}, which is no prompt")
          return file.get_tensor(key)
    except (OSError, SafetensorError) as error:
      raise WayjaxError(f"{path} cannot be read: {error}") from error
    raise WayjaxError(f"{path} has no prompt '{key}'")

  def prompt_keys(self) -> list[str]:
    """The keys of all prompts; of members whose rows are yet to be written too."""
    path = self.path / PROMPTS
    try:
      with safe_open(path, framework="numpy") as file:
        return list(file.keys())
    except (OSError, SafetensorError) as error:
      raise WayjaxError(f"{path} cannot be read: {error}") from error

  def decisions(self) -> list[dict]:
    """How members are trained, as the sweep decided it."""
    path = self.path / DECISIONS
    if not path.exists():
      return []
    decisions = _parse(path.read_bytes(), str(path)).get("decisions")
    if not isinstance(decisions, list):
      raise WayjaxError(f"{path} is damaged: it holds no decisions")
    return decisions


def read_config(path: Path) -> dict:
  """The resolved configuration of a run folder.

  Raises:
    WayjaxError: it is no run folder, or its configuration is damaged.
  """
  if not os.path.isfile(path / CONFIG):
    raise WayjaxError(f"{path} is no run folder: it has no {CONFIG}")
  return _parse((path / CONFIG).read_bytes(), str(path / CONFIG))


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
  return Run(path, read_config(path), _read_lines(path / ROWS), _read_lines(path / METRICS))


def _read_lines(path: Path) -> list[dict]:
  if not path.is_file():
    return []
  # What follows the last line's end is nothing, or a line that was cut off, within a letter even.
  lines = path.read_bytes().split(b"\n")[:-1]
  return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _parse(content: bytes, where: str) -> dict:
  try:
    record = json.loads(content.decode("utf-8"))
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"{where} is damaged: {error}") from error
  if not isinstance(record, dict):
    raise WayjaxError(f"{where} is damaged: it holds no JSON object")
  return record
