"""Means over targets with their intervals, and the choice of gamma."""

import dataclasses

import numpy as np

from wayjax.results.summary import percent

_RESAMPLES = 10_000
_COVERED = 95.0  # per cent
_SEED = 0
READS_AS_TARGET = 0.98  # prompt F1 above which a prompt counts as reading as its target (Figure 5)


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over targets.

  Attributes:
    mean: the mean.
    low: lower end of the 95 % interval.
    high: its upper end.
    targets: how many targets it is over.
  """

  mean: float
  low: float
  high: float
  targets: int


def estimate(values: list[float | None]) -> Estimate | None:
  """The mean over targets, and its percentile bootstrap interval, which resamples targets.

  Args:
    values: a value for each target: a mean over seeds, or the relative drop of two such means.
      None and NaN, which a target without a value has, are left out.

  Returns:
    The estimate, the same at every call; None where no target has a value.
  """
  known_T = np.array([value for value in values if value is not None], np.float64)
  known_T = known_T[np.isfinite(known_T)]
  if not len(known_T):
    return None
  rng = np.random.default_rng(_SEED)
  means = [
    known_T[rng.integers(len(known_T), size=(1000, len(known_T)))].mean(axis=1)
    for _ in range(_RESAMPLES // 1000)
  ]
  low, high = np.percentile(np.concatenate(means), [50 - _COVERED / 2, 50 + _COVERED / 2])
  return Estimate(float(known_T.mean()), float(low), float(high), len(known_T))


def mean_percent(found: Estimate | None) -> str:
  """A mean in per cent, as tables show it."""
  return percent(found and found.mean)


def interval_percent(found: Estimate | None) -> str:
  """A mean in per cent with its interval, which that of one target does not have."""
  if found is None or found.targets < 2:
    return mean_percent(found)
  return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"


def choose_gamma(lines: list[dict]) -> dict:
  """Of one target's lines, one for each gamma above 0, that of the gamma that is chosen.

  The most accurate with a prompt F1 above 0.98; where none has that, the most accurate (Figure 5).
  The paper's code looks at the split that it reports, this at dev. Ties go to the larger gamma. A
  target without words has no F1, and so the most accurate.

  Args:
    lines: with `gamma`, `f1` and `dev_accuracy`, means over seeds.
  """
  reading = [line for line in lines if (line["f1"] or 0) > READS_AS_TARGET]
  return max(reading or lines, key=lambda line: (line["dev_accuracy"], line["gamma"]))
