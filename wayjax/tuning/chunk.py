"""The training of one chunk: its dispatches, what they tell, and its checkpoints."""

import functools
import time
from typing import NamedTuple

import jax
import numpy as np

from wayjax.constraints import get_constraint
from wayjax.devices import processes
from wayjax.devices.sharding import fetch
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt
from wayjax.tuning.batches import Schedule
from wayjax.tuning.callbacks import Callbacks, Meter, Progress, Recovery, Stopped
from wayjax.tuning.checkpoint import Checkpoints
from wayjax.tuning.groups import Group
from wayjax.tuning.members import TunedPrompt
from wayjax.tuning.program import Program, begin, unstack_prompts
from wayjax.tuning.settings import TrainSettings
from wayjax.tuning.step import StepLosses, TrainState

DISPATCH_SECONDS = 10  # a slow device does fewer steps at once, so that it can be stopped


class ChunkState(NamedTuple):
  """All that a chunk needs to be resumed; the losses' columns of later steps are zeros."""

  train_M: TrainState
  losses_MxT: StepLosses


class _Agreed(NamedTuple):
  """What all processes do after a dispatch."""

  stop: bool
  save: bool
  steps_at_once: int


def train_chunk(
  lm: LanguageModel,
  tokens,
  chunk: Group,
  program: Program,
  settings: TrainSettings,
  meter: Meter,
  callbacks: Callbacks,
  recovery: Recovery,
) -> list[TunedPrompt]:
  """All dispatches of a chunk; resumed from its newest checkpoint where there is one.

  Args:
    lm: the frozen language model.
    tokens: all training examples, on the devices.
    chunk: members that are trained by one run of the program.
    program: what trains them.
    settings: what they share.
    meter: what the sweep has done so far.
    callbacks: told of every dispatch, and asked whether to stop.
    recovery: where checkpoints are.

  Raises:
    Stopped: it was asked to; the chunk has been saved.
  """
  members, steps = chunk.members, settings.steps
  is_point = functools.partial(_is_point, chunk.schedule, settings)
  leaves_M, state_M = begin(lm.layout, chunk, settings, program.size)
  state, step = _restore(recovery.checkpoints, chunk, state_M, steps)
  callbacks.on_start(members, step)
  meter.member_steps += len(members) * step
  seconds = 0.0
  at_point = _last_point(is_point, step)
  while step < steps:
    stop = _next_stop(is_point, step, meter.steps_at_once)
    started = time.perf_counter()
    state_M, losses = program.compiled(
      lm.params, tokens, leaves_M, state.train_M, chunk.schedule.dispatch(step, stop)
    )
    state = state._replace(train_M=state_M)
    for kept, new in zip(*map(jax.tree.leaves, (state.losses_MxT, fetch(losses))), strict=True):
      kept[:, step:stop] = new.T[:, : stop - step]
    spent = time.perf_counter() - started
    seconds += spent
    meter.add(len(members) * (stop - step), spent)
    steps_at_once = max(1, int(DISPATCH_SECONDS * (stop - step) / spent))
    step = stop
    window = step - at_point if is_point(step) else 0
    at_point = step if window else at_point
    callbacks.on_progress(
      Progress(
        chunk=members,
        step=step,
        steps=steps,
        losses_MxT=jax.tree.map(lambda x, step=step: x[: len(members), :step], state.losses_MxT),
        window=window,
        meter=meter,
        memory=program.memory,
        prompts=functools.partial(unstack_prompts, members, state_M),
      )
    )
    agreed = _agree(callbacks, recovery.checkpoints, steps_at_once, ended=step == steps)
    meter.steps_at_once = agreed.steps_at_once
    if recovery.checkpoints and agreed.save:
      _save(recovery.checkpoints, chunk, state, step, steps)
    if agreed.stop and step < steps:
      if recovery.checkpoints:
        recovery.checkpoints.wait()
      raise Stopped
  return _tuned(lm, chunk, state, seconds / len(members))


def _tuned(lm: LanguageModel, chunk: Group, state: ChunkState, seconds: float) -> list[TunedPrompt]:
  """The finished members."""
  failed_M = fetch(state.train_M.diverged_at)
  constraint = get_constraint(chunk.constraint)
  prompts = [
    constraint.settle(prompt_PxD, member.target_ids, member.held, member.cells)
    for member, prompt_PxD in zip(chunk.members, unstack_prompts(chunk.members, state.train_M))
  ]
  return [
    TunedPrompt(
      prompt=SoftPrompt(
        prompt_PxD,
        lm.name,
        member.target,
        {"key": member.key},
        before=chunk.frame.before,
        after=chunk.frame.after,
        reply=chunk.frame.reply,
      ),
      member=member,
      cross_entropy_T=state.losses_MxT.cross_entropy[i],
      c_dist_T=state.losses_MxT.c_dist[i],
      reader_nll_T=state.losses_MxT.reader_nll[i] if chunk.fooling else None,
      diverged_at=int(failed_M[i]) if failed_M[i] >= 0 else None,
      wall_seconds=seconds,
    )
    for i, (member, prompt_PxD) in enumerate(zip(chunk.members, prompts))
  ]


def _is_point(schedule: Schedule, settings: TrainSettings, step: int) -> bool:
  """Whether the training curves have a point here; a function of the settings alone."""
  every = settings.eval_every
  return (
    step % schedule.per_dispatch == 0 or step == settings.steps or bool(every and step % every == 0)
  )


def _next_stop(is_point, step: int, steps_at_once: int) -> int:
  """Where a dispatch ends: at the next point of the training curves, or before."""
  stop = step + 1
  while stop < step + steps_at_once and not is_point(stop):
    stop += 1
  return stop


def _last_point(is_point, step: int) -> int:
  """The last point of the training curves up to a step."""
  while step and not is_point(step):
    step -= 1
  return step


def _agree(
  callbacks: Callbacks, checkpoints: Checkpoints | None, steps_at_once: int, *, ended: bool
) -> _Agreed:
  """What all processes do: one that is to stop stops all, the first decides the rest."""
  due = bool(checkpoints and checkpoints.due())
  told = processes.gather(bool(callbacks.stop()), due, steps_at_once)
  stop = bool(told[:, 0].any())
  return _Agreed(stop, stop or ended or bool(told[0, 1]), int(told[0, 2]))


def _save(checkpoints: Checkpoints, chunk: Group, state: ChunkState, step: int, steps: int) -> None:
  size = len(state.train_M.diverged_at)
  checkpoints.save(chunk.before * steps + step, state, members=chunk.keys, step=step, size=size)


def _restore(
  checkpoints: Checkpoints | None, chunk: Group, state_M: TrainState, steps: int
) -> tuple[ChunkState, int]:
  """The chunk's newest state, and the steps it has done; as it begins where none was saved."""
  size = len(state_M.diverged_at)
  losses_MxT = StepLosses(*(np.zeros((size, steps), np.float32) for _ in range(2)))
  if chunk.fooling:
    losses_MxT = losses_MxT._replace(reader_nll=np.zeros((size, steps), np.float32))
  state, step = ChunkState(state_M, losses_MxT), 0
  if checkpoints and (saved := checkpoints.restore(state, members=chunk.keys, size=size)):
    state, step = saved
  return state, step
