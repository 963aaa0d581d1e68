"""--log-to: the points and rows of a run in TensorBoard and Weights & Biases too, as they appear.

A resumed run rewrites the trackers' files with everything its folder holds, and steps that are
trained again are not reported again, so every point is there once.
"""

import contextlib
import hashlib
import importlib
import logging
import os
import re
import secrets
import shutil
import struct
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Protocol

from wayjax.errors import WayjaxError, reason
from wayjax.results.folder import read_run
from wayjax.results.rows import field_names
from wayjax.results.storage import GCS, open_files
from wayjax.results.writer import RunWriter
from wayjax.visible import visible

TENSORBOARD, WANDB = "tensorboard", "wandb"
WANDB_ID = "wandb-id"
_log = logging.getLogger("wayjax")
CURVES = ("cross_entropy", "c_dist", "reader_nll", "dev_accuracy")
RESULTS = field_names("score")
_PLAIN = re.compile(r"[\w=+-][\w .,=+-]{0,59}")  # a name that any file system accepts


class Tracker(Protocol):
  """What each tracker of --log-to does with a run."""

  def add_points(self, records: list[dict]) -> None:
    """Takes points of the training curves, all of one step, as metrics.jsonl holds them."""

  def add_rows(self, rows: list[dict]) -> None:
    """Takes finished members, as results.jsonl holds them."""

  def close(self, failed: bool) -> None:
    """Ends it; `failed` is whether the run was cut off."""


def require(names: tuple[str, ...], folder: str | None) -> None:
  """Checks that some trackers can be used, without opening any.

  Args:
    names: `tensorboard`, `wandb` or both.
    folder: the run folder, if it is known yet.

  Raises:
    WayjaxError: one is not installed, or cannot write to the folder.
  """
  for name, package, entry in (
    (TENSORBOARD, "tensorboardX", "SummaryWriter"),
    (WANDB, "wandb", "init"),
  ):
    if name not in names:
      continue
    try:
      found = hasattr(importlib.import_module(package), entry)  # a folder ./wandb has none
    except ImportError:
      found = False
    if not found:
      raise WayjaxError(f"--log-to {name} needs {package}: pip install 'wayjax[{name}]'")
  if TENSORBOARD in names and str(folder).startswith(GCS):
    raise WayjaxError(
      f"--log-to {TENSORBOARD} cannot write to {GCS}, where nothing can be appended: name a "
      f"folder of a file system, or --log-to {WANDB}"
    )


@contextlib.contextmanager
def follow(writer: RunWriter, names: tuple[str, ...], config: dict) -> Iterator[None]:
  """Reports to trackers what a run folder holds, and everything that is added to it.

  A tracker that fails is dropped with a warning: no training ends because of it.

  Args:
    writer: writes the run folder, which has its configuration already.
    names: `tensorboard`, `wandb` or both.
    config: the resolved configuration.

  Raises:
    WayjaxError: a tracker cannot be opened.
  """
  trackers, failed = _Trackers(), True
  try:
    for name in names:
      trackers.add(name, _open(name, writer.path, config))
    run = read_run(writer.path)
    for _, records in groupby(run.metrics, key=lambda record: record["step"]):
      trackers.add_points(list(records))
    trackers.add_rows(run.rows)
    writer.on_metrics, writer.on_rows = trackers.add_points, trackers.add_rows
    yield
    failed = False
  finally:
    trackers.close(failed)


def _open(name: str, folder: Path | str, config: dict) -> Tracker:
  try:
    return TensorBoard(folder) if name == TENSORBOARD else Wandb(folder, config)
  except WayjaxError:
    raise
  except Exception as error:  # wandb has errors of its own
    raise WayjaxError(
      f"--log-to {name}: {reason(error)}; once that is fixed, --resume {folder} starts the training"
    ) from error


class _Trackers:
  """All trackers of a run; each gets a point once, even if it is trained again."""

  def __init__(self):
    self._trackers: dict[str, Tracker] = {}
    self._last: dict[str, int] = {}  # step of a member's last point

  def add(self, name: str, tracker: Tracker) -> None:
    self._trackers[name] = tracker

  def add_points(self, records: list[dict]) -> None:
    new = [point for point in records if point["step"] > self._last.get(point["prompt_key"], 0)]
    self._last.update((point["prompt_key"], point["step"]) for point in new)
    if new:
      self._tell("add_points", new)

  def add_rows(self, rows: list[dict]) -> None:
    self._tell("add_rows", rows)

  def close(self, failed: bool) -> None:
    self._tell("close", failed)

  def _tell(self, what: str, told) -> None:
    for name, tracker in list(self._trackers.items()):
      try:
        getattr(tracker, what)(told)
      except Exception as error:  # whatever a file system or a service raises
        del self._trackers[name]
        _log.warning(
          "--log-to %s failed, and the run continues without it: %s", name, reason(error)
        )


