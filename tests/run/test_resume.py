"""A run that was cut off, at whatever moment, ends with the bits of one that was not."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import bucket
import jax
import numpy as np
import pytest
import tiny
from orbax.checkpoint import v1 as ocp

import wayjax
from wayjax import report
from wayjax.results import folder, storage
from wayjax.run import main
from wayjax.tuning import sweep
from wayjax.tuning.checkpoint import Checkpoints
from wayjax.tuning.chunk import ChunkTraining
from wayjax.tuning.program import ChunkState
from wayjax.tuning.step import StepLosses, init_state

STEPS = 60


@pytest.fixture
def options(model_dir, data_dir):
  """A run of two chunks of one length and one of another, with many checkpoints."""
  return [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir),
    "--seeds", "1", "10", "--steps", str(STEPS), "--precision", "float32",
    "--members-at-once", "2", "--checkpoint-every", "0", "--eval-every", "30",
    "--target", "read me", "--target", "or this one, a long one",
  ]  # fmt: skip


def what_counts(folder):
  """Rows without times, prompts and training curves of a run folder."""
  run = wayjax.read_run(folder)
  rows = [{k: v for k, v in row.items() if k != "wall_seconds"} for row in run.rows]
  prompts = {key: run.prompt(key).tobytes() for key in sorted(run.prompt_keys())}
  return rows, prompts, run.metrics


@pytest.fixture
def undisturbed(options, tmp_path):
  assert main([*options, "--out", str(tmp_path / "undisturbed")]) == 0
  return what_counts(tmp_path / "undisturbed")


class Cut(BaseException):
  """Ends a run as a kill would: nothing may catch it."""


def cut(monkeypatch, owner, name, times):
  """Makes a function end the run at its n-th call, before or after it does its work."""
  original, calls = getattr(owner, name), []

  def counted(*args, **kwargs):
    calls.append(1)
    if len(calls) == times[0] and times[1] == "before":
      raise Cut
    result = original(*args, **kwargs)
    if len(calls) == times[0] and times[1] == "after":
      raise Cut
    return result

  monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
  ("owner", "name", "number"),
  [
    (sweep.chunks, "compile_group", 2),
    (Checkpoints, "save", 4),
    (folder.RunWriter, "append_rows", 2),
    (folder.RunWriter, "append_metrics", 5),
    (folder.RunWriter, "write_decisions", 1),
    (storage.LocalFiles, "append", 8),
    (storage.os, "replace", 6),
  ],
)
def test_cut_off_anywhere(options, undisturbed, tmp_path, monkeypatch, owner, name, number, when):
  folder = tmp_path / "run"
  with monkeypatch.context() as patch:
    cut(patch, owner, name, (number, when))
    with pytest.raises(Cut):
      main([*options, "--out", str(folder)])
  assert main(["--resume", str(folder)]) == 0
  assert what_counts(folder) == undisturbed
  assert main(["--resume", str(folder)]) == 0  # nothing is left to do
  assert what_counts(folder) == undisturbed


def test_killed_ten_times(options, tmp_path):
  """By SIGKILL, in processes of their own: during compile, step, checkpoint and so on."""
  more = ["--target", "a third", "--target", "a fourth", "--target", "and the fifth of them"]
  done = subprocess.run(
    [sys.executable, Path(__file__).with_name("kills.py"), tmp_path, *options, *more],
    env={**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": "highest", "JAX_PLATFORMS": "cpu"},
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  assert done.stdout.splitlines()[-1].startswith("killed during")
  assert what_counts(tmp_path / "killed") == what_counts(tmp_path / "undisturbed")


def test_on_a_store_it_goes_on_as_well(options, undisturbed, tmp_path, monkeypatch):
  bucket.install(monkeypatch)
  # Orbax finds its own way to gs://, so here its checkpoints are in a file system.
  where = property(lambda writer: str(tmp_path / "checkpoints"))
  monkeypatch.setattr(folder.RunWriter, "checkpoints", where)
  with monkeypatch.context() as patch:
    cut(patch, storage.BucketFiles, "append", (7, "after"))
    with pytest.raises(Cut):
      main([*options, "--out", "gs://bucket/run"])
  assert main(["--resume", "gs://bucket/run"]) == 0
  assert what_counts("gs://bucket/run") == undisturbed


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
  options, undisturbed, tmp_path, monkeypatch, capsys
):
  folder = tmp_path / "run"
  with monkeypatch.context() as patch:
    cut(patch, Checkpoints, "save", (3, "before"))
    with pytest.raises(Cut):
      main([*options, "--out", str(folder)])
  newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
  for path in newest.rglob("*"):
    if path.is_file() and path.stat().st_size > 300:
      path.write_bytes(path.read_bytes()[:-200])
  assert main(["--resume", str(folder)]) == 0
  assert f"{newest} is damaged" in capsys.readouterr().out
  assert what_counts(folder) == undisturbed


def test_a_changed_bit_of_a_checkpoint_is_found(tmp_path):
  said = []
  checkpoints = Checkpoints(str(tmp_path / "checkpoints"), 0, said.append)

  def chunk(members):
    prompts = np.ones((members, 3, 4), np.float32)
    train = jax.vmap(functools.partial(init_state, steps=5))(prompts)
    return ChunkState(train, StepLosses(*np.zeros((2, members, 5), np.float32)))

  state = chunk(2)
  checkpoints.save(1, state, ["a"], 1)
  checkpoints.save(2, state, ["b"], 2)
  checkpoints.wait()
  assert checkpoints.restore(["c"], state) is None
  assert checkpoints.restore(["a"], chunk(4)) is None
  assert "was made on another number of devices" in said.pop()
  found, step = checkpoints.restore(["a"], state)
  assert step == 1
  assert not said
  np.testing.assert_array_equal(found.train_M.prompt_PxD, state.train_M.prompt_PxD)
  monkey = pytest.MonkeyPatch()
  monkey.setattr("wayjax.checkpoint._checksum", lambda state: 0)
  assert checkpoints.restore(["b"], state) is None
  monkey.undo()
  assert "its checksum does not fit" in said[0]
  checkpoints.close()


@pytest.mark.parametrize("name", ["results.jsonl", "metrics.jsonl"])
def test_a_torn_last_line_is_dropped_and_said_to_be(options, undisturbed, tmp_path, capsys, name):
  folder = tmp_path / "undisturbed"
  path = folder / name
  path.write_bytes(path.read_bytes()[:-7])
  assert main(["--resume", str(folder)]) == 0
  assert f"the last line of {path} had been cut off" in capsys.readouterr().out
  assert what_counts(folder)[:2] == undisturbed[:2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
  options, undisturbed, tmp_path, monkeypatch, capsys, number
):
  folder = tmp_path / "run"
  append, calls = folder.RunWriter.append_metrics, []

  def append_metrics(writer, records):
    append(writer, records)
    calls.append(1)
    if len(calls) == 3:
      signal.raise_signal(number)

  with monkeypatch.context() as patch:
    patch.setattr(folder.RunWriter, "append_metrics", append_metrics)
    assert main([*options, "--out", str(folder), "--checkpoint-every", "1000"]) == 128 + number
  assert f"python -m wayjax.run --resume {folder}" in capsys.readouterr().err
  assert len(calls) == 3
  assert main(["--resume", str(folder)]) == 0
  assert what_counts(folder) == undisturbed


class TestWhatMayChange:
  @pytest.mark.parametrize(
    ("changed", "message"),
    [
      (["--steps", "61"], f"--steps cannot change when a run goes on: it is {STEPS} in"),
      (["--gamma", "0", "0.5"], "--gamma cannot change when a run goes on: it is 0.0 0.01 in"),
      (["--members-at-once", "4"], "--members-at-once cannot change"),
      (["--out", "elsewhere"], "--out cannot change"),
    ],
  )
  def test_what_changes_numbers_is_refused(self, undisturbed, tmp_path, capsys, changed, message):
    assert main(["--resume", str(tmp_path / "undisturbed"), *changed]) == 2
    assert message in capsys.readouterr().err

  def test_other_rows_or_weights_are_refused(self, undisturbed, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    data = tiny.save_rows(tmp_path / "other", train=50)
    folder = str(tmp_path / "undisturbed")
    assert main(["--resume", folder, "--data-dir", str(data)]) == 2
    assert "the rows are not those that the run began with" in capsys.readouterr().err
    model = tiny.save_model(tmp_path / "model")
    assert main(["--resume", folder, "--model", str(model)]) == 0  # the same, elsewhere

  def test_no_run_folder(self, tmp_path, capsys):
    assert main(["--resume", str(tmp_path)]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_out_of_memory_halves_the_members_once_and_says_so(
  options, undisturbed, tmp_path, monkeypatch, capsys
):
  run = ChunkTraining.run

  def too_large(training, *arguments):
    if training._program.size > 2:
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    return run(training, *arguments)

  monkeypatch.setattr(ChunkTraining, "run", too_large)
  folder = tmp_path / "run"
  assert main([*options, "--out", str(folder), "--members-at-once", "4"]) == 0
  out = capsys.readouterr().out
  assert out.count("4 members at once do not fit the memory after all") == 2  # once a length
  assert what_counts(folder)[1] == undisturbed[1]


def test_parts_of_a_sweep_are_the_whole(options, undisturbed, tmp_path, capsys):
  folders = [str(tmp_path / f"part-{i}") for i in range(3)]
  for i, folder in enumerate(folders):
    assert main([*options, "--out", folder, "--shard", f"{i}/3"]) == 0
  parts = [wayjax.read_run(folder).rows for folder in folders]
  rows = {row["prompt_key"]: row for part in parts for row in part}
  assert sum(map(len, parts)) == len(rows) == len(undisturbed[0])
  for row in undisturbed[0]:
    assert rows[row["prompt_key"]]["accuracy"] == row["accuracy"]
    assert rows[row["prompt_key"]]["c_dist"] == pytest.approx(row["c_dist"], rel=1e-3)
  capsys.readouterr()
  assert report.main(folders) == 0
  # But for what a hair's breadth decides: the reading of prompts that no training held.
  table, whole = (
    [line.split(" | ")[:-1] for line in text.splitlines() if line.startswith("|")]
    for text in (capsys.readouterr().out, (tmp_path / "undisturbed" / "summary.md").read_text())
  )
  assert table == whole
  assert report.main([folders[0], str(tmp_path / "undisturbed")]) == 2
  assert "both hold text/text-1" in capsys.readouterr().err
  assert main([*options, "--out", str(tmp_path / "no"), "--shard", "4/5"]) == 2
  assert "--shard 4/5 is empty: the sweep has 4 pairs" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence(options, tmp_path, monkeypatch, capsys):
  def full(*args, **kwargs):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(ocp.training.Checkpointer, "save_async", full)
  assert main([*options, "--out", str(tmp_path / "run")]) == 2
  error = capsys.readouterr().err
  assert "checkpoints cannot be written to (No space left on device)" in error
  assert error.count("\n") == 1
  assert wayjax.read_run(tmp_path / "run").config["steps"] == STEPS
