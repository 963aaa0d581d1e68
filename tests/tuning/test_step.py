"""One member's step: the optimiser against AdamW written out in NumPy, and what stops a member."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import tiny

from wayjax.constraints import Constraint, get_constraint
from wayjax.data.packing import left_mask
from wayjax.loss import c_dist
from wayjax.tuning.step import MemberLeaves, StepLosses, init_state, make_optimizer, train_step


def adamw_by_hand(prompt, gradients, lr, steps):
  """AdamW as PyTorch has it: clip to norm 1, beta 0.9 and 0.999, epsilon 1e-8, no decay."""
  prompt, m, v = prompt.astype(np.float64), 0.0, 0.0
  for t, gradient in enumerate(gradients.astype(np.float64)):
    gradient = gradient / max(1.0, np.linalg.norm(gradient))
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    m_hat, v_hat = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
    prompt = prompt - lr * (1 - t / steps) * m_hat / (np.sqrt(v_hat) + 1e-8)
  return prompt


def test_the_optimiser_is_adamw_with_clipping_and_linear_decay(rng):
  prompt = rng.normal(size=(3, 4)).astype(np.float32)
  scales = np.array([0.01, 1, 100, 0.3, 5, 0.1])[:, None, None]  # below and above the clip
  gradients = (scales * rng.normal(size=(6, 3, 4))).astype(np.float32)
  optimizer = make_optimizer(0.05, 6)
  ours, state = jnp.asarray(prompt), optimizer.init(jnp.asarray(prompt))
  for gradient in gradients:
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer step count with floats
      updates, state = optimizer.update(gradient, state, ours)
    ours = ours + updates
  np.testing.assert_allclose(ours, adamw_by_hand(prompt, gradients, 0.05, 6), rtol=1e-4)


@functools.partial(jax.jit, static_argnums=0)
def one_step(constraint, leaves, state, rows):
  return train_step(tiny.random_model(), constraint, 10, leaves, state, jnp.int32(4), rows)


def step_once(encoded, prompt, mask_P, constraint=None, diverged_at=-1, **changes):
  row = tiny.pack(encoded, [[0, 1, 2]], 40, 12)
  leaves = MemberLeaves(
    target_PxD=jnp.zeros_like(prompt),
    mask_P=jnp.asarray(mask_P),
    held=(),
    gamma=jnp.float32(0.1),
    lr=jnp.float32(0.01),
    seed_index=jnp.int32(0),
  )._replace(**changes)
  state = init_state(jnp.asarray(prompt), 10)._replace(diverged_at=jnp.int32(diverged_at))
  return state, *one_step(constraint or get_constraint("c-dist"), leaves, state, row)


def prompt_of(rng, size=4):
  return rng.normal(0, 0.3, (size, tiny.CONFIG.n_embd)).astype(np.float32)


def test_padding_of_the_prompt_never_moves(rng):
  before, after, _ = step_once(tiny.examples(rng), prompt_of(rng), left_mask(3, 4))
  moved = np.any(np.asarray(after.prompt_PxD) != np.asarray(before.prompt_PxD), axis=1)
  assert moved.tolist() == [False, True, True, True]
  assert after.diverged_at == -1


def test_learning_rate_zero_changes_no_bit(rng):
  before, after, _ = step_once(
    tiny.examples(rng), prompt_of(rng), left_mask(4, 4), lr=jnp.float32(0)
  )
  np.testing.assert_array_equal(after.prompt_PxD, before.prompt_PxD)


def test_a_member_that_diverges_keeps_its_last_finite_state(rng):
  prompt = prompt_of(rng)
  for changes in ({"lr": jnp.float32(np.inf)}, {"gamma": jnp.float32(np.nan)}):
    before, after, losses = step_once(tiny.examples(rng), prompt, left_mask(4, 4), **changes)
    assert after.diverged_at == 4
    chex.assert_trees_all_equal(after[:2], before[:2])
    assert isinstance(losses, StepLosses)


def test_a_member_that_has_diverged_stays_so(rng):
  before, after, _ = step_once(tiny.examples(rng), prompt_of(rng), left_mask(4, 4), diverged_at=2)
  chex.assert_trees_all_equal(after, before)


def test_losses_are_those_before_the_update(rng):
  prompt, mask_P = prompt_of(rng), left_mask(3, 4)
  _, _, losses = step_once(tiny.examples(rng), prompt, mask_P)
  np.testing.assert_allclose(
    losses.c_dist, c_dist(prompt, np.zeros_like(prompt), mask_P), rtol=1e-6
  )
  assert losses.cross_entropy > 0


def test_a_constraint_adds_its_penalty_and_projects_after_the_update(rng):
  def penalty(prompt_PxD, target_PxD, mask_P, held, gamma):
    return gamma * jnp.sum(held["weights"] * jnp.sum(prompt_PxD, axis=-1))

  def project(prompt_PxD, target_PxD, mask_P, held, table_VxD, squares_NxB):
    chex.assert_shape(table_VxD, (tiny.CONFIG.vocab_size, tiny.CONFIG.n_embd))
    return jnp.where(held["fixed"][:, None], table_VxD[:4], prompt_PxD)

  def step(weight):
    held = {"weights": jnp.full(4, weight), "fixed": jnp.array([False, True, True, False])}
    _, after, losses = step_once(encoded, prompt, left_mask(4, 4), toy, held=held)
    return np.asarray(after.prompt_PxD), losses

  toy, encoded, prompt = Constraint(penalty, project), tiny.examples(rng), prompt_of(rng)
  free, free_losses = step(0.0)
  held, losses = step(1e4)
  for found in (free, held):
    np.testing.assert_array_equal(found[1:3], tiny.random_model().embedding_table()[1:3])
  # All that is penalised has a gradient of one sign, and AdamW's first update is the rate itself.
  np.testing.assert_allclose((held - prompt)[[0, 3]], -0.01, atol=1e-4)
  assert np.any(free[3] > prompt[3])
  chex.assert_trees_all_equal(losses, free_losses)  # curves show c-dist, whatever the penalty


def test_what_a_projection_makes_of_padding_is_dropped(rng):
  """As of a length of 0 over another of 0."""

  def project(prompt_PxD, target_PxD, mask_P, held, table_VxD, squares_NxB):
    return prompt_PxD / mask_P[:, None]

  toy, prompt = Constraint(lambda *_: 0.0, project), prompt_of(rng)
  before, after, _ = step_once(tiny.examples(rng), prompt, left_mask(3, 4), toy)
  assert after.diverged_at == -1
  np.testing.assert_array_equal(after.prompt_PxD[0], before.prompt_PxD[0])
  assert np.all(np.any(np.asarray(after.prompt_PxD[1:] != before.prompt_PxD[1:]), axis=1))
