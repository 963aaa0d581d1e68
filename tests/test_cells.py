"""Cells: what is moved into them reads as its tokens, by a plain loop; how far their walls are."""

import numpy as np
import plainly
import pytest
from forall import forall
from hypothesis import strategies as st

from wayjax import cells as module
from wayjax import projection, vocabulary
from wayjax.anchors import points_inside
from wayjax.cells import Cells
from wayjax.certificate import certify
from wayjax.config import METRICS

DTYPES = list(plainly.UP_TO)
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def held(name, seed, metrics, dtype="bfloat16", **options):
  """Cells of a table, its tokens that have an anchor, and these anchors."""
  table_VxD, unused = plainly.tables(seed)[name]
  cells = Cells(table_VxD, np.array(unused, int), dtype=dtype, **options)
  ids = plainly.tokens_of(table_VxD, unused)
  _, lacking = points_inside(cells, ids, metrics)
  ids = np.setdiff1d(ids, lacking)
  anchors_PxD, _ = points_inside(cells, ids, metrics)
  return cells, ids, anchors_PxD, table_VxD, unused


def assert_reads(prompt_PxD, ids, metrics, dtype, table_VxD, unused):
  """Every vector reads as its token, or, where another has its embedding, as the first of these."""
  for stored in plainly.UP_TO[dtype]:
    for metric in metrics:
      found = plainly.readings(prompt_PxD, table_VxD, metric, stored, unused)
      expected = [plainly.twins_of(token, table_VxD, unused)[0] for token in ids]
      assert found == expected, (metric, stored)


@forall(
  20,
  name=st.sampled_from(plainly.TABLES),
  seed=st.integers(0, 2**20),
  metrics=st.sampled_from(plainly.SETS_OF_METRICS),
  dtype=st.sampled_from(DTYPES),
)
def test_whatever_is_moved_into_its_cells_reads_as_its_tokens(name, seed, metrics, dtype):
  cells, ids, anchors_PxD, table_VxD, unused = held(name, seed, metrics, dtype)
  if not len(ids):
    return
  rng = np.random.default_rng(seed)
  for how, prompt_PxD in plainly.prompts(table_VxD, ids, anchors_PxD, rng).items():
    moved_PxD = cells.into(prompt_PxD, ids, anchors_PxD, metrics)
    assert moved_PxD.dtype == np.float32
    assert_reads(moved_PxD, ids, metrics, dtype, table_VxD, unused)
    assert cells.inside(moved_PxD, ids, metrics).all(), how
    np.testing.assert_array_equal(cells.into(moved_PxD, ids, anchors_PxD, metrics), moved_PxD)


@pytest.mark.parametrize("metrics", plainly.SETS_OF_METRICS, ids="-".join)
@pytest.mark.parametrize("name", plainly.TABLES)
def test_on_every_table(name, metrics):
  """The same once on each, so that none is left to chance."""
  cells, ids, anchors_PxD, table_VxD, unused = held(name, 0, metrics)
  prompts = plainly.prompts(table_VxD, ids, anchors_PxD, np.random.default_rng(0))
  for how in ("random", "far"):
    moved_PxD = cells.into(prompts[how], ids, anchors_PxD, metrics)
    assert_reads(moved_PxD, ids, metrics, "bfloat16", table_VxD, unused)


def test_every_table_has_tokens_to_try():
  """Else the tests above would be empty: a token without any anchor is rare but under the dot."""
  for name in plainly.TABLES:
    for metrics in (("euclidean",), ("euclidean", "cosine")):
      table_VxD, unused = plainly.tables(0)[name]
      _, ids, *_ = held(name, 0, metrics, "float32")
      tokens = plainly.tokens_of(table_VxD, unused)
      missing = set(tokens.tolist()) - set(ids.tolist())
      if metrics == ("euclidean",):
        assert not missing
      else:
        assert len(missing) <= 2, name


def test_one_that_is_well_inside_keeps_every_bit():
  for name in plainly.TABLES:
    for metrics in (("euclidean",), METRICS):
      cells, ids, anchors_PxD, *_ = held(name, 1, metrics)
      prompt_PxD = anchors_PxD.astype(np.float32)
      moved_PxD = cells.into(prompt_PxD, ids, anchors_PxD, metrics)
      np.testing.assert_array_equal(moved_PxD.view(np.uint32), prompt_PxD.view(np.uint32))


