"""What an experiment still has to tune, where a folder holds the runs of others."""

import dataclasses
import json
from pathlib import Path

import pytest
from reports import finish

from experiments import needed_runs
from experiments.needed_runs import Sweep
from wayjax.command_line import parse_args
from wayjax.config import variants
from wayjax.data.targets import load_targets
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.results.folder import read_run

MAIN = Sweep(("sst2",), ("ni", "pile"))
GAMMA = Sweep(("sst2",), ("ni",), (0.0, 0.001, 0.01))


def needed(sweep, out, extra=(), **more):
  return needed_runs.calls(sweep, None, out, list(extra), **{"demo": False, "resume": False} | more)


def axes(argv):
  config = parse_args(argv)
  return config.dataset, config.targets, config.gamma, config.seeds


def test_a_sweep_is_one_call(tmp_path):
  (call,) = needed(MAIN, tmp_path)
  assert axes(call) == ("sst2", ("ni", "pile"), (0.0, 0.01), (1, 10, 100))
  assert parse_args(call).eval_every == 2000  # Figure 5 chooses gamma on dev
  assert "--constraint" not in call


def test_what_another_experiment_has_tuned_is_not_tuned_again(tmp_path):
  for call in needed(MAIN, tmp_path):
    finish(call)
  assert needed(MAIN, tmp_path) == []
  (call,) = needed(GAMMA, tmp_path)
  assert axes(call) == ("sst2", ("ni",), (0.001,), (1, 10, 100))
  finish(call)
  assert needed(GAMMA, tmp_path) == []


@pytest.mark.parametrize("resolved", ["float32", "bfloat16"])
def test_what_auto_resolved_to_is_no_other_option(tmp_path, resolved):
  (call,) = needed(MAIN, tmp_path)
  finish(call)
  path = Path(parse_args(call).out) / "config.json"
  config = json.loads(path.read_text())
  config["resolved"]["precision"] = resolved
  path.write_text(json.dumps(config))
  assert needed(MAIN, tmp_path) == []


def test_more_seeds_and_groups_are_products_of_what_is_missing(tmp_path):
  for call in needed(GAMMA, tmp_path, ["--seeds", "1"]):
    finish(call)
  calls = needed(MAIN, tmp_path, ["--seeds", "1", "10"])
  assert [axes(call)[1:] for call in calls] == [
    (("ni",), (0.0, 0.01), (10,)),
    (("pile",), (0.0, 0.01), (1, 10)),
  ]


def test_a_constraint_is_an_axis_like_gamma(tmp_path):
  both = Sweep(("sst2",), ("ni",), (0.0, 0.01), ("c-dist", "ball"))
  (call,) = needed(both, tmp_path)
  assert parse_args(call).constraint == ("c-dist", "ball")
  finish(needed(Sweep(("sst2",), ("ni",)), tmp_path)[0])
  (call,) = needed(both, tmp_path)
  config = parse_args(call)
  assert (config.constraint, config.gamma) == (("ball",), (0.0, 0.01))
  # The command line wins, and only what it names is tuned.
  again = needed(MAIN, tmp_path, ["--constraint=ball", "--seeds", "1"])
  assert [(parse_args(call).constraint, axes(call)[1:]) for call in again] == [
    (("ball",), (("ni", "pile"), (0.0, 0.01), (1,)))
  ]
  finish(call)
  assert needed(both, tmp_path) == []


def test_a_run_of_before_there_were_constraints_is_the_papers(tmp_path):
  (call,) = needed(MAIN, tmp_path)
  finish(call)
  path = Path(parse_args(call).out) / "config.json"
  config = json.loads(path.read_text())
  assert config.pop("constraint") == ["c-dist"]
  path.write_text(json.dumps(config))
  assert needed(MAIN, tmp_path) == []


