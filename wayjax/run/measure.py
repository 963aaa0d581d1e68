"""Turns tuned prompts into what a run records of them: rows, and points of the training curves."""

import dataclasses

import jax
import numpy as np

from wayjax import demo
from wayjax.certificate import Certificate, certify
from wayjax.config import RunConfig
from wayjax.data.tasks import Task
from wayjax.devices.sharding import fetch
from wayjax.evaluation import Evaluation, Evaluator
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt
from wayjax.readers import Context, Reading, get_reader
from wayjax.readers.nearest import project, token_texts
from wayjax.readers.reading import DEFAULT
from wayjax.results.folder import Run
from wayjax.results.rows import Row
from wayjax.results.writer import RunWriter
from wayjax.run.display import Display
from wayjax.tuning.callbacks import Progress
from wayjax.tuning.members import Member, TunedPrompt

NEAREST = "nearest"  # always reads, as the paper does
_TRAIN_LOSS_STEPS = 100  # train_loss is the mean over the last of them


class Measure:
  """Measures chunks of finished members.

  Args:
    config: the run's configuration.
    task: its task.
    lm: the frozen language model.
    evaluator: scores prompts on the reported split.
    context: what readers may ask for.
  """

  def __init__(
    self,
    config: RunConfig,
    task: Task,
    lm: LanguageModel,
    evaluator: Evaluator,
    context: Context = DEFAULT,
  ):
    self._config, self._task, self._lm, self._evaluator = config, task, lm, evaluator
    fooled = [config.fool] if config.fool else []
    self._readers = tuple(dict.fromkeys((NEAREST, *config.readers, *fooled)))
    self._context = dataclasses.replace(context, metric=config.projection)
    self._table_VxD = fetch(lm.table_VxD)
    self._discrete: dict[bytes, float] = {}

  def recall(self, rows: list[dict], members: dict[str, Member], run: Run) -> None:
    """Reuses the scores of plain tokens in the rows of an earlier run."""
    prompts = [run.prompt(row["prompt_key"]) for row in rows]
    projected = project(self._lm, prompts, self._config.projection)
    for row, ids_P in zip(rows, projected, strict=True):
      target_ids = members[row["prompt_key"]].target_ids
      self._discrete[target_ids.tobytes()] = row["text_accuracy"]
      self._discrete[ids_P.astype(target_ids.dtype).tobytes()] = row["hard_accuracy"]

  def __call__(self, chunk: list[TunedPrompt]) -> tuple[list[dict], list[dict]]:
    """The rows of finished members, and records of the tokens nearest to their prompts."""
    prompts = [tuned.prompt for tuned in chunk]
    readings = {name: get_reader(name)(self._lm, prompts, self._context) for name in self._readers}
    evaluations = self._evaluator(prompts)
    nearest = readings[NEAREST]
    self._score_discrete(
      [tuned.member.target_ids for tuned in chunk] + [reading.ids_P for reading in nearest]
    )
    certificates = [self._certify(tuned) for tuned in chunk]
    rows = [
      self._row(
        tuned, evaluations[i], {name: found[i] for name, found in readings.items()}, certificates[i]
      )
      for i, tuned in enumerate(chunk)
    ]
    records = [
      {
        "prompt_key": tuned.member.key,
        "target_tokens": reading.target_tokens,
        "nearest": reading.nearest,
        "walls": None if certificate is None else self._walls(certificate),
      }
      for tuned, reading, certificate in zip(chunk, nearest, certificates, strict=True)
    ]
    return [row.to_json() for row in rows], records

  def _score_discrete(self, prompts: list[np.ndarray]) -> None:
    """Scores prompts of plain tokens, each once: most project to the target they started from."""
    new = {ids_P.tobytes(): ids_P for ids_P in prompts if ids_P.tobytes() not in self._discrete}
    scores = self._evaluator(
      [SoftPrompt(self._table_VxD[ids_P], self._lm.name) for ids_P in new.values()]
    )
    self._discrete.update(zip(new, (score.accuracy for score in scores)))

  def _certify(self, tuned: TunedPrompt) -> Certificate | None:
    """The certificate of a prompt that is as long as its target."""
    member = tuned.member
    if len(tuned.prompt) != len(member.target_ids):
      return None
    vectors_PxD, projection = tuned.prompt.vectors_PxD, self._config.projection
    return certify(member.cells, vectors_PxD, member.target_ids, projection)

  def _walls(self, certificate: Certificate) -> list[dict]:
    """By position, the nearest wall: who is behind it and how far it is, as a run folder has it."""
    margins = certificate.margins
    names = token_texts(self._lm, np.maximum(margins.wall_P, 0))
    found = zip(margins.wall_P, names, margins.distance_P, margins.relative_P, strict=True)
    return [
      {
        "token": name if wall >= 0 else None,
        "distance": finite(round(float(distance), 6)),
        "relative": finite(round(float(relative), 6)),
      }
      for wall, name, distance, relative in found
    ]

  def _row(
    self,
    tuned: TunedPrompt,
    evaluation: Evaluation,
    readings: dict[str, Reading],
    certificate: Certificate | None,
  ) -> Row:
    member, config, nearest = tuned.member, self._config, readings[NEAREST]
    losses_T = tuned.cross_entropy_T + member.gamma * tuned.c_dist_T
    if tuned.reader_nll_T is not None:
      losses_T = losses_T + member.fooling.weight * tuned.reader_nll_T
    losses_T = losses_T[: tuned.diverged_at][-_TRAIN_LOSS_STEPS:]
    return Row(
      model=self._lm.name,
      dataset=self._task.name,
      demo=demo.NAME in (config.model, config.data_dir),
      split=config.split,
      target_group=member.target.group,
      target_name=member.target.name,
      target_text=member.target.text,
      gamma=member.gamma,
      constraint=member.constraint,
      seed=member.seed,
      steps=config.steps,
      before=tuned.prompt.before or "",
      after=tuned.prompt.after or "",
      reply=tuned.prompt.reply or "",
      prompt_tokens=member.prompt_tokens,
      prompt_key=member.key,
      status="done" if tuned.diverged_at is None else "diverged",
      diverged_at=tuned.diverged_at,
      init=config.init,
      lr=config.lr,
      precision=self._lm.dtype.name,
      accuracy=evaluation.accuracy,
      macro_f1=evaluation.macro_f1,
      log_loss=finite(evaluation.log_loss),
      rouge_l=evaluation.rouge_l,
      text_accuracy=self._discrete[member.target_ids.tobytes()],
      hard_accuracy=self._discrete[nearest.ids_P.tobytes()],
      prompt_f1=nearest.prompt_f1,
      prompt_f1_lemma=nearest.prompt_f1_lemma,
      token_match=nearest.token_match,
      c_dist=finite(nearest.c_dist),
      certified=certificate and config.projection in certificate.metrics,
      certified_metrics=certificate and list(certificate.metrics),
      margin=certificate and certificate.margin,
      margin_relative=certificate and certificate.margin_relative,
      projection=config.projection,
      projected_text=nearest.text,
      projected_text_euclidean=nearest.texts["euclidean"],
      projected_text_dot=nearest.texts["dot"],
      projected_text_cosine=nearest.texts["cosine"],
      readings={name: reading.to_json() for name, reading in readings.items()},
      train_loss=finite(np.mean(losses_T) if len(losses_T) else None),
      wall_seconds=round(tuned.wall_seconds, 3),
    )