class TensorBoard:
  """Event files in a run folder, RUN_DIR/tensorboard/<prompt_key>: a TensorBoard run a member.

  Args:
    folder: the run folder; event files that it has are replaced.
  """

  def __init__(self, folder: Path | str):
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import masked_crc32c

    self._event, self._summary, self._checksum = Event, Summary, masked_crc32c
    self._start = SessionLog(status=SessionLog.START)
    self._root = Path(folder) / TENSORBOARD
    names = " ".join(path.name for path in self._root.glob("**/*.wayjax"))
    earlier = map(int, re.findall(r"tfevents\.(\d{1,18})\.wayjax", names))
    # An open TensorBoard reads on in names that sort later, even where the clock has jumped back.
    self._name = f"events.out.tfevents.{max([int(time.time()) - 1, *earlier]) + 1}.wayjax"
    if self._root.exists():
      shutil.rmtree(self._root)

  def add_points(self, records: list[dict]) -> None:
    for record in records:
      self._write(record["prompt_key"], record["step"], {name: record.get(name) for name in CURVES})

  def add_rows(self, rows: list[dict]) -> None:
    for row in rows:
      values = {f"row/{name}": row.get(name) for name in RESULTS}
      self._write(row["prompt_key"], row["steps"], values)

  def close(self, failed: bool) -> None:
    pass  # no file stays open

  def _write(self, key: str, step: int, values: dict[str, float | None]) -> None:
    path = self._root / _folder_name(key) / self._name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tensorboardX's SummaryWriter, which keeps open files and a thread for every member.
    with path.open("ab") as file:
      if not file.tell():
        file.write(self._record(file_version="brain.Event:2"))
        # At this, an open TensorBoard drops what it had read before the run was resumed.
        file.write(self._record(session_log=self._start))
      points = [
        self._summary.Value(tag=name, simple_value=value)
        for name, value in values.items()
        if value is not None
      ]
      file.write(self._record(step=step, summary=self._summary(value=points)))

  def _record(self, **event) -> bytes:
    """An event, as an event file holds it."""
    data = self._event(wall_time=time.time(), **event).SerializeToString()
    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", self._checksum(part)) for part in (length, data))
    return length + next(sums) + data + next(sums)


def _folder_name(key: str) -> str:
  """A member's folder: its key, except for parts that cannot name a folder, such as `..`."""

  def name(part: str) -> str:
    if _PLAIN.fullmatch(part):
      return part
    return re.sub(r"[^\w=+-]", "_", part)[:40] + "-" + hashlib.sha256(part.encode()).hexdigest()[:8]

  return "/".join(map(name, key.split("/")))


def _cell(value):
  """A value as a table shows it."""
  return visible(value) if isinstance(value, str) else value


class Wandb:
  """One run of Weights & Biases, whose curves are named <curve>/<prompt_key>.

  There may be hundreds of members, and they take turns: a run for each would be too many.

  Args:
    folder: the run folder, which keeps the id, so that a resumed run is the same run there.
    config: the resolved configuration.
  """

  def __init__(self, folder: Path | str, config: dict):
    import wandb

    files = open_files(folder)
    stored = files.read(WANDB_ID)
    name = stored.decode() if stored else secrets.token_hex(8)
    where = {} if str(folder).startswith(GCS) or "WANDB_DIR" in os.environ else {"dir": str(folder)}
    self._run = wandb.init(
      project=os.environ.get("WANDB_PROJECT", "wayjax"),
      name=os.environ.get("WANDB_NAME", visible(str(folder).rstrip("/").rsplit("/", 1)[-1])),
      id=name,
      resume="allow",
      config=config,
      allow_val_change=True,
      settings=wandb.Settings(console="off"),  # it would take the terminal from the progress bars
      **where,
    )
    files.replace(WANDB_ID, name.encode())
    self._run.define_metric("step")
    self._run.define_metric("*", step_metric="step")
    self._table = wandb.Table
    self._rows: list[dict] = []
    self._points = 0

  def add_points(self, records: list[dict]) -> None:
    before, self._points = self._points, self._points + len(records)
    # Its own steps count points; of a resumed run it may have the first ones already.
    new = records[max(0, self._run.starting_step - before) :]
    if new:
      curves = {
        f"{name}/{visible(record['prompt_key'])}": record[name]
        for record in new
        for name in CURVES
        if record.get(name) is not None
      }
      self._run.log({"step": new[0]["step"], **curves}, step=self._points - 1)

  def add_rows(self, rows: list[dict]) -> None:
    self._rows += rows
    self._run.summary.update(
      {
        f"row/{name}/{visible(row['prompt_key'])}": row[name]
        for row in rows
        for name in RESULTS
        if row.get(name) is not None
      }
    )

  def close(self, failed: bool) -> None:
    if self._rows:
      columns = list(self._rows[0])
      cells = [[_cell(row.get(name)) for name in columns] for row in self._rows]
      self._run.summary["rows"] = self._table(columns=columns, data=cells, allow_mixed_types=True)
    self._run.finish(exit_code=int(failed))
