"""Checkpoints of any pytree: found again by what they are of, unless they are damaged."""

import contextlib
import errno
import json
import logging
import os
import threading
import time
from pathlib import Path

import bucket
import chex
import disks
import forall
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import load
from safetensors.numpy import save as to_bytes

from wayjax.devices import processes
from wayjax.errors import WayjaxError
from wayjax.results import storage
from wayjax.tuning import checkpoint
from wayjax.tuning.checkpoint import FILES, Checkpoints


def tree(size: int, value: float = 1.0) -> dict:
  """Arrays of jax and of NumPy, of several types."""
  return {
    "prompts": jnp.full((size, 3, 4), value),
    "counts": (np.arange(size, dtype=np.int32), np.float32([[value, -0.0]])),
    "others": [jnp.full((), value, jnp.float16), np.array([True, False]), np.zeros((0, 2), "u4")],
  }


@pytest.fixture
def checkpoints(tmp_path):
  made = Checkpoints(str(tmp_path / "checkpoints"), 0)
  yield made
  made.close()


@pytest.fixture
def logged(caplog):
  """What the package logs."""
  caplog.set_level(logging.WARNING, logger="wayjax")
  return caplog


def save(checkpoints, number, *, members=("a", "b"), step=5, value=1.0):
  checkpoints.save(number, tree(2, value), members=list(members), step=step, size=2)


def restore(checkpoints, *, members=("a", "b"), size=2):
  return checkpoints.restore(tree(size, 0.0), members=list(members), size=size)


def test_a_state_comes_back_with_its_step(checkpoints, logged):
  save(checkpoints, 1, step=5, value=0.1)
  checkpoints.wait()
  state, step = restore(checkpoints)
  chex.assert_trees_all_equal(state, tree(2, 0.1))
  chex.assert_trees_all_equal_dtypes(state, tree(2))
  assert step == 5
  assert not logged.records


def test_the_newest_of_the_same_members_is_found(checkpoints):
  save(checkpoints, 1, members=("a",), value=1.0)
  save(checkpoints, 2, members=("b",), value=2.0)
  checkpoints.wait()
  for members, value in ((("a",), 1.0), (("b",), 2.0)):
    chex.assert_trees_all_equal(restore(checkpoints, members=members).state, tree(2, value))
  assert restore(checkpoints, members=("a", "b")) is None
  save(checkpoints, 3, members=("b",), value=3.0)
  checkpoints.wait()
  chex.assert_trees_all_equal(restore(checkpoints, members=("b",)).state, tree(2, 3.0))
  assert len(FILES) == 2
  assert restore(checkpoints, members=("a",)) is None  # the oldest has gone


def test_a_state_of_another_number_of_devices_starts_again(checkpoints, logged):
  save(checkpoints, 1)
  checkpoints.wait()
  assert restore(checkpoints, size=4) is None
  assert "was made on another number of devices: its members start again" in logged.text
  assert restore(checkpoints) is not None  # it is there still


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[bytes, bytes]:
  """The bytes of two checkpoints of the same members."""
  folder = tmp_path_factory.mktemp("written")
  made = Checkpoints(str(folder), 0)
  save(made, 1, step=4, value=1.0)
  save(made, 2, step=5, value=2.0)
  made.close()
  return tuple((folder / file).read_bytes() for file in FILES)


def read(folder: Path, *contents: bytes):
  """What is restored from files of these contents."""
  folder.mkdir(exist_ok=True)
  for file, content in zip(FILES, contents):
    forall.put(folder / file, content)
  made = Checkpoints(str(folder), 0)
  try:
    return restore(made)
  finally:
    made.close()


