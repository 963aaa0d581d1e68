"""The training of one chunk: its dispatches, what they tell, and its checkpoints."""

import dataclasses
import functools
import time
from collections.abc import Callable

import numpy as np

from wayjax import chunks, processes
from wayjax.chunks import ChunkState, Program, TrainSettings
from wayjax.layout import Layout, fetch
from wayjax.members import Member
from wayjax.recovery import Recovery
from wayjax.schedule import Schedule
from wayjax.stopping import Stopped
from wayjax.train import StepLosses

DISPATCH_SECONDS = 10  # a slow device does fewer steps at once, so that it can be stopped


@dataclasses.dataclass(frozen=True, eq=False)
class TunedPrompt:
  """A finished member.

  Attributes:
    member: what was trained.
    prompt_PxD: the last step's prompt, or the last finite one of a member that diverged.
    cross_entropy_T: loss of every step.
    c_dist_T: c-dist of every step.
    diverged_at: the first step whose loss or prompt was not finite; None for a sound member.
    wall_seconds: the chunk's training time, divided by its members.
  """

  member: Member
  prompt_PxD: np.ndarray
  cross_entropy_T: np.ndarray
  c_dist_T: np.ndarray
  diverged_at: int | None
  wall_seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a sweep stands after a dispatch.

  Attributes:
    chunk: the members now in training.
    step: steps that they have done.
    steps: steps that they will do.
    losses_MxT: the losses of the steps that they have done.
    window: steps since the last point of the training curves; 0 where this is none.
    member_steps: member-steps done in all.
    member_steps_total: member-steps of the whole sweep.
    member_steps_timed: those that `seconds` were spent on.
    seconds: time spent in dispatches so far, compilation left out.
    compile_seconds: time spent compiling so far.
    memory: bytes that the compiled program needs besides the model.
    prompts: gives the prompts as they are now, (P, D) each.
  """

  chunk: list[Member]
  step: int
  steps: int
  losses_MxT: StepLosses
  window: int
  member_steps: int
  member_steps_total: int
  member_steps_timed: int
  seconds: float
  compile_seconds: float
  memory: int
  prompts: Callable[[], list[np.ndarray]]

  @property
  def members_trained(self) -> int:
    """Members that have done all their steps."""
    earlier = (self.member_steps - len(self.chunk) * self.step) // self.steps
    return earlier + len(self.chunk) * (self.step == self.steps)

  @property
  def rate(self) -> float:
    """Member-steps a second."""
    return self.member_steps_timed / self.seconds

  @property
  def seconds_left(self) -> float:
    """Estimate from the rate so far."""
    return (self.member_steps_total - self.member_steps) / self.rate


@dataclasses.dataclass
class Meter:
  """What a sweep has done so far."""

  member_steps_total: int
  member_steps: int = 0
  member_steps_timed: int = 0
  seconds: float = 0.0
  compile_seconds: float = 0.0

  def add(self, member_steps: int, seconds: float) -> None:
    self.member_steps += member_steps
    self.member_steps_timed += member_steps
    self.seconds += seconds


class ChunkTraining:
  """The training of members that are one program.

  Args:
    layout: where members lie.
    chunk: the members.
    padded: P that they are padded to.
    program: what trains them.
    before: members of the sweep that come before them.
    schedule: what their steps read.
    settings: what they share.
  """

  def __init__(
    self,
    layout: Layout,
    chunk: list[Member],
    padded: int,
    program: Program,
    before: int,
    schedule: Schedule,
    settings: TrainSettings,
  ):
    self._layout, self._chunk, self._padded, self._program = layout, chunk, padded, program
    self._before, self._schedule, self._settings = before, schedule, settings
    self._keys = [member.key for member in chunk]

  def run(
    self, params, tokens, meter: Meter, on_progress: Callable[[Progress], None], recovery: Recovery
  ) -> list[TunedPrompt]:
    """All dispatches; goes on from the newest checkpoint where there is one.

    Args:
      params: the model's weights.
      tokens: all training examples, on the devices.
      meter: what the sweep has done so far.
      on_progress: called after every dispatch.
      recovery: where checkpoints are, and whether to stop.

    Raises:
      Stopped: it was asked to; the chunk has been saved.
    """
    chunk, settings = self._chunk, self._settings
    leaves_M, state_M = chunks.begin(
      self._layout, chunk, self._padded, self._schedule, settings, self._program.size
    )
    losses_MxT = StepLosses(
      *(np.zeros((len(leaves_M.gamma), settings.steps), np.float32) for _ in range(2))
    )
    step, seconds, steps_at_once = 0, 0.0, self._schedule.per_dispatch
    saved = recovery.checkpoints and recovery.checkpoints.restore(
      self._keys, ChunkState(state_M, losses_MxT)
    )
    if saved:
      (state_M, losses_MxT), step = saved
      losses_MxT = StepLosses(*(np.array(x) for x in losses_MxT))
    recovery.on_start(chunk, step)
    meter.member_steps += len(chunk) * step
    at_point = self._last_point(step)
    while step < settings.steps:
      stop = self._next_stop(step, steps_at_once)
      started = time.perf_counter()
      state_M, losses = self._program.compiled(
        params, tokens, leaves_M, state_M, self._schedule.dispatch(step, stop)
      )
      for kept, new in zip(losses_MxT, fetch(losses), strict=True):
        kept[:, step:stop] = new.T[:, : stop - step]
      spent = time.perf_counter() - started
      seconds += spent
      meter.add(len(chunk) * (stop - step), spent)
      steps_at_once = max(1, int(DISPATCH_SECONDS * (stop - step) / spent))
      step = stop
      window = step - at_point if self._is_point(step) else 0
      at_point = step if window else at_point
      on_progress(
        Progress(
          chunk=chunk,
          step=step,
          steps=settings.steps,
          losses_MxT=StepLosses(*(x[: len(chunk), :step] for x in losses_MxT)),
          window=window,
          member_steps=meter.member_steps,
          member_steps_total=meter.member_steps_total,
          member_steps_timed=meter.member_steps_timed,
          seconds=meter.seconds,
          compile_seconds=meter.compile_seconds,
          memory=self._program.memory,
          prompts=functools.partial(chunks.unstack_prompts, chunk, state_M),
        )
      )
      steps_at_once = self._save(recovery, state_M, losses_MxT, step, steps_at_once)
    failed_M = fetch(state_M.diverged_at)
    return [
      TunedPrompt(
        member=member,
        prompt_PxD=prompt_PxD,
        cross_entropy_T=losses_MxT.cross_entropy[i],
        c_dist_T=losses_MxT.c_dist[i],
        diverged_at=int(failed_M[i]) if failed_M[i] >= 0 else None,
        wall_seconds=seconds / len(chunk),
      )
      for i, (member, prompt_PxD) in enumerate(zip(chunk, chunks.unstack_prompts(chunk, state_M)))
    ]

  def _next_stop(self, step: int, steps_at_once: int) -> int:
    """Where a dispatch ends: at the next point of the training curves, or before."""
    stop = step + 1
    while stop < step + steps_at_once and not self._is_point(stop):
      stop += 1
    return stop

  def _last_point(self, step: int) -> int:
    while step and not self._is_point(step):
      step -= 1
    return step

  def _is_point(self, step: int) -> bool:
    """Whether the training curves have a point here; a function of the settings alone."""
    every = self._settings.eval_every
    return (
      step % self._schedule.per_dispatch == 0
      or step == self._settings.steps
      or bool(every and step % every == 0)
    )

  def _save(self, recovery: Recovery, state_M, losses_MxT, step: int, steps_at_once: int) -> int:
    """Saves a checkpoint where one is due, and stops where that is wanted.

    Returns:
      Steps of the next dispatch. All processes do the same: one that is to stop stops all, and of
      the rest the first decides.
    """
    due = bool(recovery.checkpoints and recovery.checkpoints.due())
    told = processes.gather(bool(recovery.stop()), due, steps_at_once)
    stopping, ended = bool(told[:, 0].any()), step == self._settings.steps
    if recovery.checkpoints and (stopping or ended or told[0, 1]):
      recovery.checkpoints.save(
        self._before * self._settings.steps + step,
        ChunkState(state_M, losses_MxT),
        self._keys,
        step,
      )
    if stopping and not ended:
      if recovery.checkpoints:
        recovery.checkpoints.wait()
      raise Stopped
    return int(told[0, 2])