class Curves:
  """Shows every dispatch, and writes the points of the training curves; a sweep's `on_progress`.

  Args:
    config: the run's configuration.
    lm: the frozen language model.
    display: shows the progress.
    writer: takes the points.
    members: how many members the run has.
    dev: scores prompts on dev; None where that is never due.
  """

  def __init__(
    self,
    config: RunConfig,
    lm: LanguageModel,
    display: Display,
    writer: RunWriter,
    members: int,
    dev: Evaluator | None,
  ):
    self._config, self._lm, self._display, self._writer = config, lm, display, writer
    self._members, self._dev, self._first = members, dev, True

  def __call__(self, at: Progress) -> None:
    if self._first:
      self._first = not self._display.estimate(at)
    self._display.progress(at, self._members)
    if not at.window:
      return
    scores = [None] * len(at.chunk)
    if self._dev and at.step % self._config.eval_every == 0:
      prompts = [SoftPrompt(prompt_PxD, self._lm.name) for prompt_PxD in at.prompts()]
      scores = [evaluation.accuracy for evaluation in self._dev(prompts)]
    ce_M, c_dist_M, *nll_M = (
      x[:, -at.window :].mean(axis=1) for x in jax.tree.leaves(at.losses_MxT)
    )
    points = [
      {
        "prompt_key": member.key,
        "step": at.step,
        "cross_entropy": finite(ce),
        "c_dist": finite(c_dist) if member.has_c_dist else None,
        **({} if score is None else {"dev_accuracy": score}),
      }
      for member, ce, c_dist, score in zip(at.chunk, ce_M, c_dist_M, scores, strict=True)
    ]
    for nll_of_M in nll_M:
      for point, nll in zip(points, nll_of_M, strict=True):
        point["reader_nll"] = finite(nll)
    self._writer.append_metrics(points)
