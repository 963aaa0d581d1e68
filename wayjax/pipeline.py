"""One run, top to bottom: model and data -> members -> sweep -> rows -> run folder."""

import contextlib
import dataclasses
import math
import platform
import re
import time
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np

import wayjax
from wayjax import compilation, devices, results, summary
from wayjax.chunks import TrainSettings, group_by_length
from wayjax.config import AUTO, RunConfig
from wayjax.data import TaskData, load_data
from wayjax.encoding import encode
from wayjax.evaluation import PROMPTS_AT_ONCE, Evaluation, Evaluator
from wayjax.members import Member, make_members
from wayjax.metrics import majority
from wayjax.models import LanguageModel, load_lm
from wayjax.progress import Display
from wayjax.reading import Reading, read_prompts
from wayjax.sweep import Progress, TunedPrompt, tune_chunks
from wayjax.targets import Target
from wayjax.tasks import Task

_TRAIN_LOSS_STEPS = 100  # train_loss is the mean over the last of them


class _DryRun(Exception):
  """Ends a dry run after its first dispatch."""


def default_folder(config: RunConfig, task: Task) -> Path:
  """runs/<dataset>-<model>-<time>."""
  model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.model).name) or "model"
  return Path("runs") / f"{task.name}-{model}-{time.strftime('%Y%m%d-%H%M%S')}"


def run(config: RunConfig, task: Task, targets: list[Target], display: Display) -> Path | None:
  """Tunes and measures every member, and writes the run folder.

  Args:
    config: a valid configuration.
    task: its task.
    targets: its targets.
    display: where plan, progress and table are shown.

  Returns:
    The run folder; None for a dry run.

  Raises:
    WayjaxError: whatever is wrong with model, data or folder.
    KeyboardInterrupt: after what was finished has been written.
  """
  if config.dry_run:
    with contextlib.suppress(_DryRun):
      _run(config, task, targets, display, None)
    return None
  folder = Path(config.out) if config.out else default_folder(config, task)
  is_new = results.create_folder(folder)
  try:
    _run(config, task, targets, display, results.RunWriter(folder))
  finally:
    if is_new:
      with contextlib.suppress(OSError):
        folder.rmdir()  # it goes again where a wrong input left it empty
  return folder


def _run(
  config: RunConfig,
  task: Task,
  targets: list[Target],
  display: Display,
  writer: results.RunWriter | None,
) -> None:
  devices.select_device(config.device)
  compilation.keep_programs()
  data = load_data(
    task,
    config.data_dir,
    split=config.split,
    train_rows=config.train_rows,
    eval_rows=config.eval_rows,
  )
  lm = load_lm(config.model, revision=config.revision, precision=config.precision)
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
  display.plan(_plan(config, task, lm, data, members))
  if writer is not None:
    writer.write_config(_resolved(config, task, targets, lm, data))
  at_once = PROMPTS_AT_ONCE
  if config.members_at_once != AUTO:
    at_once = min(at_once, config.members_at_once)
  measure = _Measure(config, task, lm, Evaluator(lm, evaluation, at_once))
  dev_evaluator = Evaluator(lm, dev, at_once) if config.eval_every else None
  watch = _Watch(config, display, writer, len(members), dev_evaluator)
  most_frequent = majority(data.evaluation.labels)
  rows = []
  try:
    for chunk in tune_chunks(lm, train, members, _settings(config), watch):
      display.measuring(len(chunk), len(evaluation))
      new = measure(chunk)
      writer.append_rows(new, {one.member.key: one.prompt_PxD for one in chunk})
      rows += new
  finally:
    display.stop()
    if rows:
      writer.write_summary(summary.to_markdown(rows, most_frequent))
      display.table(rows, most_frequent)
      display.line(f"{len(rows)} of {len(members)} members are in {writer.path}")


def _settings(config: RunConfig) -> TrainSettings:
  return TrainSettings(
    steps=config.steps,
    lr=config.lr,
    batch_size=config.batch_size,
    members_at_once=None if config.members_at_once == AUTO else config.members_at_once,
    eval_every=config.eval_every,
  )


def _plan(
  config: RunConfig, task: Task, lm: LanguageModel, data: TaskData, members: list[Member]
) -> dict[str, str]:
  lengths = sorted({len(member.target_ids) for member in members})
  count = len({member.target for member in members})
  groups = group_by_length(members)
  return {
    "model": f"{lm.name}: {lm.parameters / 1e6:,.1f} M parameters, {lm.dtype.name} products, "
    f"{devices.describe()}",
    "data": f"{task.name}: {len(data.train):,} training, {len(data.dev):,} dev, "
    f"{len(data.evaluation):,} {config.split} rows; the most frequent class is "
    f"{100 * majority(data.evaluation.labels):.1f} % of them",
    "targets": f"{count}, of {lengths[0]} to {lengths[-1]} tokens",
    "members": f"{len(members)} = {count} targets x {len(config.gamma)} gamma x "
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
      "max_length": config.max_length or task.max_length,
      "precision": lm.dtype.name,
      "device": devices.describe(),
      "model_revision": lm.revision,
      "data_revision": data.revision,
      "data_sha256": data.sha256,
      "train_rows": len(data.train),
      "dev_rows": len(data.dev),
      "evaluation_rows": len(data.evaluation),
      "versions": {
        "wayjax": wayjax.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
      },
    },
  }


