"""--log-to: what TensorBoard and Weights & Biases are told of a run, once each."""

import struct
import sys
import types

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

import wayjax
from wayjax.devices import processes
from wayjax.results import trackers
from wayjax.results.writer import RunWriter
from wayjax.run import main
from wayjax.tuning.checkpoint import Checkpoints

BOTH = ("--log-to", "tensorboard", "wandb")


@pytest.fixture
def options(model_dir, data_dir, tmp_path):
  """Two chunks of two members, three points each; more options may follow, and win."""
  return [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir), "--gamma", "0.01",
    "--seeds", "1", "10", "--steps", "45", "--precision", "float32", "--eval-every", "20",
    "--members-at-once", "2", "--checkpoint-every", "0", "--target", "read me",
    "--target", "or this one, a long one", "--out", str(tmp_path / "run"),
  ]  # fmt: skip


class FakeRun:
  """A run of the fake wandb; `history` holds its steps and what was logged at them."""

  def __init__(self, options: dict, history: list):
    self.options, self.history = options, history
    self.starting_step = history[-1][0] + 1 if history else 0
    self.summary, self.defined, self.exit_code = {}, {}, None

  def define_metric(self, name, step_metric=None):
    self.defined[name] = step_metric

  def log(self, values, step):
    assert not self.history or step > self.history[-1][0]
    self.history.append((step, values))

  def finish(self, exit_code):
    self.exit_code = exit_code

  def points(self) -> list[tuple]:
    return [
      (values["step"], name, value)
      for _, values in self.history
      for name, value in values.items()
      if name != "step"
    ]


@pytest.fixture(params=["online"])
def wandb(request, monkeypatch):
  """A wandb that keeps what it is told; `runs` are those that were begun, in order."""
  module = types.ModuleType("wandb")
  module.runs, online = [], {}

  def init(**options):
    history = online.setdefault(options["id"], []) if request.param == "online" else []
    module.runs.append(FakeRun(options, history))
    return module.runs[-1]

  module.init, module.Settings, module.Table = init, dict, dict
  monkeypatch.setitem(sys.modules, "wandb", module)
  for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_DIR"):
    monkeypatch.delenv(name, raising=False)
  return module


def read_events(path) -> list[Event]:
  """The events of a file, whose checksums must be right."""
  content, events = path.read_bytes(), []
  while content:
    (length,) = struct.unpack("<Q", content[:8])
    data = content[12 : 12 + length]
    sums = content[8:12] + content[12 + length : 16 + length]
    assert struct.unpack("<II", sums) == (masked_crc32c(content[:8]), masked_crc32c(data))
    events.append(Event.FromString(data))
    content = content[16 + length :]
  return events


def tensorboard_points(folder) -> list[tuple]:
  """(key, step, name, value) of all event files, of which each member must have one."""
  points = []
  for path in folder.glob("tensorboard/**/*tfevents*"):
    assert [*path.parent.iterdir()] == [path]
    version, start, *events = read_events(path)
    assert version.file_version == "brain.Event:2"
    assert start.session_log.status == SessionLog.START
    key = path.parent.relative_to(folder / "tensorboard").as_posix()
    points += [(key, at.step, v.tag, v.simple_value) for at in events for v in at.summary.value]
  return sorted(points)


def stored_points(run) -> list[tuple]:
  """What a run folder holds, as `tensorboard_points` gives it."""
  curves = [
    (at["prompt_key"], at["step"], name, np.float32(at[name]))
    for at in run.metrics
    for name in trackers.CURVES
    if at.get(name) is not None
  ]
  rows = [
    (row["prompt_key"], row["steps"], f"row/{name}", np.float32(row[name]))
    for row in run.rows
    for name in trackers.RESULTS
    if row[name] is not None
  ]
  return sorted(curves + rows)


def wandb_points(run) -> list[tuple]:
  """What a run folder holds of curves, as `FakeRun.points` gives it."""
  return sorted(
    (at["step"], f"{name}/{at['prompt_key']}", at[name])
    for at in run.metrics
    for name in trackers.CURVES
    if at.get(name) is not None
  )


