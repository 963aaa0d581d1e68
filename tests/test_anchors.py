"""Anchors: a point well inside every cell that has an inside, and none where it has not."""

import numpy as np
import plainly
import pytest
from scipy.optimize import linprog

from wayjax.anchors import find_anchors, points_inside
from wayjax.cells import Cells
from wayjax.config import METRICS
from wayjax.errors import WayjaxError

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def is_extreme(token: int, table_VxD) -> bool:
  """Whether some vector has its highest dot product with the token: it is no mean of others."""
  e_VxD = np.asarray(table_VxD, np.float64)
  others = [v for v in range(len(e_VxD)) if not np.array_equal(e_VxD[v], e_VxD[token])]
  sums = np.vstack([e_VxD[others].T, np.ones(len(others))])
  wanted = np.append(e_VxD[token], 1.0)
  return linprog(np.zeros(len(others)), A_eq=sums, b_eq=wanted, bounds=(0, None)).status == 2


@pytest.mark.parametrize("name", ["plain", "duplicates", "far from 0", "two", "three", "wide"])
@pytest.mark.parametrize("metrics", [("dot",), ("euclidean", "dot")], ids="-".join)
def test_a_token_lacks_one_under_the_dot_product_where_it_is_a_mean_of_others(name, metrics):
  table_VxD, _ = plainly.tables(7)[name]
  ids = np.arange(len(table_VxD))
  points_PxD, lacking = points_inside(Cells(table_VxD, dtype="float32"), ids, metrics)
  assert [token not in lacking for token in ids] == [is_extreme(token, table_VxD) for token in ids]
  for token, point_D in zip(ids, points_PxD):
    if token not in lacking:
      for metric in metrics:
        twins = plainly.twins_of(token, table_VxD)
        assert plainly.reads_as(point_D, table_VxD, metric) == twins[0]


def test_a_mean_of_others_has_none():
  table_VxD = np.array([[1, 0], [0, 1], [-1, -1], [0.1, 0.1]], np.float32)
  cells, ids = Cells(table_VxD), np.arange(4)
  for metrics in plainly.SETS_OF_METRICS:
    points_PxD, lacking = points_inside(cells, ids, metrics)
    assert list(lacking) == ([3] if "dot" in metrics else [])
    np.testing.assert_array_equal(
      points_PxD[3][: len(lacking) * 2], table_VxD[3][: 2 * len(lacking)]
    )


@pytest.mark.parametrize("name", plainly.TABLES)
def test_under_euclidean_distance_it_is_the_embedding(name):
  table_VxD, unused = plainly.tables(1)[name]
  ids = plainly.tokens_of(table_VxD, unused)
  points_PxD, lacking = points_inside(Cells(table_VxD, np.array(unused, int)), ids, ("euclidean",))
  assert not len(lacking)
  aside = set(ids[np.any(points_PxD != table_VxD[ids], axis=1)].tolist())
  assert bool(aside) == (name == "nearly alike")
  assert aside <= {3, 20}


def test_least_squares_find_them_where_the_whitened_direction_does_not(monkeypatch):
  table_VxD, _ = plainly.tables(8)["plain"]
  ids, cells = np.arange(24), Cells(table_VxD, dtype="float32")
  _, lacking = points_inside(cells, ids, METRICS)

  # Towards all others, where no token stands out.
  monkeypatch.setattr(Cells, "whitened", lambda cells, ids_P: -cells.table_VxD[ids_P])
  points_PxD, also_lacking = points_inside(cells, ids, METRICS)
  np.testing.assert_array_equal(lacking, also_lacking)
  assert len(lacking) < 12
  for token, point_D in zip(ids, points_PxD):
    for metric in METRICS:
      if token not in lacking:
        assert plainly.reads_as(point_D, table_VxD, metric) == token


def test_anchors_keep_away_from_every_wall():
  table_VxD, _ = plainly.tables(9)["wide"]
  ids, cells = np.arange(8), Cells(table_VxD)
  points_PxD, lacking = points_inside(cells, ids, METRICS)
  assert not len(lacking)
  for metric in METRICS:
    distance_P = cells.margins(points_PxD, ids, metric).distance_P
    assert np.all(distance_P >= 0.19 * cells.half_distances(ids))


class TestWhichMetrics:
  """Unless they are chosen, all under which every token of the text has an anchor."""

  @pytest.fixture
  def table_VxD(self):
    """Token 4 is a mean of others; 5 lies in the direction of 0."""
    directions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], np.float32)
    return np.vstack([directions, [[0.2, 0.1, 0.0]], [[0.5, 0, 0]]]).astype(np.float32)

  @pytest.mark.parametrize(
    ("ids", "metrics"),
    [
      ([1, 2], METRICS),
      ([1, 4], ("euclidean", "cosine")),
      ([1, 5], ("euclidean",)),
      ([4, 5], ("euclidean",)),
    ],
  )
  def test_by_default(self, table_VxD, ids, metrics):
    found = find_anchors(Cells(table_VxD), ids)
    assert found.metrics == metrics
    for metric in metrics:
      for token, point_D in zip(ids, found.points_PxD):
        assert plainly.reads_as(point_D, table_VxD, metric) == token

  def test_as_asked_for(self, table_VxD):
    assert find_anchors(Cells(table_VxD, metrics=("cosine",)), [1, 4]).metrics == ("cosine",)
    with pytest.raises(
      WayjaxError,
      match=r"^no vector reads as token 4 under euclidean and dot in every type up to float16: "
      r"choose other --certify-metrics, or another text$",
    ):
      find_anchors(Cells(table_VxD, metrics=("euclidean", "dot"), dtype="float16"), [1, 4])
    with pytest.raises(WayjaxError, match="token 5 under cosine"):
      find_anchors(Cells(table_VxD, metrics=("cosine",)), [1, 5])

  def test_tokens_are_named_by_their_texts(self, table_VxD):
    def decode(ids):
      return f"<\x1b{ids[0] + 10}>"

    with pytest.raises(WayjaxError, match=r"reads as token 4 \('<\\x1b14>'\) under dot"):
      find_anchors(Cells(table_VxD, metrics=("dot",), decode=decode), [4])


def test_what_cannot_be_stored_has_no_anchor():
  """Float16 ends at 65,504, and all that is nearer to the further token is larger."""
  table_VxD = np.array([[1e6, 0], [1.1e6, 0]], np.float32)
  straight = ("euclidean", "dot")
  assert find_anchors(Cells(table_VxD, metrics=straight, dtype="float32"), [1]).metrics == straight
  with pytest.raises(WayjaxError, match="in every type up to bfloat16"):
    find_anchors(Cells(table_VxD, metrics=("euclidean",)), [1])
  assert find_anchors(Cells(table_VxD), [1]).metrics == ("euclidean",)  # and not certified


def test_what_can_be_stored_is_found_where_the_embedding_cannot():
  table_VxD = np.array([[1e6, 0], [0, 1e6]], np.float32)
  for metrics in (METRICS, ("euclidean",)):
    found = find_anchors(Cells(table_VxD, metrics=metrics), [0])
    assert np.isfinite(found.points_PxD.astype(np.float16)).all()
    for metric in METRICS:
      assert plainly.reads_as(found.points_PxD[0].astype(np.float16), table_VxD, metric) == 0