def test_a_vector_on_the_wall_is_moved_off_it():
  table_VxD = np.array([[0, 0], [2, 0], [0, 2]], np.float32)
  cells, ids = Cells(table_VxD), np.array([1, 1, 0])
  on_walls_PxD = np.array([[1, 0], [1, -4], [-9, 1]], np.float32)
  assert not cells.inside(on_walls_PxD, ids, ("euclidean",)).any()
  moved_PxD = cells.into(on_walls_PxD, ids, table_VxD[ids], ("euclidean",))
  assert np.all(moved_PxD[:2, 0] > 1)
  assert moved_PxD[2, 1] < 1
  room = module.ROOM["bfloat16"]  # of the way from the embedding to the wall
  np.testing.assert_allclose(moved_PxD[0], [1 + room, 0], rtol=1e-5)
  np.testing.assert_allclose(moved_PxD[1], [1 + room, -4 * (1 - room)], rtol=1e-5)


def test_only_what_is_outside_is_moved():
  table_VxD, _ = plainly.tables(3)["plain"]
  cells, ids = Cells(table_VxD), np.array([4, 4, 9])
  prompt_PxD = table_VxD[[4, 5, 9]]
  moved_PxD = cells.into(prompt_PxD, ids, table_VxD[ids], ("euclidean",))
  np.testing.assert_array_equal((moved_PxD == prompt_PxD).all(axis=1), [True, False, True])
  away_D, other_D = moved_PxD[1] - table_VxD[4], table_VxD[5] - table_VxD[4]  # on the way there
  np.testing.assert_allclose(
    away_D / np.linalg.norm(away_D), other_D / np.linalg.norm(other_D), 1e-4
  )


def test_blocks_of_the_vocabulary_are_one(monkeypatch):
  metrics, table_VxD = METRICS, plainly.tables(5)["any lengths"][0]
  ids = np.arange(len(table_VxD))
  prompt_PxD = table_VxD + np.float32(0.1)

  def everything():
    cells = Cells(table_VxD)
    anchors_PxD, lacking = points_inside(cells, ids, ("euclidean", "cosine"))
    margins = cells.margins(prompt_PxD, ids, "cosine")
    moved_PxD = cells.into(prompt_PxD, ids, anchors_PxD, ("euclidean",))
    slacks = cells.slacks(prompt_PxD, ids, metrics)
    return [
      cells.squares_V,
      anchors_PxD,
      lacking,
      margins.wall_P,
      margins.distance_P,
      moved_PxD,
    ] + [slacks[metric] for metric in metrics]

  whole = everything()
  monkeypatch.setattr(vocabulary, "_BLOCK", 7)  # does not divide the 24
  for part, expected in zip(everything(), whole, strict=True):
    np.testing.assert_allclose(part, expected, rtol=1e-9, atol=1e-12)


class TestTwins:
  @pytest.fixture
  def cells(self):
    return Cells(plainly.tables(0)["duplicates"][0])

  def test_who_has_the_same_embedding(self, cells):
    assert [list(cells.twins(token)) for token in (3, 20, 5, 9, 17, 0)] == [
      [20], [3], [9, 17], [5, 17], [5, 9], []
    ]  # fmt: skip
    assert [cells.lower_twin(token) for token in (3, 20, 5, 9, 17, 0)] == [
      None,
      3,
      None,
      5,
      5,
      None,
    ]

  def test_the_lower_id_is_read(self, cells):
    ids = np.array([3, 20])
    prompt_PxD = cells.table_VxD[ids]
    np.testing.assert_array_equal(cells.inside(prompt_PxD, ids, METRICS)[0], [True, True])
    np.testing.assert_array_equal(cells.reads(prompt_PxD, ids, METRICS)[0], [True, False])
    assert plainly.reads_as(prompt_PxD[1], cells.table_VxD, "euclidean") == 3
    assert certify(cells, prompt_PxD[:1], ids[:1], "euclidean").metrics
    assert certify(cells, prompt_PxD, ids, "euclidean").metrics == ()

  def test_a_row_of_no_token_is_none(self):
    table_VxD, unused = plainly.tables(0)["holes"]
    cells = Cells(table_VxD, np.array(unused))
    assert list(cells.twins(7)) == []  # row 2 is the same
    assert cells.reads(table_VxD[[7]], [7], ("euclidean",)).all()
    assert Cells(table_VxD).lower_twin(7) == 2

  def test_all_equal_have_no_walls(self):
    table_VxD, _ = plainly.tables(0)["all equal"]
    cells = Cells(table_VxD)
    found = cells.margins(table_VxD[:2] + 5, [0, 1], "euclidean")
    np.testing.assert_array_equal(found.wall_P, -1)
    np.testing.assert_array_equal(found.distance_P, np.inf)
    certificate = certify(cells, table_VxD[:1] + 5, [0], "euclidean")
    assert certificate.margin is certificate.margin_relative is None
    assert certificate.metrics == METRICS
    assert certify(cells, table_VxD[:1] + 5, [1], "euclidean").metrics == ()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", sorted(set(plainly.TABLES) - {"all equal"}))