@forall.forall(100, at=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_a_changed_bit_anywhere_in_a_checkpoint_is_found(written, tmp_path, logged, at, bit):
  logged.clear()
  first, second = written
  changed = bytearray(second)
  changed[at % len(second)] ^= 1 << bit
  state, step = read(tmp_path / "run", first, bytes(changed))
  assert step == 4
  chex.assert_trees_all_equal(state, tree(2, 1.0))
  assert "1.safetensors is damaged (" in logged.text
  assert "the one before it is used, and the next takes its place" in logged.text
  assert [record.name for record in logged.records].count("wayjax") == 1


@forall.forall(50, edits=forall.EDITS)
def test_of_damaged_checkpoints_none_is_used(written, tmp_path, edits):
  damaged = [forall.damage(content, edits) for content in written]
  if damaged[0] != written[0] and damaged[1] != written[1]:
    assert read(tmp_path / "run", *damaged) is None


@forall.forall(50, edits=forall.HEADER_EDITS)
def test_an_edited_header_changes_no_state(written, tmp_path, edits):
  first, second = written
  state, step = read(tmp_path / "run", first, forall.edit_header(second, edits))
  chex.assert_trees_all_equal(state, tree(2, {4: 1.0, 5: 2.0}[step]))  # 5: the edits change nothing


def test_a_header_of_the_wrong_shape_is_damage(written, tmp_path, logged):
  # With a checksum that matches, as only someone who means harm would write it.
  arrays = load(written[1])
  for header in ([], {}, {"number": 9}, None, 5, {"number": "9", "members": 1, "step": {}}, "x"):
    text = json.dumps(header)
    metadata = {"header": text, "checksum": str(checkpoint._checksum(text, arrays))}
    logged.clear()
    assert read(tmp_path / "run", written[0], to_bytes(arrays, metadata)).step == 4
    assert "1.safetensors is damaged (" in logged.text


def test_the_next_takes_the_place_of_a_damaged_one_and_the_sound_one_stays(written, tmp_path):
  for damaged in FILES:
    folder = tmp_path / damaged
    read(folder, *written)
    whole = {file: (folder / file).read_bytes() for file in FILES}
    (folder / damaged).write_bytes(whole[damaged][:-1])
    made = Checkpoints(str(folder), 0)
    save(made, 3, step=6)
    made.close()
    sound, replaced = sorted(FILES, key=damaged.__eq__)
    assert (folder / sound).read_bytes() == whole[sound]
    assert restore(Checkpoints(str(folder), 0)).step == 6
    assert replaced == damaged


def test_a_resumed_run_overwrites_the_older(checkpoints, tmp_path):
  for number in (1, 2, 3):
    save(checkpoints, number, step=number)
  checkpoints.wait()
  other = Checkpoints(str(tmp_path / "checkpoints"), 0)
  save(other, 4, step=4)
  other.close()
  steps = sorted(
    int(json.loads(metadata_of(tmp_path / "checkpoints" / file)["header"])["step"])
    for file in FILES
  )
  assert steps == [3, 4]


def metadata_of(path: Path) -> dict:
  content = path.read_bytes()
  return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


@contextlib.contextmanager
def failing_reads(number: int):
  """While this holds, no file can be read: for errors that no limit or permission makes."""

  def fail(path, most):
    raise OSError(number, os.strerror(number))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(storage, "open_regular", fail)
    yield


@contextlib.contextmanager
def failing_device(file: Path):
  """While this holds, reading a file fails as on a device that fails: with EIO, for real."""
  kept = file.rename(file.parent / "kept")
  file.symlink_to("/proc/self/mem")
  yield
  assert file.is_symlink()
  kept.replace(file)


@contextlib.contextmanager
def closed_to_nobody(path: Path):
  with disks.mode(path, 0), disks.as_nobody():
    yield


UNREADABLE = {
  "no file can be opened": lambda folder: disks.no_free_files(),
  "the folder is closed": closed_to_nobody,
  "the newer is closed": lambda folder: closed_to_nobody(folder / FILES[1]),
  "the older is closed": lambda folder: closed_to_nobody(folder / FILES[0]),
  "the device fails": lambda folder: failing_device(folder / FILES[1]),
  "ENOMEM": lambda folder: failing_reads(errno.ENOMEM),
  "ESTALE": lambda folder: failing_reads(errno.ESTALE),
}


@pytest.mark.parametrize("why", UNREADABLE)
@pytest.mark.parametrize("when", ["at the beginning", "later"])
def test_a_read_that_fails_for_a_moment_stops_and_changes_nothing(
  written, reachable, logged, why, when
):
  read(reachable, *written)
  made = Checkpoints(str(reachable), 0) if when == "later" else None
  message = r"cannot be (read: .*; nothing is lost: resume when it can be read|written to \(.*\))"
  with UNREADABLE[why](reachable):
    if why == "the older is closed" and made:
      assert restore(made).step == 5  # it is not needed
    else:
      with pytest.raises(WayjaxError, match=message):
        restore(made or Checkpoints(str(reachable), 0))
  assert [(reachable / file).read_bytes() for file in FILES] == list(written)
  assert restore(made or Checkpoints(str(reachable), 0)).step == 5
  assert not logged.records


def test_a_store_that_fails_for_a_moment_stops_and_changes_nothing(monkeypatch):
  store = bucket.install(monkeypatch)
  made = Checkpoints("gs://bucket/run/checkpoints", 0)
  save(made, 1)
  made.close()
  before = store.objects()

  def fail(*args, **options):
    raise RuntimeError("503: try again")

  for call in ("cat", "ls"):
    with monkeypatch.context() as patch:
      patch.setattr(store, call, fail)
      with pytest.raises(WayjaxError, match="cannot be read: 503: try again; nothing is lost"):
        Checkpoints("gs://bucket/run/checkpoints", 0)
  assert store.objects() == before
  assert restore(Checkpoints("gs://bucket/run/checkpoints", 0)).step == 5


def test_a_state_may_change_while_it_is_saved(checkpoints):
  def large(value):  # so that writing takes longer than what follows
    return {"on_host": np.full(2**20, value, np.float32), "on_device": jnp.full(2**20, value)}

  state = large(3.0)
  checkpoints.save(1, state, members=["a"], step=5, size=2)
  state["on_host"][:] = 7
  taken_over = jax.jit(lambda x: x + 1, donate_argnums=0)(state["on_device"])
  assert taken_over[0] == 4
  checkpoints.wait()
  found = checkpoints.restore(large(0.0), members=["a"], size=2)
  chex.assert_trees_all_equal(found.state, large(3.0))


def test_they_are_due_so_many_seconds_after_the_last(tmp_path, monkeypatch):
  now = time.monotonic()
  made = Checkpoints(str(tmp_path / "checkpoints"), 60)
  monkeypatch.setattr(time, "monotonic", lambda: now + 59)
  assert not made.due()
  monkeypatch.setattr(time, "monotonic", lambda: now + 121)
  assert made.due()
  save(made, 1)
  made.wait()
  assert not made.due()
  made.close()


def test_another_run_finds_them_too(checkpoints, tmp_path, monkeypatch):
  save(checkpoints, 1)
  checkpoints.wait()
  monkeypatch.chdir(tmp_path)
  other = Checkpoints("checkpoints", 0)  # a relative path
  assert restore(other).step == 5
  other.close()


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path):
  (tmp_path / "file").write_text("in the way")
  with pytest.raises(WayjaxError, match=r"cannot be written to \(.*\); what was written so far"):
    Checkpoints(str(tmp_path / "file" / "checkpoints"), 0)


