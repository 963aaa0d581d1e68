"""What a sweep tells: its meter and its progress; and what it does where nobody listens."""

import pytest

from wayjax.tuning.callbacks import Callbacks, Meter, Progress, Recovery
from wayjax.tuning.step import StepLosses


def test_a_meter_counts_what_earlier_runs_did_but_does_not_time_it():
  meter = Meter(1000, member_steps=400)
  meter.add(100, 2.0)
  meter.add(200, 4.0)
  assert (meter.member_steps, meter.member_steps_timed, meter.seconds) == (700, 300, 6.0)
  assert meter.rate == 50
  assert meter.seconds_left == 6.0
  assert meter.compile_seconds == 0


def progress(step: int, member_steps: int) -> Progress:
  meter = Meter(90, member_steps=member_steps)
  return Progress(["a", "b", "c"], step, 10, StepLosses(None, None), 0, meter, 0, list)


@pytest.mark.parametrize(
  ("step", "member_steps", "trained"),
  [(1, 3, 0), (9, 27, 0), (10, 30, 3), (1, 43, 4), (9, 67, 4), (10, 70, 7), (10, 90, 9)],
)
def test_members_are_trained_when_they_have_done_all_their_steps(step, member_steps, trained):
  assert progress(step, member_steps).members_trained == trained


def test_nothing_is_told_or_recovered_by_default():
  callbacks = Callbacks()
  assert callbacks.on_progress(None) is None
  assert callbacks.on_start([], 0) is None
  assert callbacks.on_length_done() is None
  assert callbacks.stop() is False
  recovery = Recovery()
  assert recovery.finished == frozenset()
  assert recovery.checkpoints is None
  assert recovery.decisions.find(8, "c-dist", 0) is None
  assert recovery.decisions is not Recovery().decisions