class TestCell:
  """What is held in cells has gammas of its own, `--cell-gamma`."""

  ARMS = Sweep(("sst2",), ("ni",), (0.0, 0.01), ("c-dist", "cell"), (0.0, 0.02))

  def variants_of(self, call):
    config = parse_args(call)
    return variants(config.constraint, config.gamma, config.cell_gamma)

  def test_both_constraints_are_one_call(self, tmp_path):
    (call,) = needed(self.ARMS, tmp_path)
    paper = ("c-dist", 0.0), ("c-dist", 0.01)
    assert self.variants_of(call) == (*paper, ("cell", 0.0), ("cell", 0.02))
    finish(call)
    assert len(read_run(parse_args(call).out).rows) == 4 * 2 * 3
    assert needed(self.ARMS, tmp_path) == []

  def test_what_the_papers_constraint_has_is_not_tuned_again(self, tmp_path):
    finish(needed(MAIN, tmp_path)[0])
    (call,) = needed(self.ARMS, tmp_path)
    assert self.variants_of(call) == (("cell", 0.0), ("cell", 0.02))
    assert axes(call)[1::2] == (("ni",), (1, 10, 100))
    finish(call)
    assert needed(self.ARMS, tmp_path) == []
    (call,) = needed(self.ARMS, tmp_path, ["--cell-gamma", "0", "0.02", "0.3"])
    assert self.variants_of(call) == (("cell", 0.3),)

  def test_the_papers_joins_the_same_targets_and_seeds_alone(self, tmp_path):
    one = dataclasses.replace(self.ARMS, constraint=("cell",), cell_gamma=(0.0,))
    finish(needed(one, tmp_path, ["--seeds", "1"])[0])
    calls = needed(self.ARMS, tmp_path, ["--seeds", "1", "10"])
    assert [(self.variants_of(call), axes(call)[3]) for call in calls] == [
      ((("c-dist", 0.0), ("c-dist", 0.01), ("cell", 0.02)), (1, 10)),
      ((("cell", 0.0),), (10,)),
    ]
    for call in calls:
      finish(call)
    assert needed(self.ARMS, tmp_path, ["--seeds", "1", "10"]) == []

  def test_a_run_is_finished_with_the_gammas_of_both(self, tmp_path):
    (call,) = needed(dataclasses.replace(self.ARMS, cell_gamma=(0.0,)), tmp_path)
    finish(call, members=3 * 2 * 3 - 1)
    with pytest.raises(WayjaxError, match="is unfinished"):
      needed(MAIN, tmp_path)
    (again,) = needed(self.ARMS, tmp_path / "other", ["--cell-gamma", "0"])
    finish(again, members=3 * 2 * 3)
    assert needed(self.ARMS, tmp_path / "other", ["--cell-gamma", "0"]) == []

  def test_a_run_of_before_there_were_cells_counts_as_it_did(self, tmp_path):
    finish(needed(MAIN, tmp_path)[0])
    (path,) = tmp_path.glob("*/config.json")
    config = json.loads(path.read_text())
    for name in ("constraint", "cell_gamma", "certify_dtype", "certify_metrics"):
      del config[name]
    path.write_text(json.dumps(config))
    assert needed(MAIN, tmp_path) == []
    (call,) = needed(self.ARMS, tmp_path)
    assert self.variants_of(call) == (("cell", 0.0), ("cell", 0.02))


class TestSettings:
  """Sweeps of one experiment that differ in settings."""

  FAST = dataclasses.replace(MAIN, settings={"init": "vocab", "lr": 0.1})
  USUAL = dataclasses.replace(MAIN, settings={"init": "target", "lr": 0.01})

  def test_they_are_options_of_its_calls_in_a_folder_of_their_own(self, tmp_path):
    (call,) = needed(self.FAST, tmp_path)
    config = parse_args(call)
    assert (config.init, config.lr) == ("vocab", 0.1)
    assert config.out == str(tmp_path / "init-vocab-lr-0.1" / "000-sst2-gpt2-large")
    finish(call)
    assert needed(self.FAST, tmp_path) == []
    assert len(needed(dataclasses.replace(MAIN, settings={"lr": 0.1}), tmp_path)) == 1

  def test_no_experiment_takes_them_for_its_own_or_stops_at_them(self, tmp_path):
    finish(needed(self.FAST, tmp_path)[0])
    (call,) = needed(MAIN, tmp_path)
    assert axes(call) == ("sst2", ("ni", "pile"), (0.0, 0.01), (1, 10, 100))
    finish(call)
    assert needed(MAIN, tmp_path) == needed(self.FAST, tmp_path) == []

  def test_those_of_the_defaults_are_shared_with_other_experiments(self, tmp_path):
    finish(needed(MAIN, tmp_path)[0])
    assert needed(self.USUAL, tmp_path) == []
    assert len(needed(self.USUAL, tmp_path / "new")) == 1

  def test_they_go_on_and_are_sharded_like_any_other(self, tmp_path):
    shards = [["--shard", f"{i}/2"] for i in range(2)]
    for shard, members in zip(shards, (None, 3)):
      finish(needed(self.FAST, tmp_path, shard)[0], members)
    assert needed(self.FAST, tmp_path, shards[0]) == []
    with pytest.raises(WayjaxError, match=r"init-vocab-lr-0.1/.* is unfinished: give --resume"):
      needed(self.FAST, tmp_path, shards[1])
    (call,) = needed(self.FAST, tmp_path, shards[1], resume=True)
    assert call[0] == "--resume"

  def test_runs_of_other_options_are_still_refused_in_each(self, tmp_path):
    finish(needed(self.FAST, tmp_path)[0])
    with pytest.raises(WayjaxError, match=r"init-vocab-lr-0.1/.* was run with --steps 2000, not 5"):
      needed(self.FAST, tmp_path, ["--steps", "5"])
    finish(needed(MAIN, tmp_path)[0])
    with pytest.raises(WayjaxError, match=r"was run with --lr 0.01, not 0.1: give the same"):
      needed(MAIN, tmp_path, ["--lr", "0.1"])


