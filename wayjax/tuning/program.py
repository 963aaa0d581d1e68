"""A chunk of members as one compiled program: stacked along M, vmapped, scanned over steps.

Gamma, learning rate, seed and target are leaves of the program's input, so none of them recompiles;
the frozen model is a plain argument, never donated and never differentiated.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.blocks import block_starts
from wayjax.constraints import Constraint, get_constraint, unchanged
from wayjax.data import packing
from wayjax.data.frame import NO_FRAME, Frame
from wayjax.data.packing import left_mask, pad_left
from wayjax.devices import compilation, processes
from wayjax.devices.sharding import Layout, fetch, place
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.readers.fooling import Fooling
from wayjax.tuning.batches import Dispatch, RowSize
from wayjax.tuning.decisions import Decision
from wayjax.tuning.groups import Group
from wayjax.tuning.members import Member
from wayjax.tuning.settings import TrainSettings
from wayjax.tuning.step import MemberLeaves, StepLosses, TrainState, init_state, train_step

_PRODUCTS = 2**25  # of a chunk's vectors with embeddings, that are in memory at a time
CPU_MEMBERS = 16  # a CPU is fastest with 4 to 16; 32 took 1.4 times as long a member-step


def stack_leaves(chunk: Group, lr: float, size: int) -> MemberLeaves:
  """The leaves of a chunk, filled up to `size` with idle members, whose learning rate is 0."""
  pad = functools.partial(pad_left, length=chunk.padded)
  leaves = [
    MemberLeaves(
      # A prompt of another length than its target is unconstrained; zeros keep c-dist finite.
      target_PxD=pad(member.target_PxD if member.has_c_dist else np.zeros_like(member.init_PxD)),
      mask_P=left_mask(member.prompt_tokens, chunk.padded),
      held=jax.tree.map(pad, member.held),
      gamma=np.float32(member.gamma),
      lr=np.float32(lr),
      seed_index=np.int32(chunk.schedule.seeds.index(member.seed)),
      said_S=() if member.fooling is None else member.fooling.padded(member.said_S, chunk.padded),
    )
    for member in chunk.members
  ]
  idle = leaves[0]._replace(lr=np.float32(0))
  return jax.tree.map(lambda *xs: np.stack(xs), *leaves, *[idle] * (size - len(leaves)))


def stack_states(chunk: Group, steps: int, size: int) -> TrainState:
  """The states of a chunk before its first step, filled up to `size` with copies of the first."""
  prompts = [pad_left(member.init_PxD, chunk.padded) for member in chunk.members]
  prompts_MxPxD = np.stack(prompts + [prompts[0]] * (size - len(prompts)))
  return jax.vmap(functools.partial(init_state, steps=steps))(prompts_MxPxD)


def begin(
  layout: Layout, chunk: Group, settings: TrainSettings, size: int
) -> tuple[MemberLeaves, TrainState]:
  """Leaves and states of a chunk before its first step, on the devices.

  Args:
    layout: where members lie.
    chunk: at most `size` members.
    settings: what they share.
    size: members of the program.
  """
  count = layout.rounded(size)
  stacked = stack_leaves(chunk, settings.lr, count), stack_states(chunk, settings.steps, count)
  return place(stacked, layout.members())


def unstack_prompts(members: list[Member], state_M: TrainState) -> list[np.ndarray]:
  """The members' prompts as they are now, without padding."""
  prompts_MxPxD = fetch(state_M.prompt_PxD)
  return [prompt[-member.prompt_tokens :] for member, prompt in zip(members, prompts_MxPxD)]


class Static(NamedTuple):
  """What a program is compiled for besides its arguments' shapes: one static, hashable argument.

  Attributes:
    steps: steps of the whole training, over which the learning rate decays.
    sizes: row sizes that a step may take.
    layout: where members lie.
    constraint: how prompts are held to their targets.
    unused: rows of the embedding table that belong to no token.
    remat: whether layers are computed again in the backward pass, to save memory.
    frame: what stands around the prompts.
    fooling: the reader that they are to fool; None for none.
  """

  steps: int
  sizes: tuple[RowSize, ...]
  layout: Layout
  constraint: Constraint
  unused: tuple[int, ...] = ()
  remat: bool = False
  frame: Frame = NO_FRAME
  fooling: Fooling | None = None


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(5,))
def train_dispatch(graphdef, static: Static, params, tokens, leaves_M, state_M, dispatch: Dispatch):
  """K steps of all members of a chunk.

  Args:
    graphdef: the model's structure.
    static: what the program is compiled for.
    params: the model's weights.
    tokens: all training examples.
    leaves_M: the members, stacked.
    state_M: their states, stacked; donated.
    dispatch: what the steps read.

  Returns:
    The next states, and the losses, each (K, M).
  """
  model = nnx.merge(graphdef, params)
  model.remat = static.remat
  squares_NxB = None
  if static.constraint.project is not unchanged:
    squares_NxB = _squares(model.embedding_table(), static.unused, leaves_M.mask_P.size)

  def step_members(size: RowSize, state_M, step, batches_NxB):
    pack = functools.partial(packing.pack_training, tokens, **size._asdict(), frame=static.frame)
    rows_N = jax.vmap(pack)(batches_NxB)
    step_member = functools.partial(
      train_step, model, static.constraint, static.steps, fooling=static.fooling
    )
    in_axes = (0, 0, None, None, None)
    return jax.vmap(step_member, in_axes)(leaves_M, state_M, step, rows_N, squares_NxB)

  def skip(state_M, step, batches_NxB):
    nothing_M = jnp.zeros(leaves_M.gamma.shape, jnp.float32)
    return state_M, StepLosses(nothing_M, nothing_M, nothing_M if static.fooling else ())

  branches = [*(functools.partial(step_members, size) for size in static.sizes), skip]

  def scanned(state_M, at: Dispatch):
    # The index is not batched, so one branch runs; batched, it would be a select of all.
    return jax.lax.switch(at.sizes_K, branches, state_M, at.steps_K, at.batches_KxNxB)

  state_M, losses_KxM = jax.lax.scan(scanned, state_M, dispatch)
  return (
    jax.lax.with_sharding_constraint(state_M, static.layout.members()),
    jax.lax.with_sharding_constraint(losses_KxM, static.layout.members(axis=1)),
  )


