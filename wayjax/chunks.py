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

from wayjax import devices, packing
from wayjax.errors import WayjaxError
from wayjax.members import Member, left_mask, pad_left
from wayjax.models import LanguageModel
from wayjax.train import MemberLeaves, StepLosses, TrainState, init_state, train_step

MEMORY_SHARE = 0.8  # of what is free, for one chunk
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


def stack_leaves(chunk, padded: int, seeds: list[int], lr: float, size: int) -> MemberLeaves:
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
  return jax.tree.map(lambda *xs: jnp.stack(xs), *leaves, *[idle] * (size - len(chunk)))


def stack_states(chunk, padded: int, steps: int, size: int) -> TrainState:
  """The states of a chunk before its first step, filled up to `size` with copies of the first."""
  prompts = [pad_left(member.init_PxD, padded) for member in chunk]
  prompts_MxPxD = jnp.stack(prompts + [prompts[0]] * (size - len(chunk)))
  return jax.vmap(functools.partial(init_state, steps=steps))(prompts_MxPxD)


def unstack_prompts(chunk: list[Member], state_M: TrainState) -> list[np.ndarray]:
  """The members' prompts as they are now, without padding."""
  prompts_MxPxD = np.asarray(state_M.prompt_PxD)
  return [prompt[-member.prompt_tokens :] for member, prompt in zip(chunk, prompts_MxPxD)]


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4,))
def train_dispatch(graphdef, steps: int, params, leaves_M, state_M, steps_K, rows_KxN):
  """K steps of all members of a chunk.

  Args:
    graphdef: the model's structure.
    steps: steps of the whole training; steps from there on change nothing.
    params: the model's weights.
    leaves_M: the members, stacked.
    state_M: their states, stacked; donated.
    steps_K: the numbers of these steps.
    rows_KxN: packed rows of each step and seed.

  Returns:
    The next states, and the losses, each (K, M).
  """
  model = nnx.merge(graphdef, params)

  def step_members(state_M, step, rows_N):
    one = functools.partial(train_step, model, steps)
    return jax.vmap(one, in_axes=(0, 0, None, None))(leaves_M, state_M, step, rows_N)

  def skip(state_M, step, rows_N):
    nothing_M = jnp.zeros(leaves_M.gamma.shape, jnp.float32)
    return state_M, StepLosses(nothing_M, nothing_M)

  def scanned(state_M, xs):
    step, rows_N = xs
    # The predicate is not batched, so the steps after the last are skipped, not masked.
    return jax.lax.cond(step < steps, step_members, skip, state_M, step, rows_N)

  return jax.lax.scan(scanned, state_M, (steps_K, rows_KxN))


class Program(NamedTuple):
  """A group's compiled program, its members at once, and the bytes it needs besides the model."""

  compiled: Callable
  size: int
  memory: int


def compile_group(
  lm: LanguageModel,
  group: list[Member],
  padded: int,
  seeds: list[int],
  settings: TrainSettings,
  steps_K: np.ndarray,
  rows_KxN: packing.PackedRow,
) -> Program:
  """Compiles a group's program for as many members at once as fit.

  Args:
    lm: the frozen language model.
    group: members of one padded prompt length.
    padded: that length.
    seeds: the sweep's seeds.
    settings: what the members share.
    steps_K: step numbers of a dispatch, for their shape.
    rows_KxN: packed rows of a dispatch, for their shapes.

  Returns:
    The program.

  Raises:
    WayjaxError: not even one member fits the memory.
  """
  size = min(len(group), settings.members_at_once or len(group))
  if settings.members_at_once is None and jax.default_backend() == "cpu":
    size = min(size, CPU_MEMBERS)
  size = -(-len(group) // -(-len(group) // size))  # chunks of even size
  free = MEMORY_SHARE * devices.free_memory()
  while True:
    leaves_M = jax.eval_shape(
      functools.partial(stack_leaves, group[:1], padded, seeds, settings.lr, size)
    )
    state_M = jax.eval_shape(
      functools.partial(stack_states, group[:1], padded, settings.steps, size)
    )
    lowered = train_dispatch.lower(
      lm.graphdef, settings.steps, lm.params, leaves_M, state_M, steps_K, rows_KxN
    )
    try:
      compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
      # TPUs refuse a program that is too large when they compile it.
      if size == 1 or "RESOURCE_EXHAUSTED" not in str(error):
        raise
      size //= 2
      continue
    memory = compiled.memory_analysis().temp_size_in_bytes
    if settings.members_at_once is not None or memory <= free:
      return Program(compiled, size, memory)
    if size == 1:
      raise WayjaxError(
        f"one member needs {memory / 2**30:.1f} GiB and {free / 2**30:.1f} GiB can be used: lower "
        "--batch-size or --max-length, or take a smaller model"
      )
    size = max(1, min(int(size * free / memory), size - 1))