class _Watch:
  """Shows and logs every dispatch, and evaluates on dev when that is due."""

  def __init__(self, config, display, writer, members: int, dev: Evaluator | None):
    self._config, self._display, self._writer = config, display, writer
    self._members, self._dev, self._first = members, dev, True

  def __call__(self, at: Progress) -> None:
    if self._first:
      self._first = False
      self._display.estimate(at)
      if self._config.dry_run:
        raise _DryRun
    self._display.progress(at, self._members)
    due = self._config.eval_every and at.step % self._config.eval_every == 0
    scores = [None] * len(at.chunk)
    if due and self._dev:
      scores = [evaluation.accuracy for evaluation in self._dev(at.prompts())]
    self._writer.append_metrics(
      [
        {
          "prompt_key": member.key,
          "step": at.step,
          "cross_entropy": _finite(ce_K.mean()),
          "c_dist": _finite(c_dist_K.mean()) if member.has_c_dist else None,
          **({} if score is None else {"dev_accuracy": score}),
        }
        for member, ce_K, c_dist_K, score in zip(
          at.chunk, at.losses.cross_entropy, at.losses.c_dist, scores
        )
      ]
    )


class _Measure:
  """Turns the finished members of a chunk into rows."""

  def __init__(self, config: RunConfig, task: Task, lm: LanguageModel, evaluator: Evaluator):
    self._config, self._task, self._lm, self._evaluator = config, task, lm, evaluator
    self._table_VxD = np.asarray(lm.table_VxD)
    self._discrete: dict[bytes, float] = {}

  def __call__(self, chunk: list[TunedPrompt]) -> list[dict]:
    readings = read_prompts(self._lm, chunk, self._config.projection)
    evaluations = self._evaluator([one.prompt_PxD for one in chunk])
    self._score_discrete(
      [one.member.target_ids for one in chunk] + [reading.ids_P for reading in readings]
    )
    return [self._row(*parts) for parts in zip(chunk, readings, evaluations)]

  def _score_discrete(self, prompts: list[np.ndarray]) -> None:
    """Scores prompts of plain tokens, each once: most project to the target they started from."""
    new = {ids_P.tobytes(): ids_P for ids_P in prompts if ids_P.tobytes() not in self._discrete}
    scores = self._evaluator([self._table_VxD[ids_P] for ids_P in new.values()])
    self._discrete.update(zip(new, (score.accuracy for score in scores)))

  def _row(self, tuned: TunedPrompt, reading: Reading, evaluation: Evaluation) -> dict:
    member, config = tuned.member, self._config
    losses_T = tuned.cross_entropy_T + member.gamma * tuned.c_dist_T
    losses_T = losses_T[: tuned.diverged_at][-_TRAIN_LOSS_STEPS:]
    return {
      "model": self._lm.name,
      "dataset": self._task.name,
      "split": config.split,
      "target_group": member.target.group,
      "target_name": member.target.name,
      "target_text": member.target.text,
      "gamma": member.gamma,
      "seed": member.seed,
      "steps": config.steps,
      "prompt_tokens": member.prompt_tokens,
      "prompt_key": member.key,
      "status": "done" if tuned.diverged_at is None else "diverged",
      "diverged_at": tuned.diverged_at,
      "init": config.init,
      "lr": config.lr,
      "precision": self._lm.dtype.name,
      "accuracy": evaluation.accuracy,
      "macro_f1": evaluation.macro_f1,
      "text_accuracy": self._discrete[member.target_ids.tobytes()],
      "hard_accuracy": self._discrete[reading.ids_P.tobytes()],
      "prompt_f1": reading.prompt_f1,
      "prompt_f1_lemma": reading.prompt_f1_lemma,
      "token_match": reading.token_match,
      "c_dist": _finite(reading.c_dist),
      "projection": config.projection,
      "projected_text": reading.texts[config.projection],
      **{f"projected_text_{metric}": text for metric, text in reading.texts.items()},
      "train_loss": _finite(np.mean(losses_T) if len(losses_T) else None),
      "wall_seconds": round(tuned.wall_seconds, 3),
    }


def _finite(value) -> float | None:
  """A number for JSON, which knows no NaN; None stays None."""
  return float(value) if value is not None and math.isfinite(value) else None


def warn_on_display(display: Display) -> None:
  """Shows warnings as one line of the run's output."""

  def show(message, *args, **kwargs):
    display.line(f"warning: {message}")

  warnings.showwarning = show