def test_margins_are_those_of_a_plain_loop(name, metric, rng):
  table_VxD, unused = plainly.tables(2)[name]
  cells, ids = Cells(table_VxD, np.array(unused, int)), plainly.tokens_of(table_VxD, unused)
  half = {
    token: min(
      np.linalg.norm(table_VxD[v].astype(np.float64) - table_VxD[token]) / 2
      for v in ids
      if v not in plainly.twins_of(token, table_VxD, unused)
    )
    for token in ids
  }
  away = 0.3 * np.array([half[token] for token in ids])[:, None]
  prompt_PxD = (table_VxD[ids] + away * rng.normal(size=(len(ids), table_VxD.shape[1]))).astype(
    "f4"
  )
  found = cells.margins(prompt_PxD, ids, metric)
  unit = table_VxD.astype(np.float64)
  if metric == "cosine":
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit / np.where(lengths > 0, lengths, 1)
  for p, (x_D, token) in enumerate(zip(prompt_PxD.astype(np.float64), ids)):
    others = [v for v in ids if v not in plainly.twins_of(token, table_VxD, unused)]
    normals = unit[others] - unit[token]
    middles = (unit[others] + unit[token]) / 2 if metric == "euclidean" else 0
    lengths = np.linalg.norm(normals, axis=1)  # 0 of the same direction: all is on that wall
    distances = -np.sum((x_D - middles) * normals, axis=1) / np.where(lengths > 1e-12, lengths, 1)
    scale = np.linalg.norm(x_D) * 1e-7
    np.testing.assert_allclose(found.distance_P[p], distances.min(), rtol=1e-6, atol=scale)
    np.testing.assert_allclose(
      distances[others.index(found.wall_P[p])], distances.min(), rtol=1e-6, atol=scale
    )
    np.testing.assert_allclose(found.relative_P[p], found.distance_P[p] / half[token], rtol=1e-6)
    if abs(found.distance_P[p]) > scale:
      winner = plainly.reads_as(x_D, table_VxD, metric, unused)
      assert (found.distance_P[p] > 0) == (winner in plainly.twins_of(token, table_VxD, unused))


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_left_of_every_wall(metric, monkeypatch, rng):
  """Of the nearest, which are computed anew, and of all others."""
  monkeypatch.setattr(module, "_NEAREST", 3)
  table_VxD, unused = plainly.tables(6)["holes"]
  ids = plainly.tokens_of(table_VxD, unused)
  prompt_PxD = rng.normal(size=(len(ids), 8))
  found = Cells(table_VxD, np.array(unused)).slacks(prompt_PxD, ids, (metric,))[metric]
  for slack_V, x_D, token in zip(found, prompt_PxD, ids):
    scores = np.array(plainly.scores_of(x_D, table_VxD, metric))
    # Scores here are squared distances and cosines; slacks are of x . e - |e|^2 / 2 and x . e/|e|.
    size = {"euclidean": 0.5, "dot": 1.0, "cosine": np.linalg.norm(x_D)}[metric]
    others = np.setdiff1d(ids, [token])
    np.testing.assert_allclose(slack_V[others], size * (scores[token] - scores[others]), rtol=1e-7)
    assert np.isposinf(slack_V[[token, *unused]]).all()


def test_what_a_reader_in_float32_cannot_tell_is_not_inside():
  table_VxD = np.array([[1000.0, 0], [1000.5, 0], [0, 1000]], np.float32)
  cells = Cells(table_VxD, dtype="float32")
  for away, inside in ((1e-3, True), (1e-1, True)):
    on_wall_PxD = np.array([[1000.25 - away, 0]], np.float32)
    assert cells.inside(on_wall_PxD, [0], ("euclidean",)).all() == inside
  far_PxD = np.array([[1000.25 - 1e-3, -3e4]], np.float32)  # a millionth of a thousandth nearer
  assert cells.slacks(far_PxD, [0], ("euclidean",))["euclidean"].min() > 0
  assert not cells.inside(far_PxD, [0], ("euclidean",)).any()
  for metric in ("dot", "cosine"):
    prompt_PxD = np.array([[1.0, 1 - 1e-7]], np.float32)
    wall = Cells(np.array([[1, 0], [0, 1]], np.float32), dtype="float32")
    assert wall.slacks(prompt_PxD, [0], (metric,))[metric].min() > 0
    assert not wall.inside(prompt_PxD, [0], (metric,)).any()


