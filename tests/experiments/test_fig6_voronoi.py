"""The slice of Figure 6: its plane, its cells, and the prompts in it."""

import numpy as np
import pytest
from reports import held, row, write_run

from experiments import fig6_voronoi
from wayjax.command_line import parse_args
from wayjax.errors import WayjaxError
from wayjax.results.writer import RunWriter

CONFIG = parse_args(["--dataset", "agnews", "--demo"])


def test_the_cells_of_a_slice_are_those_of_its_points(rng):
  table_VxD, origin_D = rng.standard_normal((30, 4)), rng.standard_normal(4)
  axes_2xD, _ = fig6_voronoi.plane(origin_D, *rng.standard_normal((2, 4)))
  places_Nx2 = 3 * rng.standard_normal((200, 2))
  distances_NxV = np.linalg.norm(
    (origin_D + places_Nx2 @ axes_2xD)[:, None] - table_VxD[None], axis=-1
  )
  score_Vx3 = fig6_voronoi.scores(table_VxD, origin_D, axes_2xD)
  found_N = np.argmax(np.column_stack([places_Nx2, np.ones(200)]) @ score_Vx3.T, axis=1)
  np.testing.assert_array_equal(found_N, np.argmin(distances_NxV, axis=1))


def test_a_plane_through_three_points(rng):
  points_3xD = rng.standard_normal((3, 5))
  axes_2xD, places_3x2 = fig6_voronoi.plane(*points_3xD)
  np.testing.assert_allclose(axes_2xD @ axes_2xD.T, np.eye(2), atol=1e-12)
  np.testing.assert_allclose(points_3xD[0] + places_3x2 @ axes_2xD, points_3xD, atol=1e-12)
  assert places_3x2[1, 0] > 0 == pytest.approx(places_3x2[1, 1])
  with pytest.raises(WayjaxError, match="stand in one line"):
    fig6_voronoi.plane(points_3xD[0], points_3xD[1], points_3xD[0])


def test_it_needs_prompts(tmp_path):
  (tmp_path / "toy.measured.json").write_text('{"command": "", "table": {}}')
  with pytest.raises(WayjaxError, match="holds no prompts of agnews"):
    fig6_voronoi.measure([CONFIG], tmp_path)


def test_the_pair_is_of_one_text_seed_and_setting_under_the_papers_constraint(tmp_path):
  def agnews(*args, **changes):
    return row(*args, dataset="agnews", model="demo", **changes)

  best = agnews("a", 0.01, 2, 0.7)
  rows = [
    *(agnews("a", 0.0, seed, 0.5) for seed in (1, 2)),
    *(agnews("a", 0.01, 1, 0.6), best, agnews("b", 0.01, 1, 0.9)),
    *(agnews("own", gamma, 1, 0.9, group="true") for gamma in (0.0, 0.01)),
    held("ball", agnews("a", 0.01, 1, 1.0)),
  ]  # fmt: skip
  write_run(tmp_path / "1", rows)
  write_run(tmp_path / "2", [agnews("b", 0.0, 1, 0.9)], batch_size=4)  # of another setting than b's
  prompts = {of["prompt_key"]: np.full((3, 4), of["accuracy"], np.float32) for of in rows}
  RunWriter(tmp_path / "1").append_rows([], prompts)
  pair = fig6_voronoi._pair(CONFIG, tmp_path)
  assert (pair.gamma, pair.text) == (0.01, "text a")
  assert pair.tuned.origin["key"] == best["prompt_key"]
  assert pair.free.origin["key"] == agnews("a", 0.0, 2)["prompt_key"]
