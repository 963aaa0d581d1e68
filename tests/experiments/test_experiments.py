"""The paper's items: what each still has to tune, and all of them on the demo, into one report."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import experiment, fig6_voronoi, needed_runs, prop1_margins
from experiments.needed_runs import Sweep
from wayjax import report
from wayjax.command_line import parse_args
from wayjax.errors import WayjaxError
from wayjax.results.folder import RunWriter

NAMES = (
  *("table1_tasks", "table2_main", "table3_examples", "table4_true", "table5_compare"),
  *("fig3_gamma", "fig4_length", "fig5_model_size", "fig6_voronoi", "prop1_margins"),
)
FOLDER = Path(experiment.__file__).parent


def module(name):
  return importlib.import_module(f"experiments.{name}")


def finish(argv, rows=None):
  """Leaves the run folder of a call, with all of its rows or some, without any tuning."""
  import dataclasses

  config = parse_args(argv)
  writer = RunWriter.begin(config.out)
  names = [f"{group}/{i}" for group in config.targets for i in range(2)]
  pairs = [(name, seed) for name in names for seed in config.seeds]
  if config.shard:
    pairs = pairs[config.shard[0] :: config.shard[1]]
  writer.write_config({**dataclasses.asdict(config), "resolved": {"targets": names}})
  keys = [f"{name}/{gamma}/{seed}" for name, seed in pairs for gamma in config.gamma]
  writer.append_rows([{"prompt_key": key} for key in keys[:rows]], {})


def options(argv):
  config = parse_args(argv)
  return config.dataset, config.targets, config.gamma, config.seeds


MAIN = Sweep(("sst2",), ("ni", "pile"))
GAMMA = Sweep(("sst2",), ("ni",), (0.0, 0.001, 0.01))


def needed(sweep, out, extra=(), **more):
  return needed_runs.calls(sweep, None, out, list(extra), **{"demo": False, "resume": False} | more)


class TestPlan:
  def test_a_sweep_is_one_call(self, tmp_path):
    (call,) = needed(MAIN, tmp_path)
    assert options(call) == ("sst2", ("ni", "pile"), (0.0, 0.01), (1, 10, 100))
    assert parse_args(call).eval_every == 2000  # Figure 5 chooses gamma on dev

  def test_what_another_item_has_tuned_is_not_tuned_again(self, tmp_path):
    for call in needed(MAIN, tmp_path):
      finish(call)
    assert needed(MAIN, tmp_path) == []
    (call,) = needed(GAMMA, tmp_path)
    assert options(call) == ("sst2", ("ni",), (0.001,), (1, 10, 100))
    finish(call)
    assert needed(GAMMA, tmp_path) == []

  def test_more_seeds_and_groups_are_products_of_what_is_missing(self, tmp_path):
    for call in needed(GAMMA, tmp_path, ["--seeds", "1"]):
      finish(call)
    calls = needed(MAIN, tmp_path, ["--seeds", "1", "10"])
    assert [options(call)[1:] for call in calls] == [
      (("ni",), (0.0, 0.01), (10,)),
      (("pile",), (0.0, 0.01), (1, 10)),
    ]

  def test_an_unfinished_run_goes_on_only_when_asked(self, tmp_path):
    (call,) = needed(MAIN, tmp_path)
    finish(call, rows=3)
    with pytest.raises(WayjaxError, match="is unfinished: give --resume"):
      needed(MAIN, tmp_path)
    folder = call[call.index("--out") + 1]
    assert needed(MAIN, tmp_path, resume=True) == [["--resume", folder]]
    more = ["--log-to", "tensorboard", "--checkpoint-every", "5"]
    assert needed(MAIN, tmp_path, more, resume=True) == [
      ["--resume", folder, "--log-to", "tensorboard", "--checkpoint-every", "5.0"]
    ]

  def test_runs_of_other_options_are_refused(self, tmp_path):
    for call in needed(MAIN, tmp_path):
      finish(call)
    with pytest.raises(WayjaxError, match="was run with --steps 2000, not 5: give the same, or"):
      needed(MAIN, tmp_path, ["--steps", "5"])
    assert len(needed(Sweep(("trec",), ("ni",)), tmp_path, ["--steps", "5"])) == 1
    assert len(needed_runs.calls(MAIN, "other", tmp_path, [], demo=False, resume=False)) == 1

  def test_shards_are_a_whole_when_all_are_there(self, tmp_path):
    shards = [["--shard", f"{i}/3"] for i in range(3)]
    (call,) = needed(MAIN, tmp_path, shards[1])
    assert call[call.index("--out") + 1].endswith("-1-of-3")
    finish(call)
    assert needed(MAIN, tmp_path, shards[1]) == []
    with pytest.raises(WayjaxError, match="holds some of 3 shards: give --shard, or add the"):
      needed(MAIN, tmp_path)
    for shard in (shards[0], shards[2]):
      finish(needed(MAIN, tmp_path, shard)[0])
    assert needed(MAIN, tmp_path) == []

  def test_a_whole_run_holds_every_shard(self, tmp_path):
    finish(needed(MAIN, tmp_path)[0])
    assert needed(MAIN, tmp_path, ["--shard", "0/3"]) == []

  def test_no_name_comes_twice(self, tmp_path):
    first, second = needed(Sweep(("sst2", "trec"), ("ni",)), tmp_path)
    finish(second)
    (again,) = needed(Sweep(("sst2", "trec"), ("ni",)), tmp_path)
    assert Path(first[-1]).name == "000-sst2-gpt2-large"
    assert Path(again[-1]).name == "002-sst2-gpt2-large"

  @pytest.mark.parametrize("option", ["--dataset trec", "--target=x", "--distributed"])
  def test_what_is_the_items_own_is_refused(self, tmp_path, option):
    with pytest.raises(WayjaxError, match="cannot be given: tasks and targets are the item's"):
      needed(MAIN, tmp_path, option.split())

  def test_a_folder_that_is_no_run_is_left_alone(self, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    assert len(needed(MAIN, tmp_path)) == 1

  def test_the_demo_has_groups_of_its_own(self, tmp_path):
    (call,) = needed(MAIN, tmp_path, demo=True)
    assert options(call) == ("sst2", ("demo",), (0.0, 0.01), (1, 10))
    assert parse_args(call).model == "demo"
    sweep = Sweep(("agnews",), ("pile-4", "true"))
    assert options(needed(sweep, tmp_path, demo=True)[0])[1] == ("demo-4", "demo-true")

  def test_each_group_has_its_own_first_targets(self, tmp_path):
    calls = needed(MAIN, tmp_path, ["--max-targets", "1"])
    assert [options(call)[1] for call in calls] == [("ni",), ("pile",)]


class TestItems:
  @pytest.mark.parametrize("name", NAMES)
  def test_its_docstring_is_its_record(self, name):
    found = module(name)
    for part in ("\nClaim: ", "\nPaper", f"\nCommand: python -m experiments.{name} ", "\nTime: "):
      assert part in found.__doc__
    assert found.ITEM.name == name

  def test_there_are_no_others(self):
    listed = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "item", "plan"}
    assert listed == set(NAMES)

  def test_the_grid_of_table_2_is_the_papers(self):
    (sweep,) = module("table2_main").ITEM.sweeps
    assert sweep == Sweep(("sst2", "sst5", "agnews", "trec", "subj"), ("ni", "pile"), (0.0, 0.01))

  def test_a_wrong_task_is_one_sentence(self, tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--datasets", "trec"]
    assert experiment.main(module("fig4_length").ITEM, "", arguments) == 2
    assert "fig4_length has the tasks agnews" in capsys.readouterr().err
    arguments = ["--out", str(tmp_path), "--datasets", "agnews", "nonsense"]
    assert experiment.main(module("fig4_length").ITEM, "", arguments) == 2
    assert "--datasets nonsense: there are the tasks sst2, " in capsys.readouterr().err

  def test_what_only_measures_is_measured_where_it_is_asked_to(self, tmp_path, capsys):
    arguments = ["--demo", "--out", str(tmp_path), "--device", "tpu"]
    assert experiment.main(module("prop1_margins").ITEM, "", arguments) == 2
    assert "--device tpu: jax sees only cpu here" in capsys.readouterr().err

  def test_rows_to_test_on_are_counted_whatever_is_reported_on(self, tmp_path):
    arguments = ["--demo", "--out", str(tmp_path), "--datasets", "trec", "--split", "dev"]
    assert experiment.main(module("table1_tasks").ITEM, "", arguments) == 0
    (task,) = json.loads((tmp_path / "table1_tasks.measured.json").read_text())["tasks"]
    assert (task["train"] + task["dev"], task["test"]) == (1200, 400)

  def test_figure_6_needs_prompts(self, tmp_path):
    (tmp_path / "table1_tasks.measured.json").write_text('{"command": ""}')
    with pytest.raises(WayjaxError, match="holds no prompts of agnews"):
      fig6_voronoi.measure([parse_args(["--dataset", "agnews", "--demo"])], tmp_path)


def test_all_items_on_the_demo_are_one_report(tmp_path, capsys):
  small = ["--demo", "--out", str(tmp_path), "--datasets", "agnews", "sst2", "--steps", "2"]
  small += ["--train-rows", "40", "--eval-rows", "8", "--seeds", "1"]
  for name in NAMES:
    extra = ["--datasets", "agnews"] if name.startswith("table") else []
    assert experiment.main(module(name).ITEM, "", [*small, *extra]) == 0, name
  said = capsys.readouterr().out
  # Table 3, Table 5, Figures 5 and 6 find all they need; Figure 3 tunes only what is new of agnews.
  assert "table3_examples, run" not in said
  assert "table5_compare, run" not in said
  assert "fig5_model_size, run" not in said
  assert "fig6_voronoi, run" not in said
  assert said.count(" --gamma 0.0001 0.0005 0.001 0.003 0.005 0.03 --seeds 1 --out ") == 1
  assert report.main([str(tmp_path)]) == 0
  names = {path.stem for path in (tmp_path / "report").iterdir()}
  assert names == {
    *("index", "report", "table1", "table2", "table3", "table4", "table5", "fig5-numbers"),
    *("fig3", "fig4", "fig5", "fig6", "prop1"),
  }
  margins = json.loads((tmp_path / "prop1_margins.measured.json").read_text())
  assert margins["hits"] == margins["points"] == 1000
  cells = json.loads((tmp_path / "fig6_voronoi.measured.json").read_text())
  nearest = max(cells["cells"], key=lambda one: one["score"][2])  # at the token's own place
  assert nearest["token"] == cells["target_token"]
  table1 = json.loads((tmp_path / "table1_tasks.measured.json").read_text())
  assert table1["command"].endswith(" --datasets agnews")


def test_margins_by_hand():
  table_VxD = np.array([[0, 0], [3, 4], [0, 1], [9, 9], [9, 9]], np.float32)
  assert prop1_margins.margins(table_VxD) == pytest.approx([0.5, np.sqrt(18) / 2, 0.5, 0, 0])
  ids_N, points_NxD = prop1_margins.points_inside(table_VxD, np.array([0.5, 0, 2, 0, 0]), 200)
  assert set(ids_N) == {0, 2}
  away_N = np.linalg.norm(points_NxD - table_VxD[ids_N], axis=1)
  assert np.all(away_N < np.where(ids_N == 0, 0.5, 2))


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