def grown(value: float) -> dict:
  """A state that takes much more than `tree`'s."""
  return {"prompts": np.full(2**15, value, np.float32)}


@contextlib.contextmanager
def full_disk(folder: Path):
  filler = disks.fill(folder)
  yield
  filler.unlink()


@contextlib.contextmanager
def read_only_disk(folder: Path):
  disks.make_read_only(folder)
  yield
  disks.make_writable(folder)


@contextlib.contextmanager
def read_only_folder(folder: Path):
  with disks.mode(folder, 0o555), disks.as_nobody():
    yield


UNWRITABLE = {
  "files cannot grow": (False, lambda folder: disks.largest_file(1000), "File too large"),
  "no file can be opened": (False, lambda folder: disks.no_free_files(), "Too many open files"),
  "read-only folder": (
    False,
    read_only_folder,
    "Permission denied",
  ),
  "full disk": (True, full_disk, "No space left on device"),
  "read-only disk": (True, read_only_disk, "Read-only file system"),
}


@pytest.mark.parametrize("why", UNWRITABLE)
def test_one_that_cannot_be_written_is_one_sentence_at_once_and_those_before_stay(
  reachable, why, logged
):
  own_disk, hindrance, message = UNWRITABLE[why]
  with contextlib.ExitStack() as stack:
    folder = reachable / "disk"
    if own_disk:
      stack.enter_context(disks.small(folder, "256k"))
    else:
      folder.mkdir(mode=0o777)
    made, threads = Checkpoints(str(folder), 0), threading.enumerate()
    save(made, 1, value=1.0)
    made.wait()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    started = time.monotonic()
    with hindrance(folder):
      for number in (2, 3):  # it is said each time, never twice for one
        made.save(number, grown(2.0), members=["a", "b"], step=9, size=2)
        with pytest.raises(WayjaxError, match=f"{folder} cannot be written to .{message}.; what"):
          made.wait()
        made.wait()
      made.save(4, grown(2.0), members=["a", "b"], step=9, size=2)
      with pytest.raises(WayjaxError, match=message):
        made.close()
      made.close()
    assert time.monotonic() - started < 5
    assert threading.enumerate() == threads  # none is left to keep the process alive
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    again = Checkpoints(str(folder), 0)
    chex.assert_trees_all_equal(restore(again).state, tree(2, 1.0))
    save(again, 5, value=5.0)
    again.close()
    chex.assert_trees_all_equal(restore(again).state, tree(2, 5.0))
    assert not logged.records


