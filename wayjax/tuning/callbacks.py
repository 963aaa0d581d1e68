"""What a sweep tells and asks while it runs: its progress, its decisions, and whether to stop."""

import dataclasses
from collections.abc import Callable

import numpy as np

from wayjax.tuning.checkpoint import Checkpoints
from wayjax.tuning.decisions import Decisions
from wayjax.tuning.groups import Group
from wayjax.tuning.members import Member
from wayjax.tuning.step import StepLosses


class Stopped(Exception):
  """A sweep stopped because it was asked to; its state has been saved."""


@dataclasses.dataclass
class Meter:
  """What a sweep has done so far.

  Attributes:
    member_steps_total: member-steps of the whole sweep.
    member_steps: member-steps done, those of earlier runs too.
    member_steps_timed: those that `seconds` were spent on.
    seconds: time spent in dispatches, without compilation.
    compile_seconds: time spent compiling.
    steps_at_once: steps of the next dispatch at most, in which all processes agree; one at first,
      so that a slow model soon shows something and can be stopped.
  """

  member_steps_total: int
  member_steps: int = 0
  member_steps_timed: int = 0
  seconds: float = 0.0
  compile_seconds: float = 0.0
  steps_at_once: int = 1

  def add(self, member_steps: int, seconds: float) -> None:
    """Counts the member-steps of a dispatch."""
    self.member_steps += member_steps
    self.member_steps_timed += member_steps
    self.seconds += seconds

  @property
  def rate(self) -> float:
    """Member-steps a second."""
    return self.member_steps_timed / self.seconds

  @property
  def seconds_left(self) -> float:
    """Estimated from the rate so far."""
    return (self.member_steps_total - self.member_steps) / self.rate


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a sweep stands after a dispatch.

  Attributes:
    chunk: the members now in training.
    step: steps that they have done.
    steps: steps that they will do.
    losses_MxT: the losses of the steps that they have done.
    window: steps since the last point of the training curves; 0 where this is not a point.
    meter: what the sweep has done so far.
    memory: bytes that the compiled program needs besides the model.
    prompts: returns the prompts as they are now, (P, D) each.
  """

  chunk: list[Member]
  step: int
  steps: int
  losses_MxT: StepLosses
  window: int
  meter: Meter
  memory: int
  prompts: Callable[[], list[np.ndarray]]

  @property
  def members_trained(self) -> int:
    """Members that have done all their steps."""
    earlier = (self.meter.member_steps - len(self.chunk) * self.step) // self.steps
    return earlier + len(self.chunk) * (self.step == self.steps)


def _ignore(*_) -> None:
  pass


@dataclasses.dataclass(frozen=True)
class Callbacks:
  """What a sweep tells and asks; nothing by default.

  Attributes:
    on_compile: called with a group before its program is compiled.
    on_progress: called after every dispatch.
    on_start: called with a chunk and the steps that it has done, before it is trained.
    on_length_done: called when all chunks of a prompt length are trained and others follow; what it
      frees is given back to the machine.
    stop: whether to stop as soon as nothing is lost by it.
  """

  on_compile: Callable[[Group], None] = _ignore
  on_progress: Callable[[Progress], None] = _ignore
  on_start: Callable[[list[Member], int], None] = _ignore
  on_length_done: Callable[[], None] = _ignore
  stop: Callable[[], bool] = lambda: False


@dataclasses.dataclass(frozen=True)
class Recovery:
  """What earlier runs of a sweep left, and where this one leaves the same; nothing by default.

  Attributes:
    finished: keys of members that need no training.
    decisions: how members are trained.
    checkpoints: where chunks in training are saved.
  """

  finished: frozenset[str] = frozenset()
  decisions: Decisions = dataclasses.field(default_factory=Decisions)
  checkpoints: Checkpoints | None = None
