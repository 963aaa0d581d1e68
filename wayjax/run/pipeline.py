"""One run, top to bottom: prepare, recover what an earlier run left, tune and measure in a loop."""

import contextlib
import itertools
import logging
import re
import signal
import time
from pathlib import Path

from wayjax import demo
from wayjax.config import AUTO, RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.devices import processes
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator
from wayjax.results import schema, summary, trackers
from wayjax.results.folder import CONFIG, Run, read_run
from wayjax.results.lock import FolderTaken
from wayjax.results.writer import RunWriter
from wayjax.run.display import Display, several
from wayjax.run.measure import Curves, Measure
from wayjax.run.prepare import Prepared, prepare
from wayjax.run.stopping import RunStopped, StopRequest
from wayjax.tuning.callbacks import Callbacks, Progress, Recovery, Stopped
from wayjax.tuning.checkpoint import Checkpoints
from wayjax.tuning.decisions import Decision, Decisions
from wayjax.tuning.settings import train_settings
from wayjax.tuning.sweep import tune_chunks

_log = logging.getLogger("wayjax")


class DryRun(Exception):
  """Ends a dry run after its first dispatch."""


def run(
  config: RunConfig, task: Task, targets: list[Target], display: Display
) -> Path | str | None:
  """Tunes and measures every member, and writes the run folder.

  Args:
    config: a valid configuration; with `resume` the run of that folder is continued.
    task: its task.
    targets: its targets.
    display: where plan, progress and table are shown.

  Returns:
    The run folder; None for a dry run.

  Raises:
    WayjaxError: whatever is wrong with model, data or folder.
    RunStopped: it was asked to stop, and what was in training has been saved.
    KeyboardInterrupt: after what was finished has been written.
  """
  if config.dry_run:
    _dry_run(prepare(config, task, targets), display)
    return None
  with _open_folder(config, task) as writer, StopRequest() as stop:  # a wrong input leaves nothing
    try:
      prepared = prepare(config, task, targets)
      earlier = read_run(writer.path) if config.resume else None
      display.plan(prepared.plan(Decisions(_decided(earlier))))
      _tune(prepared, display, writer, stop, earlier)
    except Stopped as stopped:
      # Of several processes another may have been asked to stop.
      raise RunStopped(writer.path, stop.signal or signal.SIGTERM) from stopped
  return writer.path


def _dry_run(prepared: Prepared, display: Display) -> None:
  """Trains until the expected time is known."""

  def estimate(at: Progress) -> None:
    if display.estimate(at):
      raise DryRun

  display.plan(prepared.plan())
  with contextlib.suppress(DryRun):
    settings = train_settings(prepared.config)
    watched = Callbacks(
      on_compile=lambda group: display.compiling(group.padded), on_progress=estimate
    )
    for _ in tune_chunks(prepared.lm, prepared.train, prepared.members, settings, watched):
      pass


def default_folder(config: RunConfig, task: Task) -> Path:
  """runs/<dataset>-<model>-<time>."""
  model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.model).name) or "model"
  return Path("runs") / f"{task.name}-{model}-{time.strftime('%Y%m%d-%H%M%S')}"


def _open_folder(config: RunConfig, task: Task) -> RunWriter:
  """The run folder's writer; the first process makes the folder, or mends it."""
  writer, failure = None, None
  if processes.is_first():
    try:
      writer = _hold_folder(config, task)
    except WayjaxError as error:
      failure = error
  failed = processes.gather(failure is not None)[0, 0]
  if failure:
    raise failure
  if failed:
    raise WayjaxError("the first process cannot write the run folder: its message says why")
  return writer or RunWriter(config.resume or config.out, writes=False)


def _hold_folder(config: RunConfig, task: Task) -> RunWriter:
  if config.resume:
    return RunWriter.resume(config.resume)
  if config.out:
    return RunWriter.begin(config.out)
  first = folder = default_folder(config, task)
  for number in itertools.count(2):
    try:
      return RunWriter.begin(folder)
    except FolderTaken:  # by a run that began in the same second
      folder = first.with_name(f"{first.name}-{number}")


def _decided(earlier: Run | None) -> list[Decision]:
  """What an earlier run decided, if there was one."""
  return [Decision.from_json(stored) for stored in earlier.decisions()] if earlier else []


