"""What happens at every dispatch of a run: progress, training curves, dev accuracy."""

from wayjax.config import RunConfig
from wayjax.evaluation import Evaluator
from wayjax.metrics import finite
from wayjax.progress import Display
from wayjax.results import RunWriter
from wayjax.training import Progress


class DryRun(Exception):
  """Ends a dry run after its first dispatch."""


class Watch:
  """Shows and logs every dispatch, and evaluates on dev when that is due.

  Args:
    config: the run's configuration.
    display: shows the progress.
    writer: takes the points of the training curves; None for a dry run.
    members: how many members the run has.
    dev: scores prompts on dev; None where that is never due.
  """

  def __init__(
    self,
    config: RunConfig,
    display: Display,
    writer: RunWriter | None,
    members: int,
    dev: Evaluator | None,
  ):
    self._config, self._display, self._writer = config, display, writer
    self._members, self._dev, self._first = members, dev, True

  def __call__(self, at: Progress) -> None:
    if self._first:
      self._first = False
      self._display.estimate(at)
      if self._config.dry_run:
        raise DryRun
    self._display.progress(at, self._members)
    if not at.window:
      return
    due = self._config.eval_every and at.step % self._config.eval_every == 0
    scores = [None] * len(at.chunk)
    if due and self._dev:
      scores = [evaluation.accuracy for evaluation in self._dev(at.prompts())]
    self._writer.append_metrics(
      [
        {
          "prompt_key": member.key,
          "step": at.step,
          "cross_entropy": finite(ce_T[-at.window :].mean()),
          "c_dist": finite(c_dist_T[-at.window :].mean()) if member.has_c_dist else None,
          **({} if score is None else {"dev_accuracy": score}),
        }
        for member, ce_T, c_dist_T, score in zip(at.chunk, *at.losses_MxT, scores)
      ]
    )
