"""Turns the finished members of a chunk into rows of the results."""

import numpy as np

from wayjax import demo
from wayjax.config import RunConfig
from wayjax.evaluation import Evaluation, Evaluator
from wayjax.layout import fetch
from wayjax.members import Member
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.reading import Reading, project, read_prompts
from wayjax.results import Run
from wayjax.tasks import Task
from wayjax.training import TunedPrompt

_TRAIN_LOSS_STEPS = 100  # train_loss is the mean over the last of them


class Measure:
  """Measures chunks of finished members.

  Args:
    config: the run's configuration.
    task: its task.
    lm: the frozen language model.
    evaluator: scores prompts on the reported split.
  """

  def __init__(self, config: RunConfig, task: Task, lm: LanguageModel, evaluator: Evaluator):
    self._config, self._task, self._lm, self._evaluator = config, task, lm, evaluator
    self._table_VxD = fetch(lm.table_VxD)
    self._discrete: dict[bytes, float] = {}

  def recall(self, rows: list[dict], members: dict[str, Member], run: Run) -> None:
    """Takes over what rows of an earlier run say of plain tokens, as if it had been measured."""
    prompts = [run.prompt(row["prompt_key"]) for row in rows]
    projected = project(self._lm, prompts, self._config.projection) if rows else []
    for row, ids_P in zip(rows, projected, strict=True):
      target_ids = members[row["prompt_key"]].target_ids
      self._discrete[target_ids.tobytes()] = row["text_accuracy"]
      self._discrete[ids_P.astype(target_ids.dtype).tobytes()] = row["hard_accuracy"]

  def __call__(self, chunk: list[TunedPrompt]) -> tuple[list[dict], list[dict]]:
    """The rows of finished members, and records of the tokens that stand nearest to them."""
    readings = read_prompts(self._lm, chunk, self._config.projection)
    evaluations = self._evaluator([one.prompt_PxD for one in chunk])
    self._score_discrete(
      [one.member.target_ids for one in chunk] + [reading.ids_P for reading in readings]
    )
    nearest = [
      {
        "prompt_key": one.member.key,
        "target_tokens": reading.target_tokens,
        "nearest": reading.nearest,
      }
      for one, reading in zip(chunk, readings)
    ]
    return [self._row(*parts) for parts in zip(chunk, readings, evaluations)], nearest

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
      "demo": demo.NAME in (config.model, config.data_dir),
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
      "c_dist": finite(reading.c_dist),
      "projection": config.projection,
      "projected_text": reading.texts[config.projection],
      **{f"projected_text_{metric}": text for metric, text in reading.texts.items()},
      "train_loss": finite(np.mean(losses_T) if len(losses_T) else None),
      "wall_seconds": round(tuned.wall_seconds, 3),
    }