@pytest.mark.parametrize("why", ["read-only folder", "read-only disk", "no file can be opened"])
def test_a_folder_in_which_nothing_can_be_written_is_refused_before_training(reachable, why):
  own_disk, hindrance, message = UNWRITABLE[why]
  with contextlib.ExitStack() as stack:
    folder = reachable / "disk"
    stack.enter_context(disks.small(folder, "256k")) if own_disk else folder.mkdir()
    with hindrance(folder), pytest.raises(WayjaxError, match=f"written to .{message}.; what"):
      Checkpoints(str(folder), 0)


def test_what_a_killed_process_was_writing_is_cleared(checkpoints, tmp_path):
  folder = tmp_path / "checkpoints"
  (folder / "0.safetensors.1a2b.partial").write_bytes(b"half")
  (folder / "other").write_bytes(b"not ours")
  Checkpoints(str(folder), 0)
  assert [path.name for path in folder.iterdir()] == ["other"]


def test_one_that_is_being_written_is_waited_for(checkpoints, logged):
  save(checkpoints, 1, value=0.5)
  chex.assert_trees_all_equal(restore(checkpoints).state, tree(2, 0.5))
  assert not logged.records


def as_one_of_two(monkeypatch, others: list) -> None:
  """Makes this process one of two: what it tells and what the other tells come together."""
  monkeypatch.setattr(processes, "gather", lambda *told: np.array([others, told], np.float64))


def test_all_processes_stop_where_the_first_cannot_write(checkpoints, monkeypatch):
  save(checkpoints, 1)
  as_one_of_two(monkeypatch, [False])
  with pytest.raises(WayjaxError, match="checkpoints cannot be written to by the first process"):
    checkpoints.wait()


@pytest.mark.parametrize("other", [(-1, False), (4, False), (5, True)])
def test_processes_that_read_different_checkpoints_stop(checkpoints, monkeypatch, other):
  save(checkpoints, 1)
  checkpoints.wait()
  monkeypatch.setattr(checkpoints, "wait", lambda: None)
  as_one_of_two(monkeypatch, [5, False])
  assert restore(checkpoints).step == 5
  as_one_of_two(monkeypatch, [*other])
  with pytest.raises(WayjaxError, match=r"do not read the same checkpoints in .* share"):
    restore(checkpoints)


def test_only_the_first_process_writes(tmp_path, monkeypatch):
  monkeypatch.setattr(processes, "is_first", lambda: False)
  made = Checkpoints(str(tmp_path / "checkpoints"), 0)
  save(made, 1)
  made.close()
  assert not (tmp_path / "checkpoints").exists()
