"""A chunk of members as one compiled program: stacked along M, vmapped, scanned over steps.

Gamma, learning rate, seed and target are leaves of the program's input, so none of them recompiles;
the frozen model is a plain argument, never donated and never differentiated.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax import devices, memory, packing, processes
from wayjax.errors import WayjaxError
from wayjax.layout import Layout, fetch, place
from wayjax.members import Member, left_mask, pad_left
from wayjax.models import LanguageModel
from wayjax.recovery import Decision
from wayjax.schedule import Dispatch, RowSize, Schedule
from wayjax.train import MemberLeaves, StepLosses, TrainState, init_state, train_step

CPU_MEMBERS = 16  # a CPU is fastest with 4 to 16; 32 took 1.4 times as long a member-step


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """What all members of a sweep share; the defaults are the paper's.

  Attributes:
    steps: training steps of each member.
    lr: learning rate of the first step; it decays linearly to 0.
    batch_size: examples in a batch.
    members_at_once: members in one program; None means what fits the memory.
    eval_every: a dispatch ends at every multiple of this; 0 means they end as they come.

  Raises:
    WayjaxError: a value that cannot be.
  """

  steps: int = 2000
  lr: float = 0.01
  batch_size: int = 8
  members_at_once: int | None = None
  eval_every: int = 0

  def __post_init__(self):
    counts = {"steps": self.steps, "batch_size": self.batch_size}
    if self.members_at_once is not None:
      counts["members_at_once"] = self.members_at_once
    for name, value in counts.items():
      if not isinstance(value, int) or value < 1:
        raise WayjaxError(f"{name} must be a whole number of at least 1, not {value!r}")
    if not (math.isfinite(self.lr) and self.lr >= 0):
      raise WayjaxError(f"lr must be a number of at least 0, not {self.lr}")


def group_by_length(members: list[Member]) -> dict[int, list[Member]]:
  """Members by padded prompt length, shortest first; each group is one compiled program."""
  groups = collections.defaultdict(list)
  for member in members:
    groups[packing.round_up(member.prompt_tokens, packing.PROMPT_MULTIPLE)].append(member)
  return dict(sorted(groups.items()))


def stack_leaves(chunk, padded: int, seeds: tuple[int, ...], lr: float, size: int) -> MemberLeaves:
  """The leaves of a chunk, filled up to `size` with idle members, whose learning rate is 0."""
  leaves = []
  for member in chunk:
    # Without a target of the same length gamma is 0; zeros keep the distance finite.
    target = member.target_PxD if member.has_c_dist else np.zeros_like(member.init_PxD)
    leaves.append(
      MemberLeaves(
        pad_left(target, padded),
        left_mask(member.prompt_tokens, padded),
        np.float32(member.gamma),
        np.float32(lr),
        np.int32(seeds.index(member.seed)),
      )
    )
  idle = leaves[0]._replace(lr=np.float32(0))
  return jax.tree.map(lambda *xs: np.stack(xs), *leaves, *[idle] * (size - len(chunk)))


def stack_states(chunk, padded: int, steps: int, size: int) -> TrainState:
  """The states of a chunk before its first step, filled up to `size` with copies of the first."""
  prompts = [pad_left(member.init_PxD, padded) for member in chunk]
  prompts_MxPxD = np.stack(prompts + [prompts[0]] * (size - len(chunk)))
  return jax.vmap(functools.partial(init_state, steps=steps))(prompts_MxPxD)


def begin(
  layout: Layout, chunk: list[Member], padded: int, schedule: Schedule, settings, size: int
) -> tuple[MemberLeaves, TrainState]:
  """Leaves and states of a chunk before its first step, on the devices.

  Args:
    layout: where members lie.
    chunk: at most `size` members.
    padded: P that they are padded to.
    schedule: what their steps read.
    settings: what they share.
    size: members of the program.
  """
  count = layout.rounded(size)
  leaves_M = stack_leaves(chunk, padded, schedule.seeds, settings.lr, count)
  state_M = stack_states(chunk, padded, settings.steps, count)
  return place((leaves_M, state_M), layout.members())


def unstack_prompts(chunk: list[Member], state_M: TrainState) -> list[np.ndarray]:
  """The members' prompts as they are now, without padding."""
  prompts_MxPxD = fetch(state_M.prompt_PxD)
  return [prompt[-member.prompt_tokens :] for member, prompt in zip(chunk, prompts_MxPxD)]


class ChunkState(NamedTuple):
  """All that a chunk needs to go on; the losses' columns of steps to come are zeros."""

  train_M: TrainState
  losses_MxT: StepLosses


class Program(NamedTuple):
  """What trains a chunk.

  Attributes:
    compiled: takes params, tokens, leaves, states and a dispatch.
    size: M.
    memory: bytes that it needs besides its inputs.
    checkpointed: whether layers are computed anew in the backward pass.
  """

  compiled: Callable
  size: int
  memory: int
  checkpointed: bool


