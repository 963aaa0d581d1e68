"""A run that was cut off, at whatever moment, ends with the bits of one that was not."""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bucket
import chex
import jax
import numpy as np
import pytest
import tiny
from comparison import what_counts
from safetensors.numpy import save_file

import wayjax
from wayjax import report
from wayjax.results import storage
from wayjax.results.writer import RunWriter
from wayjax.run import main
from wayjax.tuning import groups, program, sweep
from wayjax.tuning.checkpoint import FILES, Checkpoints
from wayjax.tuning.chunk import ChunkState, train_chunk
from wayjax.tuning.step import StepLosses, init_state

STEPS = 60


@pytest.fixture
def copied(undisturbed, tmp_path) -> Path:
  """A copy of the undisturbed run's folder, which may be changed."""
  return shutil.copytree(undisturbed, tmp_path / "copied")


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


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.nightly), "after"])
@pytest.mark.parametrize(
  ("owner", "name", "number"),
  [
    (program, "compile_group", 2),
    (Checkpoints, "save", 4),
    (RunWriter, "append_rows", 2),
    (RunWriter, "append_metrics", 5),
    (RunWriter, "write_decisions", 1),
    (storage.LocalFiles, "append", 8),
    (storage.os, "replace", 6),
  ],
)
def test_cut_off_anywhere(options, undisturbed, tmp_path, monkeypatch, owner, name, number, when):
  out = tmp_path / "run"
  with monkeypatch.context() as patch:
    cut(patch, owner, name, (number, when))
    with pytest.raises(Cut):
      main([*options, "--out", str(out)])
  assert main(["--resume", str(out)]) == 0
  assert what_counts(out) == what_counts(undisturbed)
  assert main(["--resume", str(out)]) == 0  # nothing is left to do
  assert what_counts(out) == what_counts(undisturbed)


def kill(count: int, sweep: list[str], folder: Path) -> None:
  """A run that is killed by SIGKILL so often ends like one that is not; see `kills.py`."""
  whole, out = folder / "whole", folder / "run"
  assert main([*sweep, "--out", str(whole)]) == 0
  done = subprocess.run(
    [sys.executable, Path(__file__).with_name("kills.py"), out, str(count), *sweep],
    env={**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": "highest", "JAX_PLATFORMS": "cpu"},
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  ended, moments = done.stdout.splitlines()[-1].split(" during ")
  assert ended == "killed"
  assert len(moments.split(", ")) == count
  assert what_counts(out) == what_counts(whole)


TWO_LENGTHS = ["--target", "read me", "--target", "or this one, a long one"]


def test_killed_ten_times(inputs, tmp_path):
  """In processes of their own: during compile, step, checkpoint and so on; then by SIGHUP."""
  sweep = [*inputs, *TWO_LENGTHS, "--seeds", "1", "2", "3", "4", "--gamma", "0.01", "--steps", "40"]
  kill(10, [*sweep, "--members-at-once", "1", "--checkpoint-every", "0"], tmp_path)


def test_prompts_of_two_lengths_that_share_a_program_go_on_sharing_it(
  inputs, tmp_path, monkeypatch
):
  sweep = [*inputs, *TWO_LENGTHS, "--seeds", "1", "--steps", "25", "--members-at-once", "1"]
  whole, out = tmp_path / "whole", tmp_path / "run"
  with monkeypatch.context() as patch:
    patch.setitem(groups.PROGRAM_POSITIONS, "cpu", 20_000)
    assert main([*sweep, "--out", str(whole)]) == 0
    cut(patch, RunWriter, "append_rows", (2, "after"))
    with pytest.raises(Cut):
      main([*sweep, "--out", str(out)])
  # What was decided counts, not what would be decided now.
  assert main(["--resume", str(out)]) == 0
  (decision,) = wayjax.read_run(out).decisions()
  assert (decision["padded"], decision["paddings"]) == (24, [24])
  assert what_counts(out) == what_counts(whole)


@pytest.mark.nightly
def test_killed_twenty_times(inputs, tmp_path):
  """Once before the first row and checkpoint, then twenty times after, ten of these at any time."""
  seeds = [str(seed) for seed in range(1, 13)]
  sweep = [*inputs, *TWO_LENGTHS, "--seeds", *seeds, "--steps", "200"]
  kill(21, [*sweep, "--members-at-once", "2", "--checkpoint-every", "1"], tmp_path)


def test_on_a_store_it_is_resumed_as_well(options, undisturbed, monkeypatch):
  store = bucket.install(monkeypatch)
  with monkeypatch.context() as patch:
    cut(patch, storage.BucketFiles, "append", (7, "after"))
    with pytest.raises(Cut):
      main([*options, "--out", "gs://bucket/run"])
  assert {f"bucket/run/checkpoints/{file}" for file in FILES} <= store.objects().keys()
  assert main(["--resume", "gs://bucket/run"]) == 0
  assert what_counts("gs://bucket/run") == what_counts(undisturbed)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
  options, undisturbed, tmp_path, monkeypatch, capsys
):
  out = tmp_path / "run"
  with monkeypatch.context() as patch:
    cut(patch, Checkpoints, "save", (3, "before"))
    with pytest.raises(Cut):
      main([*options, "--out", str(out)])
  newest = max((out / "checkpoints").iterdir(), key=lambda path: path.stat().st_mtime_ns)
  newest.write_bytes(newest.read_bytes()[:-200])
  assert main(["--resume", str(out)]) == 0
  assert f"warning: checkpoint {newest} is damaged" in capsys.readouterr().out
  assert what_counts(out) == what_counts(undisturbed)


def chunk_state(members: int) -> ChunkState:
  """A chunk of that many members before its first step."""
  prompts = np.ones((members, 3, 4), np.float32)
  train = jax.vmap(functools.partial(init_state, steps=5))(prompts)
  return ChunkState(train, StepLosses(*np.zeros((2, members, 5), np.float32)))


def test_the_state_of_a_chunk_is_found_by_its_members_and_size(tmp_path, caplog):
  def logged() -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == "wayjax"]
    caplog.clear()
    return found

  checkpoints, state = Checkpoints(str(tmp_path / "checkpoints"), 0), chunk_state(2)
  checkpoints.save(1, state, members=["a"], step=1, size=2)
  checkpoints.save(2, state, members=["b"], step=2, size=2)
  checkpoints.wait()
  assert checkpoints.restore(state, members=["c"], size=2) is None
  assert not logged()
  assert checkpoints.restore(chunk_state(4), members=["a"], size=4) is None
  (sentence,) = logged()
  assert "was made on another number of devices" in sentence
  found, step = checkpoints.restore(state, members=["a"], size=2)
  assert step == 1
  assert not logged()
  chex.assert_trees_all_equal(found, state)
  newer = tmp_path / "checkpoints" / FILES[1]
  changed = bytearray(newer.read_bytes())
  changed[-1] ^= 1
  newer.write_bytes(changed)
  assert checkpoints.restore(state, members=["b"], size=2) is None
  assert "its checksum does not match" in logged()[0]
  checkpoints.close()


