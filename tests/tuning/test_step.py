"""One member's step: the optimiser against AdamW written out in NumPy, and what stops a member."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from wayjax.data.packing import left_mask
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
    updates, state = optimizer.update(gradient, state, ours)
    ours = ours + updates
  np.testing.assert_allclose(ours, adamw_by_hand(prompt, gradients, 0.05, 6), rtol=1e-4)


@jax.jit
def one_step(leaves, state, rows):
  return train_step(tiny.random_model(), 10, leaves, state, jnp.int32(4), rows)


def step_once(encoded, prompt, mask_P, **changes):
  row = tiny.pack(encoded, [[0, 1, 2]], 40, 12)
  leaves = MemberLeaves(
    target_PxD=jnp.zeros_like(prompt),
    mask_P=jnp.asarray(mask_P),
    gamma=jnp.float32(0.1),
    lr=jnp.float32(0.01),
    seed_index=jnp.int32(0),
  )._replace(**changes)
  state = init_state(jnp.asarray(prompt), 10)

  return state, *one_step(leaves, state, row)


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
    for new, old in zip(jax.tree.leaves(after[:2]), jax.tree.leaves(before[:2])):
      np.testing.assert_array_equal(new, old)
    assert isinstance(losses, StepLosses)
