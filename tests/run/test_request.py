"""What a command line asks for, of a new run and of one that is resumed."""

import dataclasses
import json

import pytest

from wayjax import demo
from wayjax.config import RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import TASKS, get_task
from wayjax.errors import WayjaxError
from wayjax.results import trackers
from wayjax.run.request import read_request

TEXTS = {"target": ("one", "two")}


def test_a_new_run_names_its_task_and_its_targets():
  config, task, targets = read_request({"dataset": "trec", "steps": 7, **TEXTS})
  assert (config.dataset, config.steps, config.lr) == ("trec", 7, RunConfig.lr)
  assert task is TASKS["trec"]
  assert targets == [Target("text", "text-1", "one"), Target("text", "text-2", "two")]


def test_targets_may_be_fewer():
  _, _, targets = read_request({"dataset": "trec", "max_targets": 1, **TEXTS})
  assert [target.text for target in targets] == ["one"]


def test_a_task_of_ones_own(tmp_path):
  path = tmp_path / "mood.toml"
  path.write_text('template = "I feel %s."\nlabel_words = ["low", "high"]\n')
  config, task, _ = read_request({"task_file": str(path), **TEXTS})
  assert config.dataset is None
  assert (task.name, task.label_words) == ("mood", ("low", "high"))


def test_a_demo_has_targets_of_its_own_unless_others_are_given():
  given = {"dataset": "agnews", "demo": True}
  _, _, targets = read_request(given)
  assert {target.group for target in targets} == {demo.NAME}
  _, _, targets = read_request(given | TEXTS)
  assert {target.group for target in targets} == {"text"}


@pytest.fixture
def stored(tmp_path):
  """A run folder's configuration, and a function that writes it with changes."""
  given = {"dataset": "sst2", "data_dir": str(tmp_path), **TEXTS}
  config, task, _ = read_request(given)
  content = {
    **dataclasses.asdict(config),
    "task": dataclasses.asdict(dataclasses.replace(task, template="It seemed %s .")),
    "resolved": {"targets": ["ni/a/b", "text/text-1"], "target_texts": ["then", "now"]},
  }

  def write(**changes):
    (tmp_path / "config.json").write_text(json.dumps(content | changes))
    return content | changes

  write()
  return write


def test_a_resumed_run_has_what_its_folder_holds_whatever_the_package_says_now(stored, tmp_path):
  config, task, targets = read_request({"resume": str(tmp_path), "checkpoint_every": 5.0})
  assert (config.out, config.checkpoint_every) == (str(tmp_path), 5.0)
  assert config.target == ("one", "two")
  assert task == dataclasses.replace(get_task("sst2"), template="It seemed %s .")
  assert targets == [Target("ni", "a/b", "then"), Target("text", "text-1", "now")]


@pytest.mark.parametrize(
  "changes",
  [
    {"task": None},
    {"task": {"name": "sst2"}},
    {"task": {"hub": {"unknown": 1}}},
    {"resolved": {}},
    {"resolved": {"targets": ["text/a"], "target_texts": []}},
    {"resolved": {"targets": ["no group"], "target_texts": ["a"]}},
    {"resolved": {"targets": [1], "target_texts": ["a"]}},
  ],
)
def test_a_damaged_folder_is_named(stored, tmp_path, changes):
  stored(**changes)
  with pytest.raises(WayjaxError, match=r"config\.json is damaged: "):
    read_request({"resume": str(tmp_path)})


def test_a_folder_without_any_option_is_not_a_new_run(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(WayjaxError, match="was written by a version of wayjax without --dataset"):
    read_request({"resume": str(tmp_path), "dataset": "sst2", **TEXTS})


def test_a_missing_tracker_is_told_before_targets_are_looked_for(monkeypatch):
  def missing(names, folder):
    raise WayjaxError(f"{names} for {folder}")

  monkeypatch.setattr(trackers, "require", missing)
  with pytest.raises(WayjaxError, match=r"\('wandb',\) for here"):
    read_request({"dataset": "sst2", "targets": ("nix",), "log_to": ("wandb",), "out": "here"})