def test_a_checkpoint_that_is_being_written_is_not_damaged(tmp_path, caplog):
  checkpoints, state = Checkpoints(str(tmp_path / "checkpoints"), 0), chunk_state(2)
  checkpoints.save(1, state, members=["a"], step=1, size=2)
  assert checkpoints.restore(state, members=["a"], size=2).step == 1
  assert [record for record in caplog.records if record.name == "wayjax"] == []
  checkpoints.close()


@pytest.mark.parametrize("name", ["results.jsonl", "metrics.jsonl"])
def test_a_torn_last_line_is_dropped_with_a_warning(undisturbed, copied, capsys, name):
  path = copied / name
  path.write_bytes(path.read_bytes()[:-7])
  assert main(["--resume", str(copied)]) == 0
  assert f"warning: the last line of {path} had been cut off" in capsys.readouterr().out
  assert what_counts(copied)[:2] == what_counts(undisturbed)[:2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_resume(
  options, undisturbed, tmp_path, monkeypatch, capsys, number
):
  out = tmp_path / "run"
  append, calls = RunWriter.append_metrics, []

  def append_metrics(writer, records):
    append(writer, records)
    calls.append(1)
    if len(calls) == 3:
      signal.raise_signal(number)

  with monkeypatch.context() as patch:
    patch.setattr(RunWriter, "append_metrics", append_metrics)
    assert main([*options, "--out", str(out), "--checkpoint-every", "1000"]) == 128 + number
  assert f"python -m wayjax.run --resume {out}" in capsys.readouterr().err
  assert len(calls) == 3
  assert main(["--resume", str(out)]) == 0
  assert what_counts(out) == what_counts(undisturbed)


def test_a_clock_that_jumps_back_changes_nothing(options, undisturbed, tmp_path, monkeypatch):
  days = itertools.count(20_000, -1)
  out = tmp_path / "run"
  monkeypatch.setattr(time, "time", lambda: next(days) * 86_400.0)
  with monkeypatch.context() as patch:
    cut(patch, Checkpoints, "save", (6, "before"))
    with pytest.raises(Cut):
      main([*options, "--out", str(out)])
  os.utime(out / "checkpoints" / FILES[0], (0, 0))  # as they are where another clock wrote them
  os.utime(out / "config.json", (2**32, 2**32))
  assert main(["--resume", str(out)]) == 0
  assert what_counts(out) == what_counts(undisturbed)
  assert all(row["wall_seconds"] > 0 for row in wayjax.read_run(out).rows)
  assert next(days) < 20_000


class TestWhatMayChange:
  @pytest.mark.parametrize(
    ("changed", "message"),
    [
      (["--steps", "61"], f"--steps cannot change when a run is resumed: it is {STEPS} in"),
      (["--gamma", "0", "0.5"], "--gamma cannot change when a run is resumed: it is 0.0 0.01 in"),
      (["--members-at-once", "4"], "--members-at-once cannot change"),
      (["--out", "elsewhere"], "--out cannot change"),
    ],
  )
  def test_what_changes_numbers_is_refused(self, undisturbed, capsys, changed, message):
    assert main(["--resume", str(undisturbed), *changed]) == 2
    assert message in capsys.readouterr().err

  def test_other_rows_or_weights_are_refused(self, copied, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    data = tiny.save_rows(tmp_path / "other", train=50)
    assert main(["--resume", str(copied), "--data-dir", str(data)]) == 2
    assert "the rows are not those that the run began with" in capsys.readouterr().err
    model = tiny.save_model(tmp_path / "model")
    same = (model / "model.safetensors").read_bytes()
    save_file(tiny.tensors(seed=1), model / "model.safetensors")
    assert main(["--resume", str(copied), "--model", str(model)]) == 2
    assert "the model's weights are not those that the run began with" in capsys.readouterr().err
    (model / "model.safetensors").write_bytes(same)
    assert main(["--resume", str(copied), "--model", str(model)]) == 0  # the same, elsewhere

  def test_not_a_run_folder(self, tmp_path, capsys):
    assert main(["--resume", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_out_of_memory_halves_the_members_once_and_says_so(
  options, undisturbed, tmp_path, monkeypatch, capsys
):
  def too_large(lm, tokens, chunk, program, *rest):
    if program.size > 2:
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    return train_chunk(lm, tokens, chunk, program, *rest)

  monkeypatch.setattr(sweep, "train_chunk", too_large)
  out = tmp_path / "run"
  assert main([*options, "--out", str(out), "--members-at-once", "4"]) == 0
  shown = capsys.readouterr().out
  # Once a length.
  assert shown.count("warning: 4 members at once do not fit the memory after all") == 2
  assert what_counts(out)[1] == what_counts(undisturbed)[1]


def test_parts_of_a_sweep_are_the_whole(inputs, tmp_path, capsys):
  # Steps and seeds whose batches take rows of one size, so that the parts share their programs.
  sweep = [*inputs, "--seeds", "1", "4", "--steps", "45", "--members-at-once", "2"]
  sweep += ["--target", "read me", "--target", "or this one, a long one"]
  whole, folders = str(tmp_path / "whole"), [str(tmp_path / f"part-{i}") for i in range(3)]
  assert main([*sweep, "--out", whole]) == 0
  for i, out in enumerate(folders):
    assert main([*sweep, "--out", out, "--shard", f"{i}/3"]) == 0
  parts = [wayjax.read_run(out).rows for out in folders]
  rows = {row["prompt_key"]: row for part in parts for row in part}
  assert sum(map(len, parts)) == len(rows) == len(wayjax.read_run(whole).rows) == 8
  for row in wayjax.read_run(whole).rows:
    assert rows[row["prompt_key"]]["accuracy"] == row["accuracy"]
    assert rows[row["prompt_key"]]["c_dist"] == pytest.approx(row["c_dist"], rel=1e-3)
  capsys.readouterr()
  assert report.main(folders) == 0
  # But for what a hair's breadth decides: the reading of prompts that no training held.
  table, expected = (
    [line.split(" | ")[:-1] for line in text.splitlines() if line.startswith("|")]
    for text in (capsys.readouterr().out, (tmp_path / "whole" / "summary.md").read_text())
  )
  assert table == expected
  assert report.main([folders[0], whole]) == 2
  assert "both hold text/text-1" in capsys.readouterr().err
  assert main([*sweep, "--out", str(tmp_path / "no"), "--shard", "4/5"]) == 2
  assert "--shard 4/5 is empty: the sweep has 4 pairs" in capsys.readouterr().err
