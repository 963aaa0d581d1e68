"""Runs whose disk is full or read-only: one sentence, nothing lost, and the same end afterwards."""

import contextlib
import threading
import time
from pathlib import Path

import disks
import pytest
from comparison import what_counts

import wayjax
from wayjax.run import main
from wayjax.run.pipeline import RunWriter
from wayjax.tuning.checkpoint import Checkpoints

MOMENTS = {
  "checkpoint": (Checkpoints, "save", 3),
  "row": (RunWriter, "append_rows", 2),
  "point of the curves": (RunWriter, "append_metrics", 3),
}


@pytest.fixture(scope="module")
def sweep(inputs) -> list[str]:
  """Two chunks of one member each."""
  return [
    *inputs, "--seeds", "1", "10", "--gamma", "0.01", "--steps", "40", "--members-at-once", "1",
    "--checkpoint-every", "0", "--target", "read me",
  ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(sweep, tmp_path_factory) -> Path:
  """The folder of that sweep, which nothing disturbed."""
  out = tmp_path_factory.mktemp("whole") / "run"
  assert main([*sweep, "--out", str(out)]) == 0
  return out


@contextlib.contextmanager
def from_a_moment_on(moment: str, begin):
  """Calls a function right before something is written for the n-th time."""
  owner, name, number = MOMENTS[moment]
  original, calls = getattr(owner, name), []

  def counted(*args, **kwargs):
    calls.append(1)
    if len(calls) == number:
      begin()
    return original(*args, **kwargs)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(owner, name, counted)
    yield


def fails_in_one_sentence(arguments: list[str], capsys, message: str) -> None:
  """Runs wayjax, which cannot write; no thread is left that would keep its process alive."""
  threads, started = threading.enumerate(), time.monotonic()
  capsys.readouterr()
  assert main(arguments) == 2
  error = capsys.readouterr().err
  assert error.startswith("wayjax: error: ")
  assert f"cannot be written to ({message}); what was written so far stays readable" in error
  assert error.count("\n") == 1
  assert threading.enumerate() == threads
  assert time.monotonic() - started < 60


def whole_lines(path: Path) -> bytes:
  """What of a file ends in a line end."""
  content = path.read_bytes() if path.exists() else b""
  return content[: content.rfind(b"\n") + 1]


@pytest.mark.parametrize(
  ("moment", "left"),
  [("checkpoint", 0), ("row", 0), ("row", 100), ("point of the curves", 1)],
)
def test_files_that_cannot_grow_stop_a_run_and_it_ends_the_same_afterwards(
  sweep, whole, tmp_path, capsys, moment, left
):
  """Writes fail for real, wherever tests run: only so many bytes of a line find room."""
  out = tmp_path / "run"
  with contextlib.ExitStack() as stack:

    def limit():
      at_most = {
        "checkpoint": 0,
        "row": (out / "readings.jsonl").stat().st_size if moment == "row" else 0,
        "point of the curves": (out / "metrics.jsonl").stat().st_size,
      }[moment]
      stack.enter_context(disks.largest_file(at_most + left))

    with from_a_moment_on(moment, limit):
      fails_in_one_sentence([*sweep, "--out", str(out)], capsys, "File too large")
  before = whole_lines(out / "results.jsonl")
  rows = what_counts(out)[0]
  assert what_counts(whole)[0][: len(rows)] == rows
  assert not list(out.rglob("*.partial"))
  assert main(["--resume", str(out)]) == 0
  assert what_counts(out) == what_counts(whole)
  assert (out / "results.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize(
  ("moment", "state"),
  [("checkpoint", "full"), ("row", "full"), ("point of the curves", "full"), ("row", "read-only")],
)
def test_a_disk_that_is_full_or_read_only_stops_a_run_and_it_ends_the_same_afterwards(
  sweep, whole, tmp_path, capsys, moment, state
):
  message = "No space left on device" if state == "full" else "Read-only file system"
  with disks.small(tmp_path / "disk", "2m") as disk:
    out = disk / "run"
    hinder = disks.fill if state == "full" else disks.make_read_only
    with from_a_moment_on(moment, lambda: hinder(disk)):
      fails_in_one_sentence([*sweep, "--out", str(out)], capsys, message)
    before = whole_lines(out / "results.jsonl")
    if state == "read-only":
      disks.make_writable(disk)
    disks.resize(disk, "4m")
    assert main(["--resume", str(out)]) == 0
    assert what_counts(out) == what_counts(whole)
    assert (out / "results.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize("size", ["4k", "16k", "48k"])
def test_a_disk_that_is_too_small_is_one_sentence(sweep, whole, tmp_path, capsys, size):
  """At the configuration, at the first checkpoint, at the first row and so on."""
  with disks.small(tmp_path / "disk", size) as disk:
    out = disk / "run"
    threads = threading.enumerate()
    assert main([*sweep, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "cannot be written to (No space left on device)" in error
    assert error.count("\n") == 1
    assert threading.enumerate() == threads
    disks.resize(disk, "2m")
    begun = (out / "config.json").exists()
    arguments = ["--resume", str(out)] if begun else [*sweep, "--out", str(out)]
    assert main(arguments) == 0
    assert what_counts(out) == what_counts(whole)


@pytest.mark.parametrize("moment", ["row", "point of the curves"])
def test_a_folder_that_becomes_another_user_s_stops_a_run_and_it_ends_the_same_afterwards(
  sweep, whole, reachable, capsys, moment
):
  out = reachable / "run"
  with contextlib.ExitStack() as stack:

    def take_over():
      stack.enter_context(disks.of_another_user(out))

    with from_a_moment_on(moment, take_over):
      fails_in_one_sentence([*sweep, "--out", str(out)], capsys, "Permission denied")
  assert main(["--resume", str(out)]) == 0
  assert what_counts(out) == what_counts(whole)


def test_a_resumed_run_that_cannot_write_checkpoints_says_so_before_it_trains(
  sweep, tmp_path, capsys
):
  with disks.small(tmp_path / "disk", "2m") as disk:
    out = disk / "run"
    with from_a_moment_on("row", lambda: disks.make_read_only(disk)):
      assert main([*sweep, "--out", str(out)]) == 2
    started = time.monotonic()
    rows = wayjax.read_run(out).rows
    assert main(["--resume", str(out)]) == 2
    assert time.monotonic() - started < 30
    assert "Read-only file system" in capsys.readouterr().err
    assert wayjax.read_run(out).rows == rows
