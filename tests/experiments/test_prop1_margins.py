"""Points inside the balls around tokens; `wayjax.projection` has the balls' radii."""

import numpy as np

from experiments import prop1_margins


def test_points_are_drawn_from_the_balls_that_have_room():
  table_VxD = np.array([[0, 0], [3, 4], [0, 1], [9, 9], [9, 9]], np.float32)
  ids_N, points_NxD = prop1_margins.points_inside(table_VxD, np.array([0.5, 0, 2, 0, 0]), 200)
  assert set(ids_N) == {0, 2}
  away_N = np.linalg.norm(points_NxD - table_VxD[ids_N], axis=1)
  assert np.all(away_N < np.where(ids_N == 0, 0.5, 2))
