"""Runs that differ in any option, and rows that are there twice, are never averaged unseen."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tiny
from reports import finish, lines_of, read, row, write_run
from safetensors.numpy import save_file

from experiments import needed_runs
from experiments.needed_runs import Sweep
from wayjax.config import RunConfig, options
from wayjax.constraints import CONSTRAINTS, Constraint
from wayjax.data.targets import load_targets
from wayjax.data.tasks import get_task, read_task_file
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluation
from wayjax.options import PLACE, SETTING, flag
from wayjax.prompts import SoftPrompt
from wayjax.report import gather, tables
from wayjax.results import summary
from wayjax.results.writer import RunWriter
from wayjax.run.measure import Measure
from wayjax.run.prepare import Prepared, prepare
from wayjax.tuning.members import TunedPrompt

BASE = {
  "dataset": "sst2", "data_dir": "data", "model": "model", "precision": "float32", "steps": 2,
  "targets": ("ni",), "targets_dir": "targets", "gamma": (0.0, 0.01), "seeds": (1, 10),
}  # fmt: skip
FREE = {"init": "vocab", "gamma": (0.0,)}  # prompts may have another length than their targets
# Those that the first of two runs differs in from the base, by what the second differs in.
FIRST = {"prompt_tokens": FREE, "shard": {"shard": (0, 2)}, "system": {"chat": True}}
# Of each option another value than that of the base.
OTHER = {
  "dataset": {"dataset": "subj"},
  "task_file": {"dataset": None, "task_file": "sst2.toml"},
  "data_dir": {"data_dir": "other-data"},
  "split": {"split": "dev"},
  "train_rows": {"train_rows": 20},
  "eval_rows": {"eval_rows": 3},
  "max_length": {"max_length": 17},
  "before": {"before": "<"},
  "after": {"after": ">"},
  "chat": {"chat": True},
  "system": {"chat": True, "system": "Be brief."},
  "model": {"model": "other-model"},
  "revision": {"model": "other-model"},  # what it stands for: other weights
  "precision": {"precision": "bfloat16"},
  "steps": {"steps": 3},
  "lr": {"lr": 0.5},
  "batch_size": {"batch_size": 4},
  "init": {"init": "vocab"},
  "prompt_tokens": {"prompt_tokens": 7, **FREE},
  "projection": {"projection": "dot"},
  "targets": {"targets": ("pile",)},
  "target": {"targets": (), "target": ("a text",)},
  "targets_file": {"targets": (), "targets_file": "texts"},
  "targets_dir": {"targets_dir": "other-targets"},
  "max_targets": {"max_targets": 1},
  "gamma": {"gamma": (0.5,)},
  "constraint": {"constraint": ("ball",), "gamma": (0.5,)},
  "cell_gamma": {"constraint": ("cell",), "cell_gamma": (0.5,)},
  "certify_dtype": {"certify_dtype": "float16"},
  "certify_metrics": {"certify_metrics": ("euclidean",)},
  "seeds": {"seeds": (7,)},
  "shard": {"shard": (1, 2)},
  "demo": {"demo": True},
  "model_parallel": {"model_parallel": 2},
  "device": {"device": "cpu"},
  "members_at_once": {"members_at_once": 1},
  "eval_every": {"eval_every": 1},
  "readers": {"readers": ("logit_lens",)},
  "fool": {"fool": "logit_lens"},
  "fool_weight": {"fool": "logit_lens", "fool_weight": 2.0},
  "out": {"out": "elsewhere"},
  "checkpoint_every": {"checkpoint_every": 1.0},
  "resume": {"resume": "somewhere"},
  "log_to": {"log_to": ("tensorboard",)},
  "distributed": {"distributed": True},
  "coordinator": {"coordinator": "host:1"},
  "processes": {"processes": 2},
  "process_id": {"process_id": 1},
  "dry_run": {"dry_run": True},
}
GOES_WITH = {"system": ("--chat",), "fool_weight": ("--fool", "logit_lens")}
PLACES = {field.name for field in options(PLACE)} | {"demo"}  # which only sets other options
SETTINGS = {field.name for field in options(SETTING)} - {"demo"}
OVER_SEEDS = {"seeds", "shard"}  # of which a line is the mean


def test_every_option_is_tried():
  assert OTHER.keys() == {field.name for field in options()}


CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}<model>"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
  """A folder with everything that the options above name."""
  folder = tmp_path_factory.mktemp("inputs")
  for name, train in (("data", 60), ("other-data", 50)):
    (folder / name).mkdir()
    tiny.save_rows(folder / name, train)
    shutil.copytree(folder / name / "sst2", folder / name / "subj")
  tiny.save_model(folder / "model")
  (folder / "model" / "chat_template.jinja").write_text(CHAT)
  tiny.save_model(folder / "other-model")
  save_file(tiny.tensors(seed=1), folder / "other-model" / "model.safetensors")
  (folder / "sst2.toml").write_text('template = "All is %s ."\nlabel_words = ["bad", "good"]\n')
  (folder / "texts").write_text("from a file\n")
  for name, end in (("targets", "."), ("other-targets", "!")):
    (folder / name).mkdir()
    for file in ("natural_prompts.json", "pile.json"):
      texts = {key: f"{key} of {file[:4]}{end}" for key in ("one", "two")}
      (folder / name / file).write_text(json.dumps(texts))
  return folder


class Evaluator:
  """Gives every prompt the same score."""

  def __init__(self, accuracy: float):
    self._accuracy = accuracy

  def __call__(self, prompts):
    return [Evaluation(self._accuracy, 0.5, 1.0, None, None) for _ in prompts]


def prepared(inputs, changes) -> Prepared:
  """A run of the base with other options."""
  values = BASE | changes
  paths = ("data_dir", "model", "task_file", "targets_file", "targets_dir")
  values |= {name: str(inputs / values[name]) for name in paths if values.get(name)}
  config = RunConfig(**values)
  task = read_task_file(config.task_file) if config.task_file else get_task(config.dataset)
  targets = load_targets(
    task, groups=config.targets, file=config.targets_file, texts=config.target,
    targets_dir=config.targets_dir, max_targets=config.max_targets,
  )  # fmt: skip
  return prepare(config, task, targets)


@pytest.fixture(scope="module")
def base(inputs):
  return prepared(inputs, {})


def leave(folder, run: Prepared, accuracy: float) -> str:
  """The run folder of a run without any training, in which every prompt is as accurate."""
  measure = Measure(run.config, run.task, run.lm, Evaluator(accuracy))
  losses_T = np.zeros(run.config.steps)
  around = {name: getattr(run.frame, name) for name in ("before", "after", "reply")}
  prompts = [SoftPrompt(m.init_PxD, run.lm.name, m.target, **around) for m in run.members]
  rows, _ = measure(
    [
      TunedPrompt(prompt, member, losses_T, losses_T, None, 0.0)
      for prompt, member in zip(prompts, run.members, strict=True)
    ]
  )
  writer = RunWriter.begin(folder)
  writer.write_config(json.loads(json.dumps(run.resolved)))
  writer.append_rows(rows, {})
  return str(folder)


@pytest.mark.parametrize("name", OTHER)
def test_two_runs_that_differ_in_an_option_are_never_averaged(
  inputs, base, tmp_path, monkeypatch, name
):
  monkeypatch.setitem(CONSTRAINTS, "ball", Constraint(penalty=lambda *_: 0.0))
  first = prepared(inputs, FIRST[name]) if name in FIRST else base
  if name in PLACES:  # nothing that is prepared depends on it
    second = dataclasses.replace(base, config=dataclasses.replace(base.config, **OTHER[name]))
  else:
    second = prepared(inputs, OTHER[name])
  folders = leave(tmp_path / "a", first, 0.25), leave(tmp_path / "b", second, 0.75)
  together = [row for run in gather.find_runs(folders) for row in run.rows]
  if name in PLACES | {"max_targets"}:  # they share members
    with pytest.raises(WayjaxError, match=r"/a and .*/b both hold ni/one/gamma=0/seed=1"):
      read(*folders)
    with pytest.raises(WayjaxError, match="two different rows of ni/one/gamma=0/seed=1"):
      summary.summarise(together)
    return
  found = read(*folders)
  if name in SETTINGS:
    means = [{line[key] for line in results.lines for key in MEANS} for results in found]
    assert [values - {None} for values in means] == [{0.25}, {0.75}]
    assert len(set(gather.labels(found))) == 2
    lines = lines_of(tables.main_results(found))
    assert [line["acc. γ"] for line in lines] == (
      [] if "gamma" in FIRST.get(name, ()) else ["25.0", "75.0"]
    )
    with pytest.raises(WayjaxError, match=r"never averaged|two different rows"):
      summary.summarise(together)
    return
  (results,) = found
  assert len(results.rows) == len(together) == len(first.members) + len(second.members)
  for line in results.lines:
    own = [
      row["accuracy"]
      for row in together
      if row["target_text"] == line["target"]
      and summary.variant_of(row) == summary.variant_of(line)
    ]
    assert line["accuracy"] == pytest.approx(np.mean(own))
    assert name in OVER_SEEDS or len(set(own)) == 1


MEANS = "accuracy", "accuracy_0"
NOT_GIVEN = {name.removeprefix("--").replace("-", "_") for name in needed_runs._NO_OPTIONS}
NOT_GIVEN |= {"demo", "model", "out", "resume", "dry_run"}  # experiments have their own
# What a folder may hold with other values: its runs are completed, or go on.
MORE_MEMBERS = {"gamma", "constraint", "seeds"}


@pytest.mark.parametrize("name", sorted(OTHER.keys() - NOT_GIVEN))
def test_experiments_take_no_run_for_one_that_differs_in_an_option(tmp_path, name):
  (field,) = (field for field in options() if field.name == name)
  other = OTHER[name].get(name, "main")

  def needed(*values):
    sweep = Sweep(("agnews",), ("ni",))
    words = [] if field.metadata.get("action") == "store_true" else map(str, values)
    given = [flag(field), *words] if values else []
    if values:
      given += GOES_WITH.get(name, ())
    return needed_runs.calls(sweep, None, tmp_path, given, demo=False, resume=False)

  (call,) = needed()
  finish(call)
  assert needed() == []
  values = other if isinstance(other, tuple) else (other,)
  if name in PLACES:
    assert needed(*values) == []
  elif name == "shard":  # of what is there as a whole, each part is there
    assert needed("1/2") == []
  elif name == "cell_gamma":  # only what is held in cells has it
    assert needed(*values) == []
    (call,) = needed(*values, "--constraint", "cell")
    assert call[-6:-2] == ["--constraint", "cell", "--cell-gamma", "0.5"]
  elif name in MORE_MEMBERS:
    assert len(needed(*values)) == 1
  else:
    named = GOES_WITH.get(name, (flag(field),))[0]  # the first that differs
    with pytest.raises(WayjaxError, match=f"was run with {named} .*: give the same"):
      needed(*values)


PAIR = [row("a", gamma, seed, accuracy=0.5 + gamma) for gamma in (0.0, 0.01) for seed in (1, 10)]


def test_a_row_that_is_there_twice_counts_once(tmp_path):
  once = write_run(tmp_path / "once", PAIR)
  twice = write_run(tmp_path / "twice", PAIR)
  path = tmp_path / "twice" / "results.jsonl"
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join([*lines, *lines[:3]]))
  (expected,), (found,) = read(once), read(twice, twice)
  assert found.lines == expected.lines
  assert len(found.rows) == len(PAIR)
  assert summary.summarise(PAIR + PAIR[:3]) == summary.summarise(PAIR)
  assert summary.best(PAIR[:3] + PAIR) == summary.best(PAIR)
  path.write_text("".join([*lines, lines[0].replace('"accuracy": 0.5', '"accuracy": 0.6')]))
  with pytest.raises(WayjaxError, match=r"/twice holds different rows of ni/a/gamma=0\.0/seed=1"):
    read(twice)


@pytest.mark.parametrize("how", ["copied", "linked", "of a shard", "renumbered"])
def test_a_row_that_two_folders_hold_is_never_counted_twice(tmp_path, how):
  rows = [row(f"text-{i}", 0.01, group="text", target_text="one text") for i in (1, 2)]
  folder = write_run(tmp_path / "runs" / "a", rows[:1])
  other = tmp_path / "runs" / "b"
  if how == "copied":
    shutil.copytree(folder, other)
  elif how == "linked":
    other.symlink_to(folder)
  elif how == "of a shard":
    write_run(other, [*rows[:1], row("b")], shard=[0, 2])
  else:
    write_run(other, rows[1:])
  if how == "linked":
    (found,) = read(str(tmp_path / "runs"), str(other), folder)
    assert len(found.rows) == 1
  else:
    with pytest.raises(WayjaxError, match=r"both hold text/text-./gamma=0\.01/seed=1: name"):
      read(str(tmp_path / "runs"))
