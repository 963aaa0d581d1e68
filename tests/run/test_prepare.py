"""What is loaded before a run's first step, and what the run says of it."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

import wayjax
from wayjax.config import RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.devices.select import describe
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError
from wayjax.run import prepare as module
from wayjax.run.prepare import load_rows, prepare

TARGETS = [Target("text", "text-1", "read me"), Target("ni", "a/b", "or this one, a long one")]


@pytest.fixture(scope="module")
def config(model_dir, data_dir):
  return RunConfig(
    dataset="sst2",
    model=str(model_dir),
    data_dir=str(data_dir),
    precision="float32",
    seeds=(1, 10),
    steps=1500,
  )


@pytest.fixture(scope="module")
def made(config):
  return make(config)


def make(config, **changes):
  return prepare(dataclasses.replace(config, **changes), get_task("sst2"), TARGETS)


def test_all_that_the_configuration_names_is_there(made, model_dir):
  assert made.lm.name == str(model_dir)
  assert [len(part) for part in (made.train, made.dev, made.evaluation)] == [54, 6, 20]
  assert len(made.members) == made.whole == 2 * 2 * 2
  assert {member.target for member in made.members} == set(TARGETS)
  labels = made.data.evaluation.labels
  assert made.majority == max(np.mean(labels), 1 - np.mean(labels))


def test_what_a_repetition_needs_is_resolved(made, config):
  for name, value in dataclasses.asdict(config).items():
    assert made.resolved[name] == value
  assert made.resolved["task"] == dataclasses.asdict(made.task)
  json.dumps(made.resolved, allow_nan=False)
  found = made.resolved["resolved"]
  assert found["targets"] == ["text/text-1", "ni/a/b"]
  assert found["target_texts"] == [target.text for target in TARGETS]
  assert found["model_sha256"] == hashlib.sha256(fetch(made.lm.table_VxD).tobytes()).hexdigest()
  assert found["data_sha256"] == made.data.sha256
  assert [found[f"{part}_rows"] for part in ("train", "dev", "evaluation")] == [54, 6, 20]
  assert (found["majority"], found["max_length"]) == (made.majority, made.task.max_length)
  assert (found["precision"], found["parameters"]) == ("float32", made.lm.parameters)
  assert found["versions"]["wayjax"] == wayjax.__version__
  assert all(found["versions"].values())


def test_readers_are_given_training_rows(made):
  context = made.context
  assert context.texts == made.data.train.texts
  assert context.candidates == tuple(target.text for target in TARGETS)
  assert context.examples.frame == made.frame
  seen = [ids_L.tobytes() for ids_L in context.examples.prefixes]
  assert seen == [ids_L.tobytes() for ids_L in made.train.prefixes]


def test_the_plan_says_what_the_run_is_going_to_do(made):
  plan = made.plan()
  assert plan["model"] == f"{made.lm.name}: 0.0 M parameters, float32 products, {describe()}"
  assert plan["data"] == (
    "sst2: 54 training, 6 dev, 20 test rows; the most frequent class is 65.0 % of them"
  )
  assert plan["targets"] == "2, of 7 to 23 tokens"
  assert plan["members"] == "8 = 2 targets x 2 gamma x 2 seeds, 1,500 steps each"
  assert plan["prompt groups"].startswith("4 of up to 8, 4 of up to 24 tokens, each one program; ")


def test_of_one_thing_the_plan_speaks_in_the_singular(made):
  config = dataclasses.replace(made.config, seeds=(1,), gamma=(0.0,), steps=1)
  one = dataclasses.replace(made, config=config, members=made.members[:1], whole=1)
  assert one.plan()["targets"] == f"1, of {len(made.members[0].target_ids)} tokens"
  assert one.plan()["members"] == "1 = 1 target x 1 gamma x 1 seed, 1 step each"


def test_the_plan_of_a_part_names_the_whole(made):
  part = dataclasses.replace(
    made, config=dataclasses.replace(made.config, shard=(0, 3)), members=made.members[:4]
  )
  assert part.plan()["members"] == (
    "4, a part of 8 = 2 targets x 2 gamma x 2 seeds, 1,500 steps each"
  )


def test_the_plan_counts_constraints_where_there_are_several(made):
  config = dataclasses.replace(made.config, constraint=("c-dist", "ball"))
  twice = dataclasses.replace(
    made,
    config=config,
    members=[
      dataclasses.replace(member, constraint=name)
      for member in made.members
      for name in config.constraint
    ],
    whole=16,
  )
  assert twice.plan()["members"].startswith("16 = 2 targets x 2 gamma x 2 constraints x 2 seeds, ")
  groups = "4 of up to 8, 4 of up to 8, 4 of up to 24, 4 of up to 24 tokens"
  assert twice.plan()["prompt groups"].startswith(groups)


def test_a_part_of_a_sweep_is_disjoint_from_the_others(config):
  parts = [make(config, shard=(i, 3)) for i in range(3)]
  assert [part.whole for part in parts] == [8] * 3
  keys = [member.key for part in parts for member in part.members]
  assert len(keys) == len(set(keys)) == 8


def test_only_the_first_rows_may_be_used_which_is_another_hash(made, config):
  fewer = dataclasses.replace(config, train_rows=20, eval_rows=10)
  rows = load_rows(fewer, get_task("sst2"))
  assert [len(part) for part in (rows.train, rows.dev, rows.evaluation)] == [20, 6, 10]
  assert rows.sha256 != made.data.sha256
  assert (
    load_rows(dataclasses.replace(config, split="dev"), get_task("sst2")).evaluation == rows.dev
  )


def test_a_wrong_constraint_is_told_before_anything_is_loaded(config, monkeypatch):
  for name in ("load_rows", "load_lm"):
    monkeypatch.setattr(module, name, lambda *args, **options: pytest.fail("loaded"))
  with pytest.raises(WayjaxError, match="unknown constraint 'rope'"):
    make(config, constraint=("c-dist", "rope"))
