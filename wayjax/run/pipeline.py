"""One run, top to bottom: model and data -> members -> sweep -> rows -> run folder."""

import contextlib
import dataclasses
import hashlib
import platform
import re
import time
import warnings
from importlib import metadata
from pathlib import Path

import wayjax
from wayjax import compilation, demo, devices, processes, results, summary, trackers
from wayjax.chunks import TrainSettings, group_by_length
from wayjax.config import AUTO, RunConfig
from wayjax.data import TaskData, load_data
from wayjax.encoding import encode
from wayjax.errors import WayjaxError
from wayjax.evaluation import PROMPTS_AT_ONCE, Evaluator
from wayjax.layout import fetch
from wayjax.measure import Measure
from wayjax.members import Member, make_members, take_shard
from wayjax.metrics import majority
from wayjax.models import LanguageModel, load_lm
from wayjax.progress import Display
from wayjax.recovery import Decision, Recovery
from wayjax.stopping import Stopped, StopRequest
from wayjax.sweep import tune_chunks
from wayjax.targets import Target
from wayjax.tasks import Task
from wayjax.watch import DryRun, Watch


def default_folder(config: RunConfig, task: Task) -> Path:
  """runs/<dataset>-<model>-<time>."""
  model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.model).name) or "model"
  return Path("runs") / f"{task.name}-{model}-{time.strftime('%Y%m%d-%H%M%S')}"


def run(
  config: RunConfig, task: Task, targets: list[Target], display: Display
) -> Path | str | None:
  """Tunes and measures every member, and writes the run folder.

  Args:
    config: a valid configuration; with `resume` the run of that folder goes on.
    task: its task.
    targets: its targets.
    display: where plan, progress and table are shown.

  Returns:
    The run folder; None for a dry run.

  Raises:
    WayjaxError: whatever is wrong with model, data or folder.
    Stopped: it was asked to stop, and what was in training has been saved.
    KeyboardInterrupt: after what was finished has been written.
  """
  if config.dry_run:
    with contextlib.suppress(DryRun):
      _run(config, task, targets, display, None, StopRequest(display.line))
    return None
  writer = _open_folder(config, task, display)
  try:
    with StopRequest(display.line) as stop:
      _run(config, task, targets, display, writer, stop)
  except Stopped as stopped:
    stopped.folder, stopped.signal = writer.path, stop.signal
    raise
  finally:
    writer.discard_if_empty()  # a wrong input leaves nothing behind
  return writer.path


def _open_folder(config: RunConfig, task: Task, display: Display) -> results.RunWriter:
  """The run folder's writer; the first process makes the folder, or mends it."""
  folder = config.resume or config.out or default_folder(config, task)
  if not processes.is_first():
    writer = results.RunWriter(folder, writes=False)
  elif config.resume:
    writer = results.RunWriter.resume(folder, display.line)
  else:
    writer = results.RunWriter.begin(folder)
  processes.wait_for_all("run folder")
  return writer


def _run(
  config: RunConfig,
  task: Task,
  targets: list[Target],
  display: Display,
  writer: results.RunWriter | None,
  stop: StopRequest,
) -> None:
  compilation.keep_programs()
  data = load_rows(config, task)
  lm = load_lm(
    config.model,
    revision=config.revision,
    precision=config.precision,
    model_parallel=config.model_parallel,
  )
  train, dev, evaluation = (
    encode(lm.tokenizer, task, part, config.max_length)
    for part in (data.train, data.dev, data.evaluation)
  )
  members = make_members(
    lm,
    targets,
    config.gamma,
    config.seeds,
    init=config.init,
    prompt_tokens=config.prompt_tokens,
    longest_example=max(part.longest() for part in (train, dev, evaluation)),
  )
  whole = len(members)
  if config.shard:
    members = take_shard(members, *config.shard)
  display.plan(_plan(config, task, lm, data, members, whole))
  at_once = PROMPTS_AT_ONCE
  if config.members_at_once != AUTO:
    at_once = min(at_once, config.members_at_once)
  measure = Measure(config, task, lm, Evaluator(lm, evaluation, at_once))
  dev_evaluator = Evaluator(lm, dev, at_once) if config.eval_every else None
  watch = Watch(config, display, writer, len(members), dev_evaluator)
  most_frequent = majority(data.evaluation.labels)
  rows = []
  resolved = _resolved(config, task, targets, lm, data)
  with contextlib.ExitStack() as stack:
    recovery = Recovery(stop=lambda: bool(stop), say=display.line)
    if writer is not None and config.resume:
      run = results.read_run(writer.path)
      _require_the_same(run.config["resolved"], resolved["resolved"], display)
      rows = list(run.rows)
      measure.recall(rows, {member.key: member for member in members}, run)
      recovery.finished = frozenset(row["prompt_key"] for row in rows)
      recovery.decisions = [Decision.from_json(one) for one in run.decisions()]
      display.line(f"{len(rows)} of {len(members)} members are in {writer.path} already")
    elif writer is not None:
      writer.write_config(resolved)
    if writer is not None:
      _save_to(writer, recovery, config, stack)
      if config.log_to and processes.is_first():
        stack.enter_context(trackers.follow(writer, config.log_to, resolved, display.line))
    try:
      for chunk in tune_chunks(lm, train, members, _settings(config), watch, recovery):
        display.measuring(len(chunk), len(evaluation))
        new, readings = measure(chunk)
        prompts = {one.member.key: one.prompt_PxD for one in chunk}
        writer.append_rows(new, prompts, readings)
        rows += [row for row in new if row["prompt_key"] not in recovery.finished]
    finally:
      display.stop()
      if rows:
        writer.write_summary(summary.to_markdown(rows, most_frequent))
        display.table(rows, most_frequent)
        display.best(rows)
        display.line()
        display.line(f"{len(rows)} of {len(members)} members are in {writer.path}")
        if config.demo and config.dataset and summary.best(rows):
          display.line(demo.MEANING.format(dataset=task.name))


