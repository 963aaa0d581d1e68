"""Means over targets, their intervals and the choice of gamma, on hand-computed cases."""

import math

import pytest

from wayjax.report.statistics import (
  Estimate,
  choose_gamma,
  estimate,
  interval_percent,
  mean_percent,
)


def test_targets_that_agree_leave_no_interval():
  found = estimate([0.25, 0.25, 0.25])
  assert (found.mean, found.low, found.high, found.targets) == (0.25, 0.25, 0.25, 3)


def test_the_interval_of_two_targets_is_from_the_one_to_the_other():
  # Means of two draws from {0, 1} are 0, 1/2 and 1, with a quarter of the chance at each end.
  found = estimate([0.0, 1.0])
  assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_the_interval_resamples_targets():
  # The mean of four draws is k/4 with k binomial: P(k <= 2) is 0.949 and P(k <= 3) is 0.996.
  found = estimate([0.0, 0.0, 0.0, 1.0])
  assert (found.mean, found.low, found.high) == (0.25, 0.0, 0.75)
  assert estimate([0.0, 0.0, 0.0, 1.0]) == found


def test_targets_without_a_value_are_left_out():
  assert estimate([None, 0.5, math.nan]).targets == 1
  assert estimate([None, 0.5, math.nan]).mean == 0.5
  assert estimate([None]) is None
  assert estimate([]) is None


def line(gamma, f1, dev_accuracy):
  return {"gamma": gamma, "f1": f1, "dev_accuracy": dev_accuracy}


@pytest.mark.parametrize(
  ("lines", "gamma"),
  [
    # The most accurate of those that read as the target, not of all.
    ([line(0.003, 0.90, 0.95), line(0.005, 0.99, 0.80), line(0.01, 1.00, 0.85)], 0.01),
    ([line(0.003, 0.99, 0.95), line(0.005, 0.99, 0.80), line(0.01, 1.00, 0.85)], 0.003),
    # 0.98 itself is not above 0.98; where none is, the most accurate.
    ([line(0.003, 0.98, 0.95), line(0.005, 0.97, 0.96), line(0.01, 0.5, 0.85)], 0.005),
    ([line(0.003, 1.0, 0.9), line(0.01, 1.0, 0.9)], 0.01),
    # A target without words has no F1.
    ([line(0.003, None, 0.9), line(0.01, None, 0.8)], 0.003),
  ],
)
def test_gamma_is_chosen_by_dev_accuracy_among_prompts_that_read_as_their_target(lines, gamma):
  assert choose_gamma(lines)["gamma"] == gamma


def test_means_and_intervals_in_per_cent():
  assert mean_percent(None) == interval_percent(None) == "–"
  alone, several = Estimate(0.5, 0.5, 0.5, 1), Estimate(0.5, 0.25, 1.0, 3)
  assert mean_percent(several) == interval_percent(alone) == "50.0"
  assert interval_percent(several) == "50.0 [25.0, 100.0]"
