"""The checkpoints of a chunk in training, by Orbax: saved while it goes on, found again after."""

import os
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from orbax.checkpoint import v1 as ocp

from wayjax import processes
from wayjax.chunks import ChunkState
from wayjax.errors import WayjaxError
from wayjax.layout import fetch
from wayjax.storage import GCS

KEPT = 2  # should the newest be damaged


class Checkpoints:
  """The checkpoints of one run folder.

  Args:
    folder: where they are, a folder or gs://BUCKET/FOLDER.
    every: seconds between two.
    say: shows a line.

  Raises:
    WayjaxError: the folder cannot be written to.
  """

  def __init__(self, folder: str, every: float, say: Callable[[str], None]):
    self._say, self._every = say, every
    self._saving, self._last = None, time.monotonic()
    # Orbax takes no relative path, and `resolve` makes one of gs://.
    self._folder = epath.Path(folder if folder.startswith(GCS) else os.path.abspath(folder))
    try:
      self._checkpointer = ocp.training.Checkpointer(
        self._folder,
        preservation_policy=ocp.training.preservation_policies.LatestN(KEPT),
        cleanup_tmp_directories=True,
      )
    except OSError as error:
      raise self._cannot_write(error) from error

  def due(self) -> bool:
    """Whether it is time for the next one, and the last one is done."""
    return (
      time.monotonic() - self._last >= self._every
      and not self._checkpointer.is_saving_in_progress()
    )

  def save(self, number: int, state: ChunkState, members: list[str], step: int) -> None:
    """Starts to save a chunk; returns when its arrays are free to change.

    Args:
      number: larger than that of every checkpoint before.
      state: the chunk.
      members: keys of its members.
      step: steps that they have done.

    Raises:
      WayjaxError: this or the checkpoint before cannot be written.
    """
    self.wait()
    # The next dispatch takes the state's memory over, and a CPU's arrays are not copied by Orbax.
    state = jax.tree.map(lambda x: jnp.copy(x) if isinstance(x, jax.Array) else x.copy(), state)
    metadata = {
      "members": members,
      "step": step,
      "size": len(state.train_M.diverged_at),
      "checksum": _checksum(state),
    }
    try:
      self._saving = self._checkpointer.save_async(
        number, state, force=True, custom_metadata=metadata
      )
    except (OSError, ValueError) as error:
      raise self._cannot_write(error) from error
    self._last = time.monotonic()

  def wait(self) -> None:
    """Returns when the last one is on disk."""
    saving, self._saving = self._saving, None
    try:
      if saving is not None:
        saving.result()
    except (OSError, ValueError) as error:
      raise self._cannot_write(error) from error

  def restore(self, members: list[str], like: ChunkState) -> tuple[ChunkState, int] | None:
    """The newest sound checkpoint of a chunk; damaged ones are named and deleted.

    Args:
      members: keys of its members.
      like: the chunk before its first step; shapes, types and where the arrays lie.

    Returns:
      The chunk and the steps that it has done; None where none is left.
    """
    for checkpoint in reversed(self._checkpointer.checkpoints):
      found, damage = None, None
      try:
        found = self._load(checkpoint, members, like)
      except Exception as error:  # whatever Orbax raises for what it cannot read
        damage = _reason(error)
      if not processes.gather(damage is None).all():  # all take the same one
        damage = damage or "another process cannot read it"
      elif found and _checksum(found.state) != found.checksum:
        damage = "its checksum does not fit"
      if damage:
        self._say(
          f"warning: checkpoint {checkpoint.path} is damaged ({damage}): it is deleted, and the "
          "one before it is taken"
        )
        self._checkpointer.delete(checkpoint)
      elif found:
        return found.state, found.step
    return None

  def _load(self, checkpoint, members: list[str], like: ChunkState) -> "_Saved | None":
    """A checkpoint; None where it is not of this chunk."""
    metadata = self._checkpointer.metadata(checkpoint).custom_metadata
    if metadata["members"] != members:
      return None
    if metadata["size"] != len(like.train_M.diverged_at):
      self._say(
        f"warning: checkpoint {checkpoint.path} was made on another number of devices: its members "
        "start again"
      )
      return None
    state = self._checkpointer.load(checkpoint, like)
    return _Saved(state, metadata["step"], metadata["checksum"])

  def close(self) -> None:
    """Waits for the last one and ends."""
    try:
      self.wait()
    finally:
      self._checkpointer.close()

  def _cannot_write(self, error: Exception) -> WayjaxError:
    return WayjaxError(
      f"{self._folder} cannot be written to ({_reason(error)}); what was written so far stays "
      "readable"
    )


class _Saved(NamedTuple):
  """What a checkpoint holds."""

  state: ChunkState
  step: int
  checksum: int


def _reason(error: Exception) -> str:
  """The first line of what an error says, not too long."""
  said = getattr(error, "strerror", None) or str(error) or type(error).__name__
  return said.splitlines()[0][:200]


def _checksum(state: ChunkState) -> int:
  """CRC-32 of all numbers: Orbax's files have none of their own."""
  checksum = 0
  for array in jax.tree.leaves(fetch(state)):
    checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
  return checksum