def test_an_unfinished_run_goes_on_only_when_asked(tmp_path):
  (call,) = needed(MAIN, tmp_path)
  finish(call, members=3)
  with pytest.raises(WayjaxError, match="is unfinished: give --resume"):
    needed(MAIN, tmp_path)
  folder = call[call.index("--out") + 1]
  assert needed(MAIN, tmp_path, resume=True) == [["--resume", folder]]
  more = ["--log-to", "tensorboard", "--checkpoint-every", "5"]
  assert needed(MAIN, tmp_path, more, resume=True) == [
    ["--resume", folder, "--log-to", "tensorboard", "--checkpoint-every", "5.0"]
  ]
  # What may not change, or belongs to the folder, does not go with it.
  more = ["--dry-run", "--device", "cpu", "--seeds", "1", "10", "100"]
  assert needed(MAIN, tmp_path, more, resume=True) == [["--resume", folder, "--dry-run"]]


def test_a_run_of_two_constraints_is_finished_with_all_of_both(tmp_path):
  both = Sweep(("sst2",), ("ni",), (0.0, 0.01), ("c-dist", "ball"))
  (call,) = needed(both, tmp_path)
  finish(call, members=2 * 2 * 3)
  with pytest.raises(WayjaxError, match="is unfinished"):
    needed(both, tmp_path)


@pytest.mark.parametrize(
  ("option", "message"),
  [
    (["--steps", "5"], "was run with --steps 2000, not 5: give the same, or"),
    (["--batch-size", "4"], "was run with --batch-size 8, not 4"),
    (["--precision", "float32"], "was run with --precision auto, not float32"),
    (["--max-targets", "1"], "was run with --max-targets None, not 1"),
  ],
)
def test_runs_of_other_options_are_refused(tmp_path, option, message):
  for call in needed(MAIN, tmp_path):
    finish(call)
  with pytest.raises(WayjaxError, match=message):
    needed(MAIN, tmp_path, option)
  # Another task, or another model, is another part of the folder.
  assert len(needed(Sweep(("trec",), ("ni",)), tmp_path, option)) == 1
  assert needed_runs.calls(MAIN, "other", tmp_path, option, demo=False, resume=False)


def test_shards_are_a_whole_when_all_are_there(tmp_path):
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


def test_a_whole_run_holds_every_shard(tmp_path):
  finish(needed(MAIN, tmp_path)[0])
  assert needed(MAIN, tmp_path, ["--shard", "0/3"]) == []


def test_no_name_comes_twice(tmp_path):
  first, second = needed(Sweep(("sst2", "trec"), ("ni",)), tmp_path)
  finish(second)
  (again,) = needed(Sweep(("sst2", "trec"), ("ni",)), tmp_path)
  assert Path(first[-1]).name == "000-sst2-gpt2-large"
  assert Path(again[-1]).name == "002-sst2-gpt2-large"


@pytest.mark.parametrize("option", ["--dataset trec", "--target=x", "--distributed"])
def test_what_is_the_experiments_own_is_refused(tmp_path, option):
  with pytest.raises(WayjaxError, match="cannot be given: tasks and targets are the experiment's"):
    needed(MAIN, tmp_path, option.split())


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path):
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / "config.json").write_text('{"model_type": "gpt2"}')
  assert len(needed(MAIN, tmp_path)) == 1


def test_the_demo_has_groups_of_its_own(tmp_path):
  (call,) = needed(MAIN, tmp_path, demo=True)
  assert axes(call) == ("sst2", ("demo",), (0.0, 0.01), (1, 10))
  assert parse_args(call).model == "demo"
  sweep = Sweep(("agnews",), ("pile-4", "true"))
  assert axes(needed(sweep, tmp_path, demo=True)[0])[1] == ("demo-4", "demo-true")
  for group in needed_runs.DEMO_GROUPS.values():
    assert load_targets(get_task("agnews"), groups=(group,))


def test_each_group_has_its_own_first_targets(tmp_path):
  calls = needed(MAIN, tmp_path, ["--max-targets", "1"])
  assert [axes(call)[1] for call in calls] == [("ni",), ("pile",)]