def _squares(table_VxD, unused: tuple[int, ...], vectors: int):
  """Squared lengths of the embeddings in blocks, infinite for rows that belong to no token, (N, B).

  Args:
    table_VxD: the embedding table.
    unused: the rows that belong to no token.
    vectors: how many are compared with a block at a time.
  """
  tokens = len(table_VxD)
  squares_V = jnp.einsum("vd,vd->v", table_VxD, table_VxD, precision=jax.lax.Precision.HIGHEST)
  squares_V = squares_V.at[np.array(unused, np.int32)].set(jnp.inf)
  size = min(tokens, max(1, _PRODUCTS // vectors))
  places_NxB = block_starts(tokens, size)[:, None] + np.arange(size)
  return squares_V[places_NxB]


class Program(NamedTuple):
  """What trains a chunk.

  Attributes:
    compiled: takes params, tokens, leaves, states and a dispatch.
    size: M.
    memory: bytes that it needs besides its inputs.
    remat: whether layers are computed again in the backward pass.
  """

  compiled: Callable
  size: int
  memory: int
  remat: bool


def compile_group(
  lm: LanguageModel,
  group: Group,
  settings: TrainSettings,
  tokens: packing.TrainingTokens,
  decision: Decision | None = None,
) -> Program:
  """Compiles a program for as many members of a group at once as fit.

  Args:
    lm: the frozen language model.
    group: members that could all train at once.
    settings: what they share.
    tokens: all training examples.
    decision: how it was compiled before, so that nothing is measured; None means not yet.

  Raises:
    WayjaxError: not even one member fits the memory, or not as many as were asked for; or more were
      decided on than there are.
  """
  lower = functools.partial(lower_chunk, lm, group.chunk(0, 1), settings, tokens)
  if decision is None:
    return _fit(lower, group.largest, settings.members_at_once, lm.layout.platform)
  if decision.members_at_once > group.largest:
    raise WayjaxError(
      f"the run folder decided on {decision.members_at_once:,} members at once, and there are "
      f"{group.largest}: its decisions.json is damaged"
    )
  compiled = lower(decision.remat, decision.members_at_once).compile()
  needed = compilation.temporary_bytes(compiled)
  return Program(compiled, decision.members_at_once, needed, decision.remat)


def lower_chunk(
  lm: LanguageModel, example: Group, settings: TrainSettings, tokens, remat: bool, size: int
) -> jax.stages.Lowered:
  """The program for a chunk of members.

  Args:
    lm: the frozen language model; of its weights the shapes are enough.
    example: one such member.
    settings: what all share.
    tokens: all training examples.
    remat: whether layers are computed again in the backward pass.
    size: how many members.
  """
  count, sharding = lm.layout.rounded(size), lm.layout.members()
  abstract = jax.eval_shape(
    lambda: (
      stack_leaves(example, settings.lr, count),
      stack_states(example, settings.steps, count),
    )
  )
  leaves_M, state_M = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract
  )
  constraint = get_constraint(example.constraint)
  static = Static(
    settings.steps,
    example.schedule.sizes,
    lm.layout,
    constraint,
    lm.rows_of_no_token,
    remat,
    example.frame,
    example.fooling,
  )
  dispatch = example.schedule.dispatch(0, 0)
  return train_dispatch.lower(lm.graphdef, static, lm.params, tokens, leaves_M, state_M, dispatch)


def _fit(
  lower: Callable[[bool, int], jax.stages.Lowered], members: int, asked: int | None, platform: str
) -> Program:
  """The program for all members, for as many as were asked for, or for as many as fit."""
  size = min(members, asked or members)
  if asked is None and platform == "cpu":
    size = min(size, CPU_MEMBERS)
  size = -(-members // -(-members // size))  # chunks of even size
  free = compilation.free_memory() if asked else compilation.usable_memory()
  free = int(processes.gather(free).min())
  for remat in (False, True):
    fitted = compilation.compile_to_fit(functools.partial(lower, remat), size, free=free)
    if fitted.memory <= free and (fitted.size == size or not asked):
      return Program(*fitted, remat)
  if asked and fitted.memory <= free:
    raise WayjaxError(
      f"--members-at-once {asked} does not fit {free / 2**30:.1f} GiB of free memory: "
      f"{fitted.size} would; give that or auto"
    )
  raise WayjaxError(
    f"one member needs {fitted.memory / 2**30:.1f} GiB and {free / 2**30:.1f} GiB can be used: "
    "lower --batch-size or --max-length, or take a smaller model"
  )
