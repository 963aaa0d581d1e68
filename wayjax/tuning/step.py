"""One training step of ONE member; `sweep.py` batches it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from wayjax import packing
from wayjax.loss import wayward_loss


class MemberLeaves(NamedTuple):
  """What varies between members, as arrays; stacked along M in a chunk."""

  target_PxD: jax.Array
  mask_P: jax.Array
  gamma: jax.Array
  lr: jax.Array
  seed_index: jax.Array


class TrainState(NamedTuple):
  """What a step changes; `diverged_at` is the step that failed, or -1."""

  prompt_PxD: jax.Array
  optimizer: optax.OptState
  diverged_at: jax.Array


class StepLosses(NamedTuple):
  """Cross-entropy and c-dist before the step's update."""

  cross_entropy: jax.Array
  c_dist: jax.Array


def make_optimizer(lr, steps: int) -> optax.GradientTransformation:
  """AdamW without weight decay, linear decay of the rate to 0, gradients clipped to norm 1."""
  return optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(
      optax.linear_schedule(lr, 0.0, steps), b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0
    ),
  )


def init_state(prompt_PxD, steps: int) -> TrainState:
  """The state of one member before its first step."""
  return TrainState(prompt_PxD, make_optimizer(0.0, steps).init(prompt_PxD), jnp.int32(-1))


def member_gradient(model, leaves: MemberLeaves, prompt_PxD, row: packing.PackedRow):
  """The gradient of one member's wayward loss at its prompt, zero on padding, and the losses."""
  loss = functools.partial(wayward_loss, model)
  gradient, (ce, distance) = jax.grad(loss, has_aux=True)(
    prompt_PxD, leaves.target_PxD, leaves.mask_P, leaves.gamma, row
  )
  gradient_PxD = jnp.where(leaves.mask_P[:, None] > 0, gradient, 0.0)
  return gradient_PxD, StepLosses(ce, distance)


def train_step(model, steps: int, leaves: MemberLeaves, state: TrainState, step, rows_by_seed):
  """One step of ONE member.

  Args:
    model: the frozen language model.
    steps: steps of the whole training, which the learning rate decays over.
    leaves: the member.
    state: its state.
    step: the number of this step, from 0.
    rows_by_seed: the step's packed rows, stacked over the chunk's seeds.

  Returns:
    The next state and the step's losses. Where the loss or the next prompt is not finite the state
    stays as it was, for good, and `diverged_at` tells the step.
  """
  # The one row of a single seed stays unbatched under vmap: all members read it.
  alone = len(rows_by_seed.ids_T) == 1
  row = jax.tree.map(lambda x: x[0] if alone else x[leaves.seed_index], rows_by_seed)
  gradient_PxD, losses = member_gradient(model, leaves, state.prompt_PxD, row)
  updates, optimizer = make_optimizer(leaves.lr, steps).update(
    gradient_PxD, state.optimizer, state.prompt_PxD
  )
  prompt_PxD = optax.apply_updates(state.prompt_PxD, updates)
  total = losses.cross_entropy + leaves.gamma * losses.c_dist
  sound = jnp.isfinite(total) & jnp.all(jnp.isfinite(prompt_PxD))
  running = state.diverged_at < 0
  next_state = TrainState(prompt_PxD, optimizer, state.diverged_at)
  stopped = state._replace(diverged_at=jnp.where(running, step, state.diverged_at))
  keep = sound & running
  return jax.tree.map(lambda new, old: jnp.where(keep, new, old), next_state, stopped), losses
