"""Whether a vector reads as a token: against the corners of hulls, and a plain loop."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from wayjax import hull
from wayjax.cells import Cells
from wayjax.hull import Outcome, stand_out


def read_by_loop(table_VxD, vector_D, metric: str, unused=()) -> int:
  """The token that a vector reads as, in float64; the lowest of equal ones."""
  scores = []
  for token, e_D in enumerate(table_VxD.astype(np.float64)):
    score = float(e_D @ vector_D.astype(np.float64))
    if metric == "cosine":
      score = score / np.linalg.norm(e_D) if np.any(e_D) else 0.0
    scores.append(-np.inf if token in unused else score)
  return int(np.argmax(scores))


@pytest.mark.parametrize("width", [2, 3, 5])
def test_under_the_dot_product_corners_of_the_hull_stand_out_and_no_others(rng, width):
  table_VxD = rng.normal(size=(80, width)).astype(np.float32)
  corners = set(ConvexHull(table_VxD.astype(np.float64)).vertices.tolist())
  cells = Cells(table_VxD, dtype="float32")
  assert 0 < len(corners) < 80
  for token in range(80):
    found = stand_out(cells, token, "dot")
    assert (found.vector_D is not None, found.in_hull) == (token in corners, token not in corners)
    if token in corners:
      assert read_by_loop(table_VxD, found.vector_D, "dot") == token


def test_walls_come_as_they_are_needed(rng, monkeypatch):
  table_VxD = rng.normal(size=(300, 4)).astype(np.float32)
  cells = Cells(table_VxD, dtype="float32")
  whole = [stand_out(cells, token, "dot").in_hull for token in range(300)]
  monkeypatch.setattr(hull, "_WALLS", 12)
  monkeypatch.setattr(hull, "_MOST_ROUNDS", 100)
  assert [stand_out(cells, token, "dot").in_hull for token in range(300)] == whole
  assert set(whole) == {True, False}


def test_every_direction_stands_out_by_its_cosine(rng):
  table_VxD = rng.normal(size=(60, 3)).astype(np.float32) * rng.uniform(0.01, 100, (60, 1))
  cells = Cells(table_VxD.astype(np.float32), dtype="float32")
  for token in range(60):
    found = stand_out(cells, token, "cosine")
    assert read_by_loop(cells.table_VxD, found.vector_D, "cosine") == token


def test_a_vector_may_be_read_by_both(rng):
  table_VxD = rng.normal(size=(60, 3)).astype(np.float32)
  cells = Cells(table_VxD, dtype="float32")
  both = [stand_out(cells, token, "dot", "cosine") for token in range(60)]
  by_dot = [stand_out(cells, token, "dot").in_hull for token in range(60)]
  assert 0 < sum(found.vector_D is not None for found in both) < 60 - sum(by_dot)
  for token, found in enumerate(both):
    assert (found.vector_D is None) == found.in_hull
    if found.vector_D is not None:
      for metric in ("dot", "cosine"):
        assert read_by_loop(table_VxD, found.vector_D, metric) == token
    else:  # no direction of a fine net is read by both
      directions_Nx3 = rng.normal(size=(4000, 3))
      scores_NxV = directions_Nx3 @ table_VxD.T
      lengths_V = np.linalg.norm(table_VxD, axis=1)
      both_N = np.argmax(scores_NxV, axis=1) == np.argmax(scores_NxV / lengths_V, axis=1)
      assert token not in np.argmax(scores_NxV, axis=1)[both_N]


def test_what_has_the_direction_of_another_stands_out_from_it_under_the_dot_product_alone():
  table_VxD = np.array([[1, 0], [2, 0], [-1, 1], [-1, -1]], np.float32)
  cells = Cells(table_VxD, dtype="float32")
  assert stand_out(cells, 1, "cosine") == stand_out(cells, 0, "cosine") == Outcome(None, True)
  assert stand_out(cells, 0, "dot") == Outcome(None, True)  # between the others
  assert read_by_loop(table_VxD, stand_out(cells, 1, "dot").vector_D, "dot") == 1


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_a_zero_row_is_read_only_where_all_others_are_on_one_side(metric):
  around = np.array([[0, 0], [1, 0], [-1, 1], [-1, -1]], np.float32)
  assert stand_out(Cells(around, dtype="float32"), 0, metric) == Outcome(None, True)
  beside = np.array([[0, 0], [1, 0], [1, 1], [1, -1]], np.float32)
  found = stand_out(Cells(beside, dtype="float32"), 0, metric)
  assert read_by_loop(beside, found.vector_D, metric) == 0


def test_twins_and_rows_of_no_token_are_no_walls():
  table_VxD = np.array([[3, 0], [0, 3], [-3, -3], [3, 0], [9, 0]], np.float32)
  found = stand_out(Cells(table_VxD, [4], dtype="float32"), 0, "dot")
  assert read_by_loop(table_VxD, found.vector_D, "dot", unused=[4]) == 0


def test_a_token_for_which_nothing_is_shown_is_undecided(rng, monkeypatch):
  cells = Cells(rng.normal(size=(80, 3)).astype(np.float32), dtype="float32")
  monkeypatch.setattr(hull, "_MOST_ROUNDS", 0)
  assert stand_out(cells, 0, "dot") == Outcome(None, False)


def test_least_squares_that_do_not_converge_decide_nothing(rng, monkeypatch):
  table_VxD = rng.normal(size=(80, 3)).astype(np.float32)
  corners = ConvexHull(table_VxD.astype(np.float64)).vertices
  inner = next(token for token in range(80) if token not in corners)

  def give_up(*_, **__):
    raise RuntimeError("Maximum number of iterations reached.")

  monkeypatch.setattr("scipy.optimize.nnls", give_up)
  assert stand_out(Cells(table_VxD, dtype="float32"), inner, "dot") == Outcome(None, False)