def test_both_hold_what_the_folder_holds(options, wandb, tmp_path):
  assert main([*options, *BOTH]) == 0
  run = wayjax.read_run(tmp_path / "run")
  assert len(stored_points(run)) > 4 * 3 * 2 + 4 * 5
  assert tensorboard_points(tmp_path / "run") == stored_points(run)
  (told,) = wandb.runs
  assert sorted(told.points()) == wandb_points(run)
  assert [step for step, _ in told.history] == [1, 3, 5, 7, 9, 11]  # two members a dispatch
  assert told.defined == {"step": None, "*": "step"}
  assert told.exit_code == 0
  assert told.options["config"]["steps"] == 45
  assert told.options["config"]["resolved"]["targets"] == ["text/text-1", "text/text-2"]
  assert told.options["dir"] == str(tmp_path / "run")
  row = run.rows[0]
  assert told.summary[f"row/accuracy/{row['prompt_key']}"] == row["accuracy"]
  assert told.summary["rows"]["columns"] == list(row)
  assert told.summary["rows"]["data"] == [list(row.values()) for row in run.rows]


@pytest.mark.parametrize("wandb", ["online", "offline"], indirect=True)
@pytest.mark.parametrize("begun", [True, False])
def test_a_resumed_run_tells_every_point_once(options, wandb, tmp_path, monkeypatch, capsys, begun):
  out = tmp_path / "run"
  original, chunks = Checkpoints.save, set()

  def cut(checkpoints, number, state, *, members, step, size):
    chunks.add(tuple(members))
    if len(chunks) == 2 and step == 40:  # a point that no checkpoint knows
      raise KeyboardInterrupt
    original(checkpoints, number, state, members=members, step=step, size=size)

  with monkeypatch.context() as patch:
    patch.setattr(Checkpoints, "save", cut)
    patch.setattr(Checkpoints, "due", lambda checkpoints: True)  # however slow the disk is
    assert main([*options, *(BOTH if begun else ())]) == 130
  kept = len(wayjax.read_run(out).metrics)
  assert kept > 3 * 2
  for _ in range(2):  # the second time nothing is left to do
    assert main(["--resume", str(out), *BOTH]) == 0
    run = wayjax.read_run(out)
    assert len(run.metrics) == 4 * 3
    assert tensorboard_points(out) == stored_points(run)
    assert sorted(wandb.runs[-1].points()) == wandb_points(run)
    assert len(wandb.runs[-1].summary["rows"]["data"]) == 4
  assert [told.exit_code for told in wandb.runs] == [1] * begun + [0, 0]
  assert len({told.options["id"] for told in wandb.runs}) == 1
  assert "failed" not in capsys.readouterr().out


def test_a_tracker_that_fails_ends_no_training(options, wandb, tmp_path, monkeypatch, capsys):
  def fail(*args, **kwargs):
    raise RuntimeError("no space\nand much more")

  monkeypatch.setattr(FakeRun, "log", fail)
  assert main([*options, *BOTH]) == 0
  out = capsys.readouterr().out
  assert out.count("--log-to wandb failed, and the run continues without it: no space\n") == 1
  run = wayjax.read_run(tmp_path / "run")
  assert len(run.rows) == 4
  assert tensorboard_points(tmp_path / "run") == stored_points(run)


def test_a_tracker_that_does_not_open_is_one_sentence(options, wandb, tmp_path, capsys):
  init = wandb.init

  def refuse(**options):
    raise RuntimeError("No API key configured")

  wandb.init = refuse
  assert main([*options, "--log-to", "wandb"]) == 2
  error = capsys.readouterr().err
  assert error.count("\n") == 1
  assert "--log-to wandb: No API key configured; once that is fixed, --resume" in error
  wandb.init = init
  assert main(["--resume", str(tmp_path / "run")]) == 0
  assert [told.exit_code for told in wandb.runs] == [0]
  assert sorted(wandb.runs[0].points()) == wandb_points(wayjax.read_run(tmp_path / "run"))


