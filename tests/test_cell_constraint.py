"""The constraint `cell` on the device: whatever a step makes of a prompt ends in its cells."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import plainly
import pytest
from forall import forall
from hypothesis import strategies as st

from wayjax.blocks import block_starts
from wayjax.cells import Cells
from wayjax.config import METRICS
from wayjax.constraints import get_constraint
from wayjax.data.packing import left_mask, pad_left
from wayjax.loss import weighted_c_dist

CELL = get_constraint("cell")
# Walls of near twins, and of tokens in one direction, are left to the host.
WITH_CLEAR_WALLS = sorted(set(plainly.TABLES) - {"nearly alike", "parallel"})


def in_blocks(squares_V, size: int | None = None):
  """As programs hand squared lengths over: (N, B), one block unless a size is given."""
  tokens = len(squares_V)
  size = min(size or tokens, tokens)
  starts_N = block_starts(tokens, size)
  return jnp.asarray(squares_V, jnp.float32)[starts_N[:, None] + np.arange(size)]


class Prepared:
  """Some tokens of a table, ready to be held in their cells."""

  def __init__(self, name, seed=0, dtype="bfloat16", metrics=None, ids=None):
    self.table_VxD, self.unused = plainly.tables(seed)[name]
    unused_U = np.array(self.unused, int)
    cells = Cells(self.table_VxD, unused_U, dtype=dtype, metrics=metrics)
    self.cells = cells
    self.ids = plainly.tokens_of(self.table_VxD, self.unused) if ids is None else np.array(ids)
    self.held = CELL.prepare(self.ids, cells)
    self.target_PxD = self.table_VxD[self.ids]
    self.mask_P = left_mask(len(self.ids), len(self.ids))
    squares_V = np.square(self.table_VxD).sum(axis=1)
    squares_V[unused_U] = np.inf
    self.squares_V = squares_V

  def project(self, prompt_PxD, size: int | None = None) -> np.ndarray:
    moved_PxD = CELL.project(
      jnp.asarray(prompt_PxD),
      self.target_PxD,
      self.mask_P,
      self.held,
      jnp.asarray(self.table_VxD),
      in_blocks(self.squares_V, size),
    )
    return np.asarray(moved_PxD)

  def settle(self, prompt_PxD) -> np.ndarray:
    return CELL.settle(prompt_PxD, self.ids, self.held, self.cells)

  def prompts(self, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return plainly.prompts(self.table_VxD, self.ids, self.held.anchor_PxD, rng)

  def readings(self, prompt_PxD, metric, dtype="float32") -> list[int]:
    return plainly.readings(prompt_PxD, self.table_VxD, metric, dtype, self.unused)

  @property
  def first_twins(self) -> list[int]:
    return [plainly.twins_of(token, self.table_VxD, self.unused)[0] for token in self.ids]


FINITE = ("near", "random", "far", "its embedding", "another's embedding")


# Of thin cells far from 0 float32 loses as much as certificates of its own type leave.
@pytest.mark.parametrize(
  ("name", "dtype"),
  [(name, "bfloat16") for name in WITH_CLEAR_WALLS]
  + [(name, "float32") for name in WITH_CLEAR_WALLS if name != "far from 0"],
)
def test_whatever_is_projected_reads_as_its_tokens(name, dtype):
  at = Prepared(name, dtype=dtype)
  for how, prompt_PxD in at.prompts().items():
    if how not in FINITE:
      continue
    moved_PxD = at.project(prompt_PxD)
    assert moved_PxD.dtype == np.float32
    for metric in at.held.metrics:
      assert at.readings(moved_PxD, metric) == at.first_twins, (how, metric)
    np.testing.assert_array_equal(at.project(moved_PxD), moved_PxD, how)


@forall(
  15,
  name=st.sampled_from(WITH_CLEAR_WALLS),
  seed=st.integers(0, 2**20),
  asked=st.sampled_from([None, ("euclidean",), ("euclidean", "cosine")]),
)
def test_it_does_on_any_table(name, seed, asked):
  at = Prepared(name, seed)
  if asked and set(asked) <= set(at.held.metrics):
    at = Prepared(name, seed, metrics=asked)
    assert at.held.metrics == asked
  prompts = at.prompts(seed)
  for how in ("random", "far"):
    moved_PxD = at.project(prompts[how])
    for metric in at.held.metrics:
      assert at.readings(moved_PxD, metric) == at.first_twins, (how, metric)


@pytest.mark.parametrize("name", plainly.TABLES)
def test_what_is_left_to_the_host_is_settled_there(name):
  at = Prepared(name)
  for how, prompt_PxD in at.prompts().items():
    settled_PxD = at.settle(at.project(prompt_PxD))
    assert np.isfinite(settled_PxD).all()
    for metric in at.held.metrics:
      for dtype in plainly.TYPES:
        assert at.readings(settled_PxD, metric, dtype) == at.first_twins, (how, metric, dtype)
    np.testing.assert_array_equal(at.settle(settled_PxD), settled_PxD)


@pytest.mark.parametrize("name", WITH_CLEAR_WALLS)
def test_what_is_inside_keeps_every_bit(name):
  at = Prepared(name)
  for share in (0.0, 0.3, 0.9):  # of the way from the anchor to where it may go
    away_PxD = at.project(at.prompts()["random"]) - at.held.anchor_PxD
    inside_PxD = (at.held.anchor_PxD + share * away_PxD).astype(np.float32)
    moved_PxD = at.project(inside_PxD)
    np.testing.assert_array_equal(moved_PxD.view(np.uint32), inside_PxD.view(np.uint32))


@pytest.mark.parametrize("name", ["plain", "holes", "far from 0"])
def test_it_moves_no_further_than_it_has_to(name):
  """No further than the host does in float64, along a ray and with the same room."""
  at = Prepared(name, metrics=("euclidean",))
  prompt_PxD = at.prompts()["random"].astype(np.float64)
  moved_P, by_host_P = (
    np.linalg.norm(move(prompt_PxD.astype(np.float32)) - prompt_PxD, axis=1)
    for move in (at.project, at.settle)
  )
  assert np.all(moved_P <= 1.01 * by_host_P)
  assert np.any(by_host_P > 0)


@pytest.mark.parametrize("how", ["nowhere", "infinite"])
def test_what_is_not_finite_stays_so(how):
  """Then the step is known to have failed."""
  at = Prepared("plain")
  prompt_PxD = at.prompts()[how]
  finite_P = np.isfinite(prompt_PxD).all(axis=1)
  np.testing.assert_array_equal(np.isfinite(at.project(prompt_PxD)).all(axis=1), finite_P)
  assert not finite_P.any()


def test_rows_of_no_token_are_no_walls():
  at = Prepared("holes")
  prompt_PxD = at.prompts()["random"]
  everywhere = Prepared("holes")
  everywhere.squares_V = np.square(at.table_VxD).sum(axis=1)
  assert np.any(at.project(prompt_PxD) != everywhere.project(prompt_PxD))
  longer = Prepared("holes")  # a model's own table goes on beyond the tokenizer's
  longer.table_VxD = np.vstack([at.table_VxD, at.table_VxD[3:6] + 0.01, at.target_PxD])
  more = len(longer.table_VxD) - len(at.squares_V)
  longer.squares_V = np.append(at.squares_V, [np.inf] * more).astype(np.float32)
  np.testing.assert_allclose(longer.project(prompt_PxD), at.project(prompt_PxD), rtol=1e-5)


def test_rows_of_no_token_are_no_walls_of_the_cosine():
  """A row without a length would be one: that vectors are not to point away from their token."""
  table_VxD = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
  squares_V = np.array([1, 1, np.inf], np.float32)
  cells, ids = Cells(table_VxD, np.array([2]), metrics=("cosine",)), np.array([0])
  prompt_PxD = np.array([[-1, -5]], np.float32)
  assert plainly.readings(prompt_PxD, table_VxD, "cosine", "float32", (2,)) == [0]
  arguments = (
    table_VxD[ids],
    left_mask(1, 1),
    CELL.prepare(ids, cells),
    table_VxD,
    in_blocks(squares_V),
  )
  np.testing.assert_array_equal(CELL.project(prompt_PxD, *arguments), prompt_PxD)


@pytest.mark.parametrize("name", ["plain", "any lengths", "holes"])
def test_blocks_of_the_vocabulary_are_one(name):
  at = Prepared(name)
  prompt_PxD = at.prompts()["random"]
  whole_PxD = at.project(prompt_PxD)
  for size in (7, 23, 1):
    np.testing.assert_allclose(at.project(prompt_PxD, size), whole_PxD, rtol=2e-5, atol=1e-6)


def test_batched_is_looped_and_padding_changes_nothing():
  """Members of one program: different texts, metrics and lengths."""
  members = [
    Prepared("plain", ids=[1, 2, 3]),
    Prepared("plain", ids=[4, 5], metrics=("euclidean",)),
    Prepared("plain", ids=[6, 7, 8, 9, 1], metrics=("cosine",)),
  ]
  pad = functools.partial(pad_left, length=8)
  prompts = [at.prompts(i)["random"] for i, at in enumerate(members)]

  def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack([pad(leaf) for leaf in leaves]), *trees)

  table_VxD, squares_V = members[0].table_VxD, members[0].squares_V
  batched = jax.jit(jax.vmap(CELL.project, in_axes=(0, 0, 0, 0, None, None)))
  moved_MxPxD = batched(
    stacked(prompts),
    stacked([at.target_PxD for at in members]),
    np.stack([left_mask(len(at.ids), 8) for at in members]),
    stacked([at.held for at in members]),
    table_VxD,
    in_blocks(squares_V),
  )
  for at, prompt_PxD, moved_PxD in zip(members, prompts, np.asarray(moved_MxPxD)):
    np.testing.assert_allclose(
      moved_PxD[-len(at.ids) :], at.project(prompt_PxD), rtol=2e-5, atol=1e-6
    )
    assert not np.any(moved_PxD[: -len(at.ids)])
    assert np.any(moved_PxD[-len(at.ids) :] != prompt_PxD)


def test_it_is_not_what_one_metric_alone_asks_for():
  """Every metric adds walls: what all three hold goes no further than what each holds."""
  ids = [at for at in range(24) if Prepared("plain", ids=[at]).held.metrics == METRICS][:6]
  prompt_PxD = Prepared("plain", ids=ids).prompts()["random"]
  together = Prepared("plain", ids=ids, metrics=METRICS)
  for metric in METRICS:
    alone = Prepared("plain", ids=ids, metrics=(metric,))
    assert alone.held.metrics == (metric,)
    moved_PxD = alone.project(prompt_PxD)
    assert alone.readings(moved_PxD, metric) == ids
    others = [name for name in METRICS if name != metric]
    assert any(alone.readings(moved_PxD, name) != ids for name in others)
    assert together.readings(together.project(prompt_PxD), metric) == ids


def test_its_penalty_is_the_papers():
  at = Prepared("plain", ids=[1, 2, 3])
  prompt_PxD, arguments = at.prompts()["random"], (at.target_PxD, at.mask_P)
  found = CELL.penalty(prompt_PxD, *arguments, at.held, 0.25)
  np.testing.assert_allclose(found, weighted_c_dist(prompt_PxD, *arguments, 0.25))


def test_what_is_prepared():
  at = Prepared("plain", ids=[1, 2, 3], metrics=("euclidean", "cosine"), dtype="float16")
  assert at.held.metrics == ("euclidean", "cosine")
  np.testing.assert_allclose(at.held.reach_P, 1 - at.cells.room)
  for leaf in at.held:
    assert len(leaf) == 3
    assert leaf.dtype == np.float32
  rooms = [Cells(at.table_VxD, dtype=dtype).room for dtype in ("float32", "float16", "bfloat16")]
  assert rooms == sorted(rooms)
  assert rooms[0] > 0
