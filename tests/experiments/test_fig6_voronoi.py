"""The slice of Figure 6: its plane, its cells, and the prompts in it."""

import dataclasses

import numpy as np
import pytest
from reports import held, row, write_run

from experiments import fig6_voronoi
from wayjax.command_line import parse_args
from wayjax.data.encoding import token_ids
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.report import slices
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
  assert (pair.row["prompt_key"], pair.run.path) == (best["prompt_key"], tmp_path / "1")


TEXT = "Say which topic."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with a run of two prompts of one text, as far as the figure needs them."""
  out = tmp_path_factory.mktemp("out")
  given = ["--dataset", "agnews", "--demo", "--steps", "6", "--lr", "0.5", "--train-rows", "40"]
  config = parse_args([*given, "--seeds", "1", "2", "--precision", "float32"])
  lm = load_lm("demo", precision="float32")
  (ids,) = token_ids(lm.tokenizer, [TEXT])
  named = {"dataset": "agnews", "model": "demo", "target_text": TEXT, "precision": "float32"}
  rows = [row("a", gamma, 2, steps=6, lr=0.5, **named) for gamma in (0.0, 0.01)]
  write_run(out / "1", rows, **dataclasses.asdict(config))
  target_PxD = fetch(lm.table_VxD)[ids]
  RunWriter(out / "1").append_rows(
    [], {of["prompt_key"]: target_PxD + 3 * np.float32(of["gamma"] == 0) for of in rows}
  )
  return out


@pytest.fixture(scope="module")
def traced(folder):
  return fig6_voronoi.trace(CONFIG, fig6_voronoi._pair(CONFIG, folder))


def test_the_path_is_of_a_prompt_held_in_the_cells_that_are_drawn(traced):
  member = traced.member
  assert (member.constraint, member.gamma, member.seed) == ("cell", 0.0, 2)
  assert member.target.text == TEXT
  assert member.held.metrics == ("euclidean",)
  assert traced.steps_N == [0, 1, 2, 3, 4, 5, 6]
  np.testing.assert_array_equal(traced.vectors_NxPxD[0], member.init_PxD)
  table_VxD = member.cells.table_VxD.astype(np.float64)
  for prompt_PxD in traced.vectors_NxPxD:
    for vector_D, token in zip(prompt_PxD, member.target_ids, strict=True):
      assert np.argmin(np.linalg.norm(table_VxD - vector_D, axis=1)) == token


def test_it_is_followed_where_it_ends_nearest_to_a_wall(traced):
  table_VxD = traced.member.cells.table_VxD.astype(np.float64)
  token = traced.member.target_ids[traced.position]
  others = np.delete(np.arange(len(table_VxD)), token)
  normal_VxD = table_VxD[others] - table_VxD[token]
  middle_VxD = (table_VxD[others] + table_VxD[token]) / 2
  norms_V = np.linalg.norm(normal_VxD, axis=1)
  left_NxV = np.stack([
    np.sum(normal_VxD * (middle_VxD - vector_D), axis=1) / norms_V
    for vector_D in traced.vectors_NxPxD[:, traced.position]
  ])  # fmt: skip
  assert others[np.argmin(left_NxV[-1])] == traced.wall
  # From the embedding the way to a wall is half the distance of the two tokens.
  used_N = (1 - left_NxV / (norms_V / 2)).max(axis=1)
  assert traced.reach == 0.97
  np.testing.assert_array_equal(traced.leans_N, used_N >= 0.999 * traced.reach)
  assert used_N.max() <= traced.reach + 1e-5
  assert not traced.leans_N[0]
  assert traced.leans_N.any()


def test_in_the_plane_every_distance_to_the_wall_is_true(folder, traced, monkeypatch):
  monkeypatch.setattr(fig6_voronoi, "_GRID", 40)
  monkeypatch.setattr(fig6_voronoi, "trace", lambda config, pair: traced)
  measured = fig6_voronoi.measure([CONFIG], folder)
  table_VxD = traced.member.cells.table_VxD.astype(np.float64)
  token, wall = measured["target_token"], measured["wall"]
  score = {cell["token"]: np.array(cell["score"]) for cell in measured["cells"]}
  behind = score[wall] - score[token]
  vectors_NxD = traced.vectors_NxPxD[:, traced.position].astype(np.float64)
  points = measured["path"]["points"]
  assert [point["step"] for point in points] == traced.steps_N
  for point, vector_D in zip(points, vectors_NxD, strict=True):
    drawn = behind @ [point["x"], point["y"], 1.0]
    away = (np.sum(np.square(vector_D - table_VxD[[token, wall]]), axis=1) / 2) @ [1, -1]
    assert drawn == pytest.approx(away, rel=1e-6, abs=1e-6)
  assert (points[0]["x"], points[0]["y"]) == pytest.approx((0, 0), abs=1e-9)
  end = np.hypot(points[-1]["x"], points[-1]["y"])
  assert end == pytest.approx(np.linalg.norm(vectors_NxD[-1] - table_VxD[token]), rel=1e-6)
  at_home, free, held_one = (point["label"] for point in measured["points"])
  assert at_home == "the token's embedding"
  assert held_one.startswith("tuned, γ = 0.01, reads as ")
  assert free.startswith("tuned, γ = 0, reads as ")
  assert f"{sum(traced.leans_N)} leaned on a wall" in measured["caption"]
  assert "7 vectors recorded along the path 7 read as" in measured["caption"]
  assert slices.cells(measured).svg
