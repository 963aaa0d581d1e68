"""Checkpoints of any pytree: found again by what they are of, unless they are damaged."""

import logging
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wayjax.errors import WayjaxError
from wayjax.tuning import checkpoint
from wayjax.tuning.checkpoint import KEPT, Checkpoints


def tree(size: int, value: float = 1.0) -> dict:
  """Arrays of jax and of NumPy, of several types."""
  return {
    "prompts": jnp.full((size, 3, 4), value),
    "counts": (np.arange(size, dtype=np.int32), np.float32([[value, -0.0]])),
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
  assert KEPT == 2
  assert restore(checkpoints, members=("a",)) is None  # the oldest has gone


def test_a_state_of_another_number_of_devices_starts_again(checkpoints, logged):
  save(checkpoints, 1)
  checkpoints.wait()
  assert restore(checkpoints, size=4) is None
  assert "was made on another number of devices: its members start again" in logged.text
  assert restore(checkpoints) is not None  # it is there still


def test_a_changed_bit_of_a_checkpoint_is_found(checkpoints, logged, monkeypatch):
  save(checkpoints, 1, value=1.0)
  save(checkpoints, 2, value=2.0)
  checkpoints.wait()
  checksum = checkpoint._checksum

  def of_a_changed_bit(state):
    return checksum(state) ^ int(float(state["prompts"][0, 0, 0]) == 2.0)

  monkeypatch.setattr(checkpoint, "_checksum", of_a_changed_bit)
  chex.assert_trees_all_equal(restore(checkpoints).state, tree(2, 1.0))
  assert "its checksum does not match" in logged.text
  assert "it is deleted, and the one before it is used" in logged.text
  monkeypatch.undo()
  logged.clear()
  chex.assert_trees_all_equal(restore(checkpoints).state, tree(2, 1.0))
  assert not logged.records  # the damaged one has gone


def test_the_checksum_is_that_of_every_bit():
  state = tree(2)
  before = checkpoint._checksum(state)
  assert checkpoint._checksum(tree(2)) == before
  changed = tree(2)
  changed["counts"][1][0, 1] = 0.0  # but for the sign of a zero
  assert checkpoint._checksum(changed) != before


def test_what_cannot_be_read_is_damaged(checkpoints, logged, tmp_path):
  save(checkpoints, 1)
  save(checkpoints, 2)
  checkpoints.wait()
  for path in (tmp_path / "checkpoints" / "2").rglob("*"):
    if path.is_file() and path.stat().st_size > 300:
      path.write_bytes(path.read_bytes()[:-200])
  assert restore(checkpoints).step == 5
  assert "2 is damaged (" in logged.text
  assert [record.name for record in logged.records].count("wayjax") == 1


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


def test_a_full_disk_is_one_sentence(checkpoints, monkeypatch):
  from orbax.checkpoint import v1 as ocp

  def full(*args, **kwargs):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(ocp.training.Checkpointer, "save_async", full)
  with pytest.raises(WayjaxError, match=r"cannot be written to \(No space left on device\)"):
    save(checkpoints, 1)


def test_one_that_is_being_written_is_waited_for(checkpoints, logged):
  save(checkpoints, 1, value=0.5)
  chex.assert_trees_all_equal(restore(checkpoints).state, tree(2, 0.5))
  assert not logged.records
