"""One process at a time writes a run folder, wherever it is."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import bucket
import disks
import fsspec
import numpy as np
import pytest

from wayjax.errors import WayjaxError
from wayjax.files import PARTIAL
from wayjax.results import lock, run_files
from wayjax.results.folder import read_run
from wayjax.results.lock import HOLDER, LOCK, FolderTaken
from wayjax.results.writer import RunWriter

RACES = Path(__file__).with_name("races.py")
HOLDING = """
import sys, time
from wayjax.results.writer import RunWriter

writer = RunWriter.begin(sys.argv[1])
writer.write_config({})
print("held", flush=True)
time.sleep(60)
"""


RENEWED_EVERY = 0.3  # seconds: shorter than a user's, longer than a busy machine holds a thread up


@pytest.fixture(
  params=["file system", errno.ENOLCK, errno.ENOSYS, "gs://"],
  ids=["file system", "ENOLCK", "ENOSYS", "gs://"],
)
def place(request, tmp_path, monkeypatch):
  """A folder of a file system, of one that cannot lock and says so in some way, or of a bucket."""
  monkeypatch.setattr(lock, "RENEWED_EVERY", RENEWED_EVERY)
  if request.param == "gs://":
    bucket.install(monkeypatch)
    return "gs://bucket/runs/one"
  if request.param != "file system":

    def cannot_lock(*_):
      raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", cannot_lock)
  return tmp_path / "run"


def test_of_two_that_start_together_one_gets_the_folder(tmp_path):
  command = [sys.executable, RACES, tmp_path]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  pairs = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(pairs) == 10
  for number, pair in enumerate(pairs):
    first, second = pair["begun"]
    assert first == ""
    # The second may see the first's lock or what the first has written already.
    refused = rf"--out {re.escape(str(tmp_path / str(number)))} is (in use by|not empty: )"
    assert re.match(refused, second)
    first, second = pair["resumed"]
    assert first == ""
    assert f"{tmp_path / str(number)} is in use by " in second
    assert second.endswith("wait until it ends, or stop it")


def test_a_folder_is_held_from_its_first_moment_to_the_last(place, request):
  can_lock = request.node.callspec.params["place"] == "file system"
  with RunWriter.begin(place) as writer:
    # A soft lock, as some libraries take where nothing can be locked, would outlive a dead process.
    assert isinstance(writer._files._lock, lock.SystemLock if can_lock else lock.Lease)
    with pytest.raises(FolderTaken, match=f"is in use by process {os.getpid()} on .*, since 20"):
      RunWriter.begin(place)
    writer.write_config({})
    with pytest.raises(FolderTaken, match="is not empty: name a new folder"):
      RunWriter.begin(place)
    with pytest.raises(FolderTaken, match=r"is in use by .* wait until it ends, or stop it"):
      RunWriter.resume(place)
    writer.append_rows([], {"a": np.ones((2, 3), np.float32)})
    assert read_run(place).prompt_keys() == ["a"]  # reading needs no permission
  with RunWriter.resume(place):
    pass
  store, root = fsspec.core.url_to_fs(str(place))
  names = {path.rsplit("/", 1)[-1] for path in store.ls(root, detail=False)}
  assert {HOLDER, LOCK}.isdisjoint(names)


def test_what_the_holder_is_writing_at_the_moment_is_read_again(place, monkeypatch):
  with RunWriter.begin(place) as writer:
    whole, read = writer._files.read(HOLDER), []

    def torn(files, name):
      read.append(name)
      return [None, b"", whole[: len(whole) // 2], whole][min(len(read), 4) - 1]

    monkeypatch.setattr(run_files.Files, "read", torn)
    with pytest.raises(FolderTaken, match=f"is in use by process {os.getpid()} on .*, since 20"):
      RunWriter.begin(place)
    assert read == [HOLDER] * 4


def test_a_holder_that_says_nothing_is_another_process():
  assert lock.name_holder(lambda: b"{") == lock.name_holder(lambda: None) == "another process"


def test_a_folder_that_cannot_be_resumed_is_given_back(place):
  with RunWriter.begin(place) as writer:
    writer.write_config({})
    writer._files.replace("results.jsonl", b"[]\n")
  for _ in range(2):
    with pytest.raises(WayjaxError, match="line 1 is damaged"):
      RunWriter.resume(place)


def test_what_is_no_run_folder_is_not_locked(tmp_path):
  with pytest.raises(WayjaxError, match="is not a run folder"):
    RunWriter.resume(tmp_path)
  assert not list(tmp_path.iterdir())


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
  run = tmp_path / "run"
  command = [sys.executable, "-c", HOLDING, run]
  with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(FolderTaken, match=f"is in use by process {holder.pid} on"):
      RunWriter.resume(run)
    holder.send_signal(signal.SIGKILL)
  assert (run / LOCK).exists()
  left = run / f"results.jsonl.0123{PARTIAL}"
  left.touch()
  RunWriter.resume(run).close()
  assert not left.exists()


def test_a_folder_that_cannot_be_held_holds_no_lock(tmp_path):
  with disks.small(tmp_path / "disk", "64k") as disk:
    (disk / "run").mkdir()
    filler = disks.fill(disk)
    with pytest.raises(WayjaxError, match="No space left on device"):
      RunWriter.begin(disk / "run")
    assert list((disk / "run").iterdir()) == []
    filler.unlink()
    RunWriter.begin(disk / "run").close()


def test_a_pipe_in_place_of_the_holder_is_not_waited_for(tmp_path):
  (tmp_path / "run").mkdir()
  os.mkfifo(tmp_path / "run" / HOLDER)
  with RunWriter.begin(tmp_path / "run"):
    assert (tmp_path / "run" / HOLDER).is_file()


def test_a_folder_with_the_lock_of_a_dead_run_alone_is_empty(tmp_path):
  (tmp_path / LOCK).touch()
  (tmp_path / HOLDER).write_text("{")
  with RunWriter.begin(tmp_path) as writer:
    writer.write_config({})
  assert read_run(tmp_path).config == {}


class TestLease:
  @pytest.fixture
  def store(self, monkeypatch):
    monkeypatch.setattr(lock, "RENEWED_EVERY", RENEWED_EVERY)
    return bucket.install(monkeypatch)

  def test_one_that_is_not_renewed_is_a_dead_process_s(self, store, caplog):
    with RunWriter.begin("gs://bucket/run") as writer:
      writer.write_config({})
      left = store.objects()["bucket/run/" + HOLDER]
    fsspec.filesystem("gs").pipe_file("bucket/run/" + HOLDER, left)
    caplog.set_level("INFO")
    RunWriter.resume("gs://bucket/run").close()
    assert f"process {os.getpid()} on" in caplog.text
    assert "holds the run folder, or died: waiting" in caplog.text

  def test_whoever_lost_it_writes_nothing_more(self, store):
    writer = RunWriter.begin("gs://bucket/run")
    writer.write_config({})
    fsspec.filesystem("gs").pipe_file("bucket/run/" + HOLDER, b"another")
    while writer._files._lock._thread.is_alive():
      time.sleep(0.01)
    before = store.objects()
    with pytest.raises(FolderTaken, match=r"another process took .*: this run ends here"):
      writer.append_metrics([{"step": 1}])
    with pytest.raises(FolderTaken):
      writer.write_config({"another": 1})
    writer.close()
    assert store.objects() == before

  def test_a_store_that_fails_for_a_moment_does_not_end_it(self, store, monkeypatch):
    fails = []

    def fail(*args, **options):
      fails.append(1)
      raise OSError("for a moment")

    with RunWriter.begin("gs://bucket/run") as writer:
      with monkeypatch.context() as patch:
        patch.setattr(store, "cat_file", fail)
        while len(fails) < 3:
          time.sleep(0.01)
      writer.write_config({})
      with pytest.raises(FolderTaken):
        RunWriter.resume("gs://bucket/run")