def load_rows(config: RunConfig, task: Task) -> TaskData:
  """Loads the rows that a configuration names; see `load_data`."""
  return load_data(
    task,
    config.data_dir,
    split=config.split,
    train_rows=config.train_rows,
    eval_rows=config.eval_rows,
  )


def _save_to(writer: results.RunWriter, recovery: Recovery, config: RunConfig, stack) -> None:
  """Makes a sweep leave in a run folder what it needs to go on."""
  from wayjax.checkpoint import Checkpoints  # Orbax takes long to import; a dry run has no use

  recovery.checkpoints = stack.enter_context(
    contextlib.closing(Checkpoints(writer.checkpoints, config.checkpoint_every, recovery.say))
  )
  recovery.on_decision = lambda decisions: writer.write_decisions(
    [decision.to_json() for decision in decisions]
  )
  recovery.on_start = lambda chunk, step: writer.forget_metrics(
    [member.key for member in chunk], step
  )


def _require_the_same(before: dict, now: dict, display: Display) -> None:
  """Raises WayjaxError where rows or weights differ from what a run began with."""
  for name, what in (("data_sha256", "rows"), ("model_sha256", "model's weights")):
    if before[name] != now[name]:
      raise WayjaxError(
        f"the {what} are not those that the run began with ({name} is {now[name][:12]}, and was "
        f"{before[name][:12]}): give the same, or begin a new run"
      )
  for name in ("device", "versions"):
    if before[name] != now[name]:
      display.line(
        f"warning: {name} was {before[name]} and is {now[name]}: numbers may differ in their last "
        "digits"
      )


def _settings(config: RunConfig) -> TrainSettings:
  return TrainSettings(
    steps=config.steps,
    lr=config.lr,
    batch_size=config.batch_size,
    members_at_once=None if config.members_at_once == AUTO else config.members_at_once,
    eval_every=config.eval_every,
  )


def _plan(
  config: RunConfig,
  task: Task,
  lm: LanguageModel,
  data: TaskData,
  members: list[Member],
  whole: int,
) -> dict[str, str]:
  lengths = sorted({len(member.target_ids) for member in members})
  count = len({member.target for member in members})
  groups = group_by_length(members)
  per_target = len(config.gamma) * len(config.seeds)
  return {
    "model": f"{lm.name}: {lm.parameters / 1e6:,.1f} M parameters, {lm.dtype.name} products, "
    f"{devices.describe()}",
    "data": f"{task.name}: {len(data.train):,} training, {len(data.dev):,} dev, "
    f"{len(data.evaluation):,} {config.split} rows; the most frequent class is "
    f"{100 * majority(data.evaluation.labels):.1f} % of them",
    "targets": f"{count}, of {lengths[0]} to {lengths[-1]} tokens",
    "members": (f"{len(members)}, a part of " if config.shard else "")
    + f"{whole} = {whole // per_target} targets x {len(config.gamma)} gamma x "
    f"{len(config.seeds)} seeds, {config.steps:,} steps each",
    "prompt groups": ", ".join(f"{len(group)} of up to {size}" for size, group in groups.items())
    + f" tokens, each one program; {devices.free_memory() / 2**30:.1f} GiB free",
  }


def _resolved(
  config: RunConfig, task: Task, targets: list[Target], lm: LanguageModel, data: TaskData
) -> dict:
  """The configuration as it was carried out, with all that a repetition needs."""
  packages = ("jax", "jaxlib", "flax", "optax", "transformers", "datasets", "numpy")
  return {
    **dataclasses.asdict(config),
    "task": dataclasses.asdict(task),
    "resolved": {
      "targets": [f"{target.group}/{target.name}" for target in targets],
      "target_texts": [target.text for target in targets],
      "max_length": config.max_length or task.max_length,
      "precision": lm.dtype.name,
      "device": devices.describe(),
      "parameters": lm.parameters,
      "model_revision": lm.revision,
      "model_sha256": hashlib.sha256(fetch(lm.table_VxD).tobytes()).hexdigest(),
      "data_revision": data.revision,
      "data_sha256": data.sha256,
      "train_rows": len(data.train),
      "dev_rows": len(data.dev),
      "evaluation_rows": len(data.evaluation),
      "majority": majority(data.evaluation.labels),
      "versions": {
        "wayjax": wayjax.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
      },
    },
  }


def warn_on_display(display: Display) -> None:
  """Shows warnings as one line of the run's output."""

  def show(message, *args, **kwargs):
    display.line(f"warning: {message}")

  warnings.showwarning = show