class Plan(NamedTuple):
  """What decides a program's shape, hashable.

  Attributes:
    steps: steps of the whole training, which the learning rate decays over.
    sizes: row sizes that a step may take.
    layout: where members lie.
    checkpointed: whether layers are computed anew in the backward pass, to save memory.
  """

  steps: int
  sizes: tuple[RowSize, ...]
  layout: Layout
  checkpointed: bool = False


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(5,))
def train_dispatch(graphdef, plan: Plan, params, tokens, leaves_M, state_M, dispatch: Dispatch):
  """K steps of all members of a chunk.

  Args:
    graphdef: the model's structure.
    plan: what decides the shapes.
    params: the model's weights.
    tokens: all training examples.
    leaves_M: the members, stacked.
    state_M: their states, stacked; donated.
    dispatch: what the steps read.

  Returns:
    The next states, and the losses, each (K, M).
  """
  model = nnx.merge(graphdef, params)
  model.checkpointed = plan.checkpointed

  def step_members(size: RowSize, state_M, step, batches_NxB):
    pack = functools.partial(packing.pack_training, tokens, **size._asdict())
    rows_N = jax.vmap(pack)(batches_NxB)
    one = functools.partial(train_step, model, plan.steps)
    return jax.vmap(one, in_axes=(0, 0, None, None))(leaves_M, state_M, step, rows_N)

  def skip(state_M, step, batches_NxB):
    nothing_M = jnp.zeros(leaves_M.gamma.shape, jnp.float32)
    return state_M, StepLosses(nothing_M, nothing_M)

  branches = [*(functools.partial(step_members, size) for size in plan.sizes), skip]

  def scanned(state_M, at: Dispatch):
    # The index is not batched, so one branch runs; batched, it would be a select of all.
    return jax.lax.switch(at.sizes_K, branches, state_M, at.steps_K, at.batches_KxNxB)

  state_M, losses_KxM = jax.lax.scan(scanned, state_M, dispatch)
  return (
    jax.lax.with_sharding_constraint(state_M, plan.layout.members()),
    jax.lax.with_sharding_constraint(losses_KxM, plan.layout.members(axis=1)),
  )


def compile_group(
  lm: LanguageModel,
  group: list[Member],
  padded: int,
  settings: TrainSettings,
  tokens: packing.TrainingTokens,
  schedule: Schedule,
  decision: Decision | None = None,
) -> Program:
  """Compiles a group's program for as many members at once as fit.

  Args:
    lm: the frozen language model.
    group: members of one padded prompt length, that could all train at once.
    padded: that length.
    settings: what the members share.
    tokens: all training examples.
    schedule: what the steps of one of its rounds read.
    decision: how it was compiled before, so that nothing is measured; None means that it was not.

  Returns:
    The program.

  Raises:
    WayjaxError: not even one member fits the memory, or not as many as were asked for.
  """
  dispatch = schedule.dispatch(0, 0)

  def lower(checkpointed: bool, size: int):
    count, sharding = lm.layout.rounded(size), lm.layout.members()
    shapes = jax.eval_shape(
      lambda: (
        stack_leaves(group[:1], padded, schedule.seeds, settings.lr, count),
        stack_states(group[:1], padded, settings.steps, count),
      )
    )
    leaves_M, state_M = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )
    plan = Plan(settings.steps, schedule.sizes, lm.layout, checkpointed)
    return train_dispatch.lower(lm.graphdef, plan, lm.params, tokens, leaves_M, state_M, dispatch)

  if decision is not None:
    compiled = lower(decision.checkpointed, decision.members_at_once).compile()
    needed = memory.temporary_bytes(compiled)
    return Program(compiled, decision.members_at_once, needed, decision.checkpointed)
  size = min(len(group), settings.members_at_once or len(group))
  if settings.members_at_once is None and jax.default_backend() == "cpu":
    size = min(size, CPU_MEMBERS)
  size = -(-len(group) // -(-len(group) // size))  # chunks of even size
  all_free = int(processes.gather(devices.free_memory()).min())
  free = all_free if settings.members_at_once else int(memory.SHARE * all_free)
  for checkpointed in (False, True):
    fitted = memory.compile_to_fit(functools.partial(lower, checkpointed), size, free=free)
    if fitted.memory <= free and (fitted.size == size or not settings.members_at_once):
      return Program(*fitted, checkpointed)
  if settings.members_at_once and fitted.memory <= free:
    raise WayjaxError(
      f"--members-at-once {settings.members_at_once} does not fit {free / 2**30:.1f} GiB of free "
      f"memory: {fitted.size} would; give that or auto"
    )
  raise WayjaxError(
    f"one member needs {fitted.memory / 2**30:.1f} GiB and {free / 2**30:.1f} GiB can be used: "
    "lower --batch-size or --max-length, or take a smaller model"
  )
