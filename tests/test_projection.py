"""d-proj and margins against brute force in float64, and by hand."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forall import forall
from hypothesis import strategies as st
from jaxprs import shapes

from wayjax import projection
from wayjax.errors import WayjaxError
from wayjax.projection import METRICS, c_proj, d_proj, margins, nearest_tokens


def brute_force(prompt, table, metric):
  """The nearest ids in float64, the lowest of equally near ones."""
  p, e = prompt.astype(np.float64), table.astype(np.float64)
  products = p @ e.T
  if metric == "euclidean":
    scores = -np.stack([np.sum((e - vector) ** 2, axis=1) for vector in p])
  elif metric == "dot":
    scores = products
  else:
    norms = np.linalg.norm(p, axis=1)[:, None] * np.linalg.norm(e, axis=1)[None, :]
    scores = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
  return np.argmax(scores, axis=1)


@pytest.mark.parametrize("metric", METRICS)
def test_d_proj_equals_brute_force(rng, metric):
  table = rng.normal(0, 0.14, (5000, 48)).astype(np.float32)
  table *= rng.uniform(0.5, 2, (5000, 1)).astype(np.float32)
  near = table[rng.integers(5000, size=200)] + rng.normal(0, 0.05, (200, 48))
  prompt = np.concatenate([near, rng.normal(0, 0.3, (100, 48))]).astype(np.float32)
  np.testing.assert_array_equal(d_proj(prompt, table, metric), brute_force(prompt, table, metric))


def test_close_vectors_with_a_large_mean_are_told_apart(rng):
  # Real tables have such a mean; the plain product loses the difference to rounding.
  table = (30 + rng.normal(0, 1e-3, (2000, 64))).astype(np.float32)
  ids = rng.integers(2000, size=100)
  np.testing.assert_array_equal(d_proj(table[ids], table), ids)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_and_duplicates_resolve_to_the_lowest_id(rng, metric):
  vectors = rng.normal(size=(3, 33)).astype(np.float32)
  copies = np.repeat(np.arange(3), 300)
  rng.shuffle(copies)
  table = vectors[copies]
  first = np.array([np.flatnonzero(copies == i)[0] for i in range(3)])
  if metric == "dot":  # the nearest by dot product need not be the vector itself
    first = first[np.argmax(vectors @ vectors.T, axis=1)]
  np.testing.assert_array_equal(d_proj(vectors, table, metric), first)


def test_exact_ties_between_different_tokens(rng):
  table = np.float32([[9, 9], [0, 1], [1, 0], [0, -1], [-1, 0]])
  assert d_proj(np.float32([[0, 0]]), table).tolist() == [1]
  assert d_proj(np.float32([[1, 1]]), table[1:], "dot").tolist() == [0]
  assert d_proj(np.float32([[1, 1]]), table[1:], "cosine").tolist() == [0]


def test_zero_vectors_have_no_direction_but_project():
  table = np.float32([[0, 0], [1, 0]])
  assert d_proj(np.float32([[2, 0]]), table, "cosine").tolist() == [1]
  assert d_proj(np.float32([[0, 0]]), table, "cosine").tolist() == [0]


def test_every_embedding_projects_to_itself(rng):
  table = rng.normal(size=(700, 16)).astype(np.float32)
  ids = np.arange(700)
  np.testing.assert_array_equal(d_proj(c_proj(ids, table), table), ids)


def test_more_vectors_than_a_block(rng):
  table = rng.normal(size=(50, 8)).astype(np.float32)
  ids = rng.integers(50, size=2500)
  np.testing.assert_array_equal(d_proj(table[ids], table), ids)


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_tokens_are_ordered_with_their_scores(rng, metric):
  table = rng.normal(size=(40, 6)).astype(np.float32)
  ids, scores = nearest_tokens(table[:3], table, metric=metric, k=5)
  assert ids.shape == scores.shape == (3, 5)
  assert np.all(np.diff(scores, axis=1) <= 0)
  if metric == "euclidean":
    np.testing.assert_array_equal(ids[:, 0], [0, 1, 2])
    expected = -np.linalg.norm(table[np.asarray(ids)] - table[:3, None], axis=-1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_table_in_another_type_is_read_as_float32(rng):
  table = jnp.asarray(rng.normal(size=(40, 6)), jnp.bfloat16)
  assert d_proj(table[:4], table).tolist() == [0, 1, 2, 3]


def test_an_unknown_metric_is_refused():
  with pytest.raises(WayjaxError, match="metric must be one of euclidean, dot, cosine, not 'l2'"):
    d_proj(np.zeros((1, 2)), np.zeros((3, 2)), "l2")


def test_a_prompt_of_another_width_is_refused():
  with pytest.raises(WayjaxError, match="have 2 dimensions, but the embedding table's have 3: use"):
    nearest_tokens(np.zeros((1, 2)), np.zeros((4, 3)))


@pytest.mark.parametrize("shapes", [((2,), (4, 2)), ((1, 1, 2), (4, 2)), ((1, 2), (2,))])
def test_arrays_of_another_rank_fail_at_once(shapes):
  prompt, table = map(np.zeros, shapes)
  with pytest.raises(AssertionError, match="rank"):
    d_proj(prompt, table)


def test_margins_by_hand():
  table = np.float32([[0, 0], [3, 4], [0, 1], [9, 9], [9, 9]])
  found = margins(table)
  assert isinstance(found, np.ndarray)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, [0.5, np.sqrt(18) / 2, 0.5, 0, 0], rtol=1e-6)


def test_margins_equal_brute_force(rng):
  table = rng.normal(0, 0.14, (300, 48)).astype(np.float32)
  table[200:220] = table[:20]  # twins
  distances = np.linalg.norm(table[:, None].astype(np.float64) - table[None], axis=-1)
  np.fill_diagonal(distances, np.inf)
  np.testing.assert_allclose(margins(table), distances.min(axis=1) / 2, rtol=1e-5)


def test_points_within_the_margin_project_to_their_token(rng):
  table = rng.normal(size=(200, 16)).astype(np.float32)
  direction = rng.normal(size=table.shape)
  direction /= np.linalg.norm(direction, axis=1, keepdims=True)
  points = table + 0.999 * margins(table)[:, None] * direction
  np.testing.assert_array_equal(d_proj(points, table), np.arange(200))


@forall(
  25,
  metric=st.sampled_from(METRICS),
  size=st.integers(2, 60),
  seed=st.integers(0, 100),
  share=st.floats(0, 0.99),
)
def test_rows_that_belong_to_no_token_are_never_chosen(metric, size, seed, share):
  rng = np.random.default_rng(seed)
  table = rng.normal(size=(size, 6)).astype(np.float32)
  unused = np.sort(rng.choice(size, int(share * size), replace=False))
  used = np.setdiff1d(np.arange(size), unused)
  prompt = np.concatenate([table, rng.normal(size=(5, 6)).astype(np.float32)])
  expected = used[brute_force(prompt, table[used], metric)]
  np.testing.assert_array_equal(d_proj(prompt, table, metric, unused), expected)
  ids, scores = nearest_tokens(prompt, table, unused, metric=metric, k=5)
  assert ids.shape[1] == min(5, len(used))
  assert np.isin(ids, used).all()
  assert np.isfinite(scores).all()


def test_without_holes_nothing_is_masked():
  table = np.eye(4, 3, dtype=np.float32)
  program = nearest_tokens.lower(table, table, None, k=2).as_text()
  assert program == nearest_tokens.lower(table, table, k=2).as_text()
  assert "scatter" not in program
  assert "scatter" in nearest_tokens.lower(table, table, np.array([1]), k=2).as_text()


TOKENS, VECTORS, WIDTH, UNUSED = 64, 11, 6, 9


@functools.cache
def nearest_in_blocks(metric: str, k: int, tokens: int, vectors: int):
  """`nearest_tokens` in blocks of at most so many tokens and vectors."""

  @jax.jit
  def nearest(prompt_PxD, table_VxD, unused_U):
    with mock.patch.multiple(projection, _TOKENS=tokens, _VECTORS=vectors):
      return nearest_tokens.__wrapped__(prompt_PxD, table_VxD, unused_U, metric=metric, k=k)

  return nearest


@forall(
  60,
  metric=st.sampled_from(METRICS),
  # Blocks of 17 that end behind the table; two halves; and more tokens wanted than a block holds.
  blocks=st.sampled_from([(1, 20, 4), (3, 32, 5), (40, 20, 11)]),
  different=st.integers(1, 40),
  seed=st.integers(0, 10_000),
)
def test_blocks_of_the_vocabulary_are_one(metric, blocks, different, seed):
  k, rng = blocks[0], np.random.default_rng(seed)
  # Whole numbers, so that twins and other ties, in any block, are exact.
  table = rng.integers(-8, 9, (different, WIDTH))[rng.integers(different, size=TOKENS)]
  prompt = np.concatenate([table[:5], rng.integers(-8, 9, (VECTORS - 5, WIDTH))])
  table, prompt = table.astype(np.float32), prompt.astype(np.float32)
  unused = np.sort(rng.choice(TOKENS, UNUSED, replace=False))
  ids, scores = nearest_in_blocks(metric, *blocks)(prompt, table, unused)
  whole_ids, whole_scores = nearest_in_blocks(metric, k, TOKENS, VECTORS)(prompt, table, unused)
  np.testing.assert_array_equal(ids, whole_ids)
  np.testing.assert_allclose(scores, whole_scores, rtol=1e-6)
  if metric != "cosine":  # where ties of different tokens are not exact
    used = np.delete(np.arange(TOKENS), unused)
    exact = prompt @ table[used].T
    if metric == "euclidean":
      exact = -np.square(prompt[:, None] - table[used]).sum(axis=-1)
    order = np.lexsort((np.broadcast_to(used, exact.shape), -exact))[:, :k]
    np.testing.assert_array_equal(ids, used[order])


def test_there_is_neither_a_copy_of_a_large_table_nor_all_scores():
  table, prompt = (jax.ShapeDtypeStruct((rows, 640), jnp.float32) for rows in (262_144, 4096))
  for metric in METRICS:
    find = functools.partial(nearest_tokens, metric=metric)
    for arguments in [(prompt, table), (prompt, table, np.arange(9)), (table, table)]:
      computed = shapes(jax.make_jaxpr(find)(*arguments).jaxpr)
      assert max(map(np.prod, computed)) < table.size / 8
