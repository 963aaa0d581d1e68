"""Checkpoints of a pytree in training, by Orbax: saved while it changes, found again afterwards."""

import logging
import os
import time
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from wayjax.devices import processes
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError, reason

KEPT = 2  # in case the newest is damaged
_log = logging.getLogger("wayjax")


class Saved(NamedTuple):
  """What a checkpoint holds.

  Attributes:
    state: the pytree.
    step: steps that it has done.
  """

  state: object
  step: int


class Checkpoints:
  """The checkpoints of one run folder.

  Args:
    folder: where they are, a folder or gs://BUCKET/FOLDER.
    every: seconds between two.

  Raises:
    WayjaxError: the folder cannot be written to.
  """

  def __init__(self, folder: str, every: float):
    from orbax.checkpoint import v1 as ocp  # imported here: it takes long, and few need it

    self._every = every
    self._saving, self._last = None, time.monotonic()
    # Orbax takes no relative path, and `resolve` would turn gs:// into one.
    self._folder = epath.Path(folder if "://" in folder else os.path.abspath(folder))
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

  def save(self, number: int, state, *, members: list[str], step: int, size: int) -> None:
    """Starts to save a state; returns when its arrays are free to change.

    Args:
      number: larger than that of every earlier checkpoint.
      state: any pytree of arrays.
      members: what the state is of; `restore` finds it by this.
      step: steps that it has done.
      size: the length of its leading axis, which depends on the number of devices.

    Raises:
      WayjaxError: this checkpoint or the one before cannot be written.
    """
    self.wait()
    # The next dispatch takes over the state's memory, and Orbax does not copy a CPU's arrays.
    state = jax.tree.map(lambda x: jnp.copy(x) if isinstance(x, jax.Array) else x.copy(), state)
    metadata = {"members": members, "step": step, "size": size, "checksum": _checksum(state)}
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

  def restore(self, like, *, members: list[str], size: int) -> Saved | None:
    """The newest sound checkpoint of a state; damaged ones are named and deleted.

    Args:
      like: the state before its first step; shapes, types and where the arrays lie.
      members: what the state is of.
      size: the length of its leading axis.

    Returns:
      None where no checkpoint of it is left.
    """
    self.wait()  # one that is still being written looks damaged
    for checkpoint in reversed(self._checkpointer.checkpoints):
      found, checksum, damage = None, None, None
      try:
        found, checksum = self._load(checkpoint, members, size, like)
      except Exception as error:  # whatever Orbax raises for what it cannot read
        damage = reason(error)
      if not processes.gather(damage is None).all():  # all take the same one
        damage = damage or "another process cannot read it"
      elif found and _checksum(found.state) != checksum:
        damage = "its checksum does not match"
      if damage:
        _log.warning(
          "checkpoint %s is damaged (%s): it is deleted, and the one before it is used",
          checkpoint.path, damage,
        )  # fmt: skip
        self._checkpointer.delete(checkpoint)
      elif found:
        return found
    return None

  def _load(self, checkpoint, members: list[str], size: int, like) -> tuple[Saved | None, int]:
    """A checkpoint and its checksum; None where it is of another state."""
    metadata = self._checkpointer.metadata(checkpoint).custom_metadata
    if metadata["members"] != members:
      return None, 0
    if metadata["size"] != size:
      _log.warning(
        "checkpoint %s was made on another number of devices: its members start again",
        checkpoint.path,
      )
      return None, 0
    state = self._checkpointer.load(checkpoint, like)
    return Saved(state, metadata["step"]), metadata["checksum"]

  def close(self) -> None:
    """Waits for the last one and ends."""
    try:
      self.wait()
    finally:
      self._checkpointer.close()

  def _cannot_write(self, error: Exception) -> WayjaxError:
    return WayjaxError(
      f"{self._folder} cannot be written to ({reason(error)}); what was written so far stays "
      "readable"
    )


def _checksum(state) -> int:
  """CRC-32 of all numbers: Orbax's files have none of their own."""
  checksum = 0
  for array in jax.tree.leaves(fetch(state)):
    checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
  return checksum
