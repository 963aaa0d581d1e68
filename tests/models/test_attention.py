"""Attention in slices against the plain formula over all pairs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from wayjax.data import packing
from wayjax.data.packing import left_mask
from wayjax.models import attention

TEXT, PROMPT, WIDTH = 40, 8, 4


def plain(q_SxHxK, k_SxGxK, v_SxGxK, pairs_SxS, scale=WIDTH**-0.5, cap=None):
  """softmax(scale q k) v, and nothing else but a cap."""
  shared = q_SxHxK.shape[1] // k_SxGxK.shape[1]
  k_SxHxK, v_SxHxK = (jnp.repeat(x, shared, axis=1) for x in (k_SxGxK, v_SxGxK))
  logits_HxSxS = jnp.einsum("ihk,jhk->hij", q_SxHxK, k_SxHxK) * scale
  logits_HxSxS = logits_HxSxS if cap is None else cap * jnp.tanh(logits_HxSxS / cap)
  logits_HxSxS = jnp.where(pairs_SxS[None], logits_HxSxS, -jnp.inf)
  return jnp.einsum("hij,jhk->ihk", jax.nn.softmax(logits_HxSxS), v_SxHxK)


def random_row(rng, lengths, real_prompt):
  row = tiny.pack(tiny.examples(rng, lengths), list(range(len(lengths))), TEXT)
  return packing.visible(row, left_mask(real_prompt, PROMPT))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
  lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
  real_prompt=st.integers(1, PROMPT),
  slice_size=st.sampled_from([8, 12, 20, 48]),
  platform=st.sampled_from(["cpu", "tpu"]),
  heads=st.sampled_from([(4, 4), (4, 2), (2, 1)]),
  how=st.sampled_from([{}, {"cap": 0.7}, {"cap": 3.0, "scale": 1.3}]),
)
def test_slices_compute_what_all_pairs_compute(
  lengths, real_prompt, slice_size, platform, heads, how
):
  rng = np.random.default_rng(len(lengths))
  visible = random_row(rng, lengths, real_prompt)
  q, k, v = (
    rng.normal(size=(PROMPT + TEXT, count, WIDTH)).astype(np.float32)
    for count in (heads[0], heads[1], heads[1])
  )
  g = rng.normal(size=q.shape).astype(np.float32)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(attention.SLICES, platform, slice_size)
    given = {"platform": platform, **how}
    y, vjp = jax.vjp(lambda *x: attention.attention(*x, visible, jnp.float32, **given), q, k, v)
    gradients = vjp(g)
  expected, expected_vjp = jax.vjp(lambda *x: plain(*x, visible.pairs_SxS, **how), q, k, v)
  np.testing.assert_allclose(y, expected, rtol=0, atol=2e-6)
  chex.assert_trees_all_close(gradients, expected_vjp(g), rtol=0, atol=1e-5)


def test_queries_from_anywhere_in_the_row_see_what_they_see_in_it(rng):
  visible = random_row(rng, [7, 3, 9], 5)
  q, k, v = (rng.normal(size=(PROMPT + TEXT, 2, WIDTH)).astype(np.float32) for _ in range(3))
  picked = np.array([40, 7, 12, 12])
  found = attention.attention(q[picked], k, v, visible.of(picked), jnp.float32)
  expected = attention.attention(q, k, v, visible, jnp.float32)[picked]
  np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("how", [{}, {"cap": 1.5, "scale": 0.7}])
def test_kept_keys_and_values_are_read_alike(rng, how):
  visible = random_row(rng, [7, 3, 9], 5)
  q, k, v = (rng.normal(size=(PROMPT + TEXT, n, WIDTH)).astype(np.float32) for n in (4, 2, 2))
  kept = (x.transpose(1, 0, 2) for x in (k, v))
  found = attention.cached_attention(q, *kept, visible.pairs_SxS, jnp.float32, **how)
  expected = plain(q, k, v, visible.pairs_SxS, **{"scale": WIDTH**-0.5} | how)
  np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("cap", [None, 2.0])
def test_bfloat16_products_are_near_and_no_cotangent_is_rounded(rng, cap):
  visible = random_row(rng, [7, 3, 9], 5)
  q, k, v, g = (rng.normal(size=(PROMPT + TEXT, 2, WIDTH)).astype(np.float32) for _ in range(4))
  results = {}
  for dtype in (jnp.float32, jnp.bfloat16):
    y, vjp = jax.vjp(
      lambda *x, dtype=dtype: attention.attention(*x, visible, dtype, cap=cap), q, k, v
    )
    results[dtype] = (y, *vjp(g))
  for exact, rounded in zip(*results.values(), strict=True):
    assert rounded.dtype == jnp.float32
    assert 0 < np.max(np.abs(rounded - exact)) < 0.05
    assert np.any(rounded != rounded.astype(jnp.bfloat16).astype(jnp.float32))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
  size=st.integers(1, 700),
  prompt=st.sampled_from([0, 8, 24]),
  reach=st.integers(0, 300),
  platform=st.sampled_from(["cpu", "gpu", "tpu"]),
)
def test_slices_cover_every_query_and_every_key_it_may_see(size, prompt, reach, platform):
  visible = attention.Visible(jnp.zeros((0, 0), bool), min(prompt, size), reach)
  slices = attention._slices(size, visible, platform)
  queries = [i for stretch, _ in slices for i in range(*stretch)]
  assert queries == list(range(size))
  for (first, stop), parts in slices:
    keys = [i for part in parts for i in range(*part)]
    assert len(set(keys)) == len(keys)
    assert max(keys) < size
    assert {*range(visible.prompt), *range(max(first - reach, 0), stop)} <= set(keys)


def test_a_long_row_skips_most_pairs():
  visible = attention.Visible(jnp.zeros((0, 0), bool), 24, 60)
  pairs = sum(
    (stop - start) * sum(last - first for first, last in keys)
    for (start, stop), keys in attention._slices(536, visible, "cpu")
  )
  assert pairs < 0.4 * 536**2
