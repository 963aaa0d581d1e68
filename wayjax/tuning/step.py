"""One training step of ONE member; `program.py` batches it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from wayjax.constraints import Constraint
from wayjax.data.packing import PackedRow
from wayjax.loss import wayward_loss
from wayjax.readers.fooling import Fooling


class MemberLeaves(NamedTuple):
  """What varies between members, as arrays; stacked along M in a chunk.

  Attributes:
    target_PxD: c-proj of the target.
    mask_P: 1 where a position is real, 0 where it is padding.
    held: what the constraint prepared for the target.
    gamma: weight of the constraint's penalty.
    lr: learning rate of the first step.
    seed_index: which of the chunk's seeds orders the member's examples.
    said_S: what a reader is to say, padded on the left with -1; nothing where none is fooled.
  """

  target_PxD: jax.Array
  mask_P: jax.Array
  held: object
  gamma: jax.Array
  lr: jax.Array
  seed_index: jax.Array
  said_S: jax.Array | tuple = ()


class TrainState(NamedTuple):
  """What a step changes; `diverged_at` is the step that failed, or -1."""

  prompt_PxD: jax.Array
  optimizer: optax.OptState
  diverged_at: jax.Array


class StepLosses(NamedTuple):
  """The losses that runs record, before the step's update.

  Attributes:
    cross_entropy: of the batch.
    c_dist: from the target.
    reader_nll: how unlikely the reader that is fooled is to say the target, nats a token; nothing
      where none is fooled.
  """

  cross_entropy: jax.Array
  c_dist: jax.Array
  reader_nll: jax.Array | tuple = ()


# Its name since jax 0.8, and before.
_enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


def make_optimizer(lr, steps: int) -> optax.GradientTransformation:
  """AdamW without weight decay, linear decay of the rate to 0, gradients clipped to norm 1 (§4.1).

  Args:
    lr: learning rate of the first step.
    steps: steps of the whole training.
  """
  return optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(
      optax.linear_schedule(lr, 0.0, steps), b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0
    ),
  )


def init_state(prompt_PxD, steps: int) -> TrainState:
  """The state of one member before its first step."""
  return TrainState(prompt_PxD, make_optimizer(0.0, steps).init(prompt_PxD), jnp.int32(-1))


def member_gradient(
  model,
  constraint: Constraint,
  leaves: MemberLeaves,
  prompt_PxD,
  row: PackedRow,
  fooling: Fooling | None = None,
  step=0,
):
  """The gradient of one member's loss at its prompt.

  Args:
    model: the frozen language model.
    constraint: how the prompt is held to its target.
    leaves: the member.
    prompt_PxD: its prompt.
    row: a batch as a packed row.
    fooling: the reader that the prompt is to fool; None for none.
    step: the number of the step, by which that draws.

  Returns:
    The gradient, (P, D) and zero on padding; the loss; and the losses that runs record.
  """

  def penalty(prompt_PxD, target_PxD, mask_P, gamma):
    return constraint.penalty(prompt_PxD, target_PxD, mask_P, leaves.held, gamma)

  def loss(prompt_PxD, *others):
    total, losses = wayward_loss(model, prompt_PxD, *others, penalty=penalty)
    if fooling is None:
      return total, StepLosses(*losses)
    nll = fooling(model, prompt_PxD, leaves.mask_P, leaves.said_S, step)
    return total + fooling.weight * nll, StepLosses(*losses, nll)

  (total, losses), gradient_PxD = jax.value_and_grad(loss, has_aux=True)(
    prompt_PxD, leaves.target_PxD, leaves.mask_P, leaves.gamma, row
  )
  # Before clipping, or padding would count in the norm.
  gradient_PxD = jnp.where(leaves.mask_P[:, None] > 0, gradient_PxD, 0.0)
  return gradient_PxD, total, losses


def train_step(
  model,
  constraint: Constraint,
  steps: int,
  leaves: MemberLeaves,
  state: TrainState,
  step,
  rows_by_seed,
  squares_NxB=None,
  fooling: Fooling | None = None,
):
  """One step of ONE member: gradient, update, and the constraint's projection.

  Args:
    model: the frozen language model.
    constraint: how the prompt is held to its target.
    steps: steps of the whole training, over which the learning rate decays.
    leaves: the member.
    state: its state.
    step: the number of this step, from 0.
    rows_by_seed: the step's packed rows, stacked over the chunk's seeds.
    squares_NxB: squared lengths of the embeddings, infinite for rows that belong to no token, in
      blocks; None for a constraint that does not need them.
    fooling: the reader that the prompt is to fool; None for none.

  Returns:
    The next state and the step's losses. Where the loss or the next prompt is not finite the state
    stays as it was, for good, and `diverged_at` is the step.
  """
  # The one row of a single seed stays unbatched under vmap: all members read it.
  alone = len(rows_by_seed.ids_T) == 1
  row = jax.tree.map(lambda x: x[0] if alone else x[leaves.seed_index], rows_by_seed)
  gradient_PxD, total, losses = member_gradient(
    model, constraint, leaves, state.prompt_PxD, row, fooling, step
  )
  # Optax mixes its integer step count with floats, which are to be of 32 bits wherever it runs.
  with jax.numpy_dtype_promotion("standard"), _enable_x64(False):
    updates, optimizer = make_optimizer(leaves.lr, steps).update(
      gradient_PxD, state.optimizer, state.prompt_PxD
    )
  updated_PxD = optax.apply_updates(state.prompt_PxD, updates)
  projected_PxD = constraint.project(
    updated_PxD,
    leaves.target_PxD,
    leaves.mask_P,
    leaves.held,
    model.embedding_table(),
    squares_NxB,
  )
  prompt_PxD = jnp.where(leaves.mask_P[:, None] > 0, projected_PxD, updated_PxD)
  sound = jnp.isfinite(total) & jnp.all(jnp.isfinite(prompt_PxD))
  running = state.diverged_at < 0
  next_state = TrainState(prompt_PxD, optimizer, state.diverged_at)
  stopped = state._replace(diverged_at=jnp.where(running, step, state.diverged_at))
  keep = sound & running
  return jax.tree.map(lambda new, old: jnp.where(keep, new, old), next_state, stopped), losses