def test_an_embedding_is_half_a_distance_from_its_wall():
  table_VxD, _ = plainly.tables(4)["plain"]
  cells, ids = Cells(table_VxD), np.arange(24)
  found = cells.margins(table_VxD, ids, "euclidean")
  np.testing.assert_allclose(found.distance_P, projection.margins(table_VxD), rtol=1e-5)
  np.testing.assert_allclose(cells.half_distances(ids), projection.margins(table_VxD), rtol=1e-5)
  np.testing.assert_allclose(found.relative_P, 1, rtol=1e-12)


@forall(20, name=st.sampled_from(plainly.TABLES), seed=st.integers(0, 2**20))
def test_what_survives_a_coarse_type_survives_a_finer_one(name, seed):
  table_VxD, unused = plainly.tables(seed)[name]
  ids = plainly.tokens_of(table_VxD, unused)
  rng, half_P = np.random.default_rng(seed), Cells(table_VxD).half_distances(ids)
  scale = np.where(np.isfinite(half_P), half_P, 1)[:, None] * 10 ** rng.uniform(
    -3, 1, (len(ids), 1)
  )
  prompt_PxD = table_VxD[ids] + scale * rng.normal(size=(len(ids), table_VxD.shape[1]))
  for function in ("inside", "reads"):
    found = [
      getattr(Cells(table_VxD, np.array(unused, int), dtype=dtype), function)(
        prompt_PxD, ids, METRICS
      )
      for dtype in ("bfloat16", "float16", "float32")
    ]
    assert np.all(found[0] <= found[1])
    assert np.all(found[1] <= found[2])


@forall(
  10,
  name=st.sampled_from(plainly.TABLES),
  seed=st.integers(0, 2**20),
  dtype=st.sampled_from(DTYPES),
)
def test_a_certificate_is_true(name, seed, dtype):
  """Of any vectors: where it names a metric, all types and the reader in float32 agree."""
  table_VxD, unused = plainly.tables(seed)[name]
  ids, rng = plainly.tokens_of(table_VxD, unused), np.random.default_rng(seed)
  cells = Cells(table_VxD, np.array(unused, int), dtype=dtype)
  half_P = np.nan_to_num(cells.half_distances(ids), posinf=1)[:, None]
  scale = half_P * 10 ** rng.uniform(-3, 1, (len(ids), 1))
  prompt_PxD = table_VxD[ids] + scale * rng.normal(size=(len(ids), table_VxD.shape[1]))
  prompt_PxD = prompt_PxD.astype(np.float32)
  reads = dict(zip(METRICS, cells.reads(prompt_PxD, ids, METRICS)))
  for metric, reads_P in reads.items():
    assert_reads(prompt_PxD[reads_P], ids[reads_P], (metric,), dtype, table_VxD, unused)
    by_reader = projection.d_proj(prompt_PxD, table_VxD, metric, np.array(unused, int))
    np.testing.assert_array_equal(np.asarray(by_reader)[reads_P], ids[reads_P])
  certificate = certify(cells, prompt_PxD[:3], ids[:3], "dot")
  assert certificate.metrics == tuple(name for name in METRICS if reads[name][:3].all())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_is_certified_as_nothing(value):
  table_VxD, _ = plainly.tables(0)["plain"]
  prompt_PxD = table_VxD[[4, 5]].copy()
  prompt_PxD[1, 2] = value
  for dtype in DTYPES:
    cells = Cells(table_VxD, dtype=dtype)
    np.testing.assert_array_equal(cells.inside(prompt_PxD, [4, 5], ("euclidean",)), [[True, False]])
    assert certify(cells, prompt_PxD, [4, 5], "euclidean").metrics == ()


def test_some_positions_at_a_time_are_all_at_once(monkeypatch):
  def computed():
    cells, ids, anchors_PxD, table_VxD, _ = held("plain", 0, METRICS)
    rng = np.random.default_rng(1)
    prompt_PxD = table_VxD[ids] + rng.normal(size=(len(ids), table_VxD.shape[1]))
    moved_PxD = cells.into(prompt_PxD, ids, anchors_PxD, METRICS)
    margins = cells.margins(moved_PxD, ids, "euclidean")
    inside = cells.inside(prompt_PxD, ids, METRICS)
    assert not inside.all()
    return anchors_PxD, moved_PxD, inside, margins.distance_P, margins.relative_P, margins.wall_P

  whole = computed()
  assert len(whole[0]) > 3
  monkeypatch.setattr(module, "_AT_ONCE", 1)  # one position
  for found, expected in zip(computed(), whole, strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-9)