@pytest.mark.parametrize("absent", [None, types.ModuleType("a folder")])
@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_without_the_package_nothing_is_loaded(
  options, tmp_path, monkeypatch, capsys, name, package, absent
):
  monkeypatch.setitem(sys.modules, package, absent)
  assert main([*options, "--model", "./nowhere", "--log-to", name]) == 2
  error = f"wayjax: error: --log-to {name} needs {package}: pip install 'wayjax[{name}]'\n"
  assert capsys.readouterr().err == error
  assert not (tmp_path / "run").exists()


def test_without_the_option_neither_is_imported(options, monkeypatch):
  for module in list(sys.modules):
    if module.split(".")[0] in ("tensorboardX", "wandb"):
      monkeypatch.delitem(sys.modules, module)
  assert main(options) == 0
  assert {"tensorboardX", "wandb"}.isdisjoint(sys.modules)


def test_only_the_first_process_tells(options, wandb, tmp_path, monkeypatch):
  RunWriter.begin(tmp_path / "run")
  monkeypatch.setattr(processes, "is_first", lambda: False)
  assert main([*options, *BOTH]) == 0
  assert wandb.runs == []
  assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.parametrize(
  ("given", "sentence"),
  [
    (("tensorboard", "--out", "gs://bucket/run"), "--log-to tensorboard cannot write to gs://"),
    (("mlflow",), "--log-to must be one of tensorboard, wandb, not 'mlflow'"),
    ((), "argument --log-to: expected at least one argument"),
  ],
)
def test_what_cannot_be_is_refused(given, sentence, capsys):
  assert main(["--dataset", "sst2", "--log-to", *given]) == 2
  assert sentence in capsys.readouterr().err


def test_a_folder_for_every_name(tmp_path):
  keys = [f"x/{name}/gamma=1e-05/seed=1" for name in ("a b", "..", "../..", "a\nb", "", "é" * 300)]
  board = trackers.TensorBoard(tmp_path)
  board.add_points([{"prompt_key": key, "step": 1, "cross_entropy": 0.5} for key in keys])
  assert len({key for key, *_ in tensorboard_points(tmp_path)}) == len(keys)
  assert (tmp_path / "tensorboard" / keys[0]).is_dir()
  assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_event_files_of_a_resumed_run_sort_later_even_where_the_clock_has_jumped_back(
  tmp_path, monkeypatch
):
  point = {"prompt_key": "a", "step": 1, "cross_entropy": 1.0}
  names = []
  for now in (1_800_000_000, 1_700_000_000, 1_700_000_001, 1_900_000_000):
    monkeypatch.setattr(trackers.time, "time", lambda now=now: float(now))
    trackers.TensorBoard(tmp_path).add_points([point])
    (file,) = (path for path in (tmp_path / "tensorboard").rglob("*") if path.is_file())
    names.append(file.name)
  assert names == sorted(set(names))
  assert names[-1] == "events.out.tfevents.1900000000.wayjax"
  assert len(tensorboard_points(tmp_path)) == 1


def test_what_people_read_in_a_tracker_has_nothing_unseen(wandb, tmp_path):
  evil, seen = "a\x1b[31m\u202eb", r"a\x1b[31m\u202eb"
  (tmp_path / evil).mkdir()
  tracker = trackers.Wandb(tmp_path / evil, {})
  tracker.add_points([{"prompt_key": evil, "step": 1, "cross_entropy": 0.5}])
  tracker.add_rows([{"prompt_key": evil, "accuracy": 0.5}])
  tracker.close(failed=False)
  (told,) = wandb.runs
  assert told.options["name"] == seen
  assert told.points() == [(1, f"cross_entropy/{seen}", 0.5)]
  assert told.summary[f"row/accuracy/{seen}"] == 0.5
  assert told.summary["rows"]["data"] == [[seen, 0.5]]