def _tune(
  prepared: Prepared,
  display: Display,
  writer: RunWriter,
  stop: StopRequest,
  earlier: Run | None,
) -> None:
  """Tunes what is not finished yet, chunk by chunk, and writes each as soon as it is measured."""
  config, members = prepared.config, prepared.members
  at_once = None if config.members_at_once == AUTO else config.members_at_once
  evaluator = Evaluator(prepared.lm, prepared.evaluation, at_once)
  measure = Measure(config, prepared.task, prepared.lm, evaluator, prepared.context)
  dev = Evaluator(prepared.lm, prepared.dev, at_once) if config.eval_every else None
  with contextlib.ExitStack() as stack:
    rows, recovery = _recover(prepared, measure, writer, stack, earlier)

    def forget_programs():
      for each in filter(None, (evaluator, dev)):
        each.forget_programs()

    watched = Callbacks(
      on_compile=lambda group: display.compiling(group.padded),
      on_progress=Curves(config, prepared.lm, display, writer, len(members), dev),
      on_start=lambda chunk, step: writer.forget_metrics([member.key for member in chunk], step),
      on_length_done=forget_programs,
      stop=lambda: bool(stop),
    )
    if config.log_to and processes.is_first():
      stack.enter_context(trackers.follow(writer, config.log_to, prepared.resolved))
    try:
      settings = train_settings(config)
      for chunk in tune_chunks(prepared.lm, prepared.train, members, settings, watched, recovery):
        display.measuring(len(chunk), len(prepared.evaluation))
        new, nearest = measure(chunk)
        prompts = {tuned.member.key: tuned.prompt.vectors_PxD for tuned in chunk}
        writer.append_rows(new, prompts, nearest)
        rows += [row for row in new if row["prompt_key"] not in recovery.finished]
    finally:
      display.stop()
      if rows:
        _close(prepared, display, writer, rows)


def _recover(
  prepared: Prepared,
  measure: Measure,
  writer: RunWriter,
  stack: contextlib.ExitStack,
  earlier: Run | None,
) -> tuple[list[dict], Recovery]:
  """The rows that a resumed run already has, and what its sweep needs to continue."""
  config = prepared.config
  rows = []
  if earlier:
    _require_the_same(earlier, prepared.resolved["resolved"])
    rows = list(earlier.rows)
    measure.recall(rows, {member.key: member for member in prepared.members}, earlier)
    _log.info("%d of %d members are in %s already", len(rows), len(prepared.members), writer.path)
  else:
    writer.write_config(prepared.resolved)

  def keep(decisions: list[Decision]) -> None:
    writer.write_decisions([decision.to_json() for decision in decisions])

  checkpoints = Checkpoints(writer.checkpoints, config.checkpoint_every)
  return rows, Recovery(
    finished=frozenset(row["prompt_key"] for row in rows),
    decisions=Decisions(_decided(earlier), keep),
    checkpoints=stack.enter_context(contextlib.closing(checkpoints)),
  )


_COMPARED = ("data_sha256", "model_sha256", "device", "versions")


def _require_the_same(earlier: Run, now: dict) -> None:
  """Raises WayjaxError where rows or model differ from those that a run began with."""
  before = schema.need(earlier.config["resolved"], _COMPARED, f"{earlier.path}/{CONFIG}")
  for name, what in (
    ("data_sha256", "rows"),
    ("model_sha256", "model's weights"),  # of the embeddings alone
    ("weights_sha256", "model's weights or hyper-parameters"),
    ("tokenizer_sha256", "tokenizer's tokens or rules"),
    ("before", "texts before the prompts"),
    ("after", "texts after the prompts"),
    ("reply", "texts before the labels"),
  ):
    # Folders of earlier versions hold only the first two.
    if name in before and before[name] != now[name]:
      raise WayjaxError(
        f"the {what} are not those that the run began with ({name} is {now[name][:12]}, and was "
        f"{before[name][:12]}): give the same, or begin a new run"
      )
  for name in ("device", "versions"):
    if before[name] != now[name]:
      _log.warning(
        "%s was %s and is %s: numbers may differ in their last digits",
        name, before[name], now[name],
      )  # fmt: skip


def _close(prepared: Prepared, display: Display, writer: RunWriter, rows: list[dict]) -> None:
  """The closing table, in the folder and on the display."""
  # A resumed run may have found the same weights elsewhere.
  rows = [row | {"model": prepared.lm.name} for row in rows]
  writer.finish(summary.to_markdown(rows, prepared.majority))
  display.table(rows, prepared.majority)
  display.best(rows)
  display.line()
  members = len(prepared.members)
  verb = "is" if members == 1 else "are"
  display.line(f"{len(rows)} of {several(members, 'member')} {verb} in {writer.path}")
  if prepared.config.demo and prepared.config.dataset and summary.best(rows):
    if summary.shows_waywardness(rows, prepared.majority):
      display.line(demo.MEANING.format(dataset=prepared.task.name))
    display.line(demo.NEXT.format(dataset=prepared.task.name))
