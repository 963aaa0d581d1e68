"""Checkpoints of a pytree in training: written while it changes, found again afterwards.

Two files take turns, so that the newer is whole whatever happens while the other is written. Each
is a safetensors file whose metadata say what it is of, and hold a checksum of everything in it.
"""

import json
import logging
import tempfile
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wayjax.devices import processes
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError, reason
from wayjax.files import PARTIAL
from wayjax.results.storage import GCS, open_files
from wayjax.tuning import orbax_checkpoint

FILES = ("0.safetensors", "1.safetensors")
# What reading raises where the bytes are not those that were written.
_DAMAGE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_log = logging.getLogger("wayjax")


class Saved(NamedTuple):
  """What a checkpoint holds.

  Attributes:
    state: the pytree.
    step: steps that it has done.
  """

  state: object
  step: int


class _Header(NamedTuple):
  """What a checkpoint is of; the arguments of `save`."""

  number: int
  members: list[str]
  step: int
  size: int


_NOTHING = _Header(-1, [], 0, 0), {}  # what a file that is not there holds


class Checkpoints:
  """The checkpoints of one run folder.

  Args:
    folder: where they are, a folder or gs://BUCKET/FOLDER.
    every: seconds between two.

  Raises:
    WayjaxError: the folder cannot be written to, or what is in it cannot be read.
  """

  def __init__(self, folder: str, every: float):
    self._every, self._last = every, time.monotonic()
    self._files = open_files(folder)
    if processes.is_first() and not folder.startswith(GCS):
      _prepare(Path(folder))
    self._writer, self._writing = ThreadPoolExecutor(1), None
    found = {file: self._read(file) for file in FILES}
    self._headers = {file: header for file, (header, _) in found.items()}
    self._next = min(FILES, key=lambda file: self._headers[file].number)

  def due(self) -> bool:
    """Whether it is time for the next one, and the last one is done."""
    done = self._writing is None or self._writing.done()
    return done and time.monotonic() - self._last >= self._every

  def save(self, number: int, state, *, members: list[str], step: int, size: int) -> None:
    """Starts to save a state; returns when its arrays are free to change.

    Args:
      number: larger than that of every earlier checkpoint.
      state: any pytree of arrays, of types that NumPy has.
      members: what the state is of; `restore` finds it by this.
      step: steps that it has done.
      size: the length of its leading axis, which depends on the number of devices.

    Raises:
      WayjaxError: this checkpoint or the one before cannot be written.
    """
    self.wait()
    file, header = self._next, _Header(number, members, step, size)
    arrays = _by_name(fetch(state))
    if processes.is_first():
      try:
        # A copy: the next dispatch takes over the state's memory.
        arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
        self._writing = self._writer.submit(self._write, file, header, arrays)
      except (MemoryError, RuntimeError) as error:  # no memory or no thread
        raise _cannot_write(self._files.path, error) from error
    self._headers[file] = header
    (self._next,) = set(FILES) - {file}
    self._last = time.monotonic()

  def wait(self) -> None:
    """Returns when the last one is on disk; raises WayjaxError where it cannot be written."""
    failure = self._failure()
    if not processes.gather(failure is None).all():  # all stop, or the others would wait
      raise failure or WayjaxError(f"{self._files.path} cannot be written to by the first process")

  def restore(self, like, *, members: list[str], size: int) -> Saved | None:
    """The newest sound checkpoint of a state; a damaged one is named, and the one before it used.

    Args:
      like: the state before its first step; shapes, types and where the arrays lie.
      members: what the state is of.
      size: the length of its leading axis.

    Returns:
      None where no checkpoint of it is left. NumPy's arrays in the state may be written to.

    Raises:
      WayjaxError: one cannot be read, which does not mean that it is damaged.
    """
    self.wait()
    saved, failure = None, None
    try:
      saved = self._find(like, members, size)
    except WayjaxError as error:
      failure = error
    steps = processes.gather(saved.step if saved else -1, failure is not None)
    if (steps != steps[0]).any() or failure:
      raise failure or WayjaxError(
        f"the processes do not read the same checkpoints in {self._files.path}: it must be a "
        "folder that all of them share"
      )
    if saved is None:  # the folder may be that of an earlier version
      found = orbax_checkpoint.restore(str(self._files.path), like, members=members, size=size)
      saved = Saved(*found) if found else None
    return saved

  def close(self) -> None:
    """Waits for the last one and ends; raises WayjaxError where it cannot be written."""
    self._writer.shutdown()
    if failure := self._failure():
      raise failure

  def _failure(self) -> BaseException | None:
    """Waits for the last one; why it could not be written is told once."""
    writing: Future | None = self._writing
    self._writing = None
    return writing.exception() if writing else None

  def _write(self, file: str, header: _Header, arrays: dict[str, np.ndarray]) -> None:
    text = json.dumps(header._asdict())
    metadata = {"header": text, "checksum": str(_checksum(text, arrays))}
    try:
      content = save(arrays, metadata)
    except MemoryError as error:  # the file is as large as the state once more
      raise _cannot_write(self._files.path, error) from error
    self._files.replace(file, content)

  def _find(self, like, members: list[str], size: int) -> Saved | None:
    for file in sorted(FILES, key=lambda file: self._headers[file].number, reverse=True):
      if self._headers[file].members != members:
        continue
      header, arrays = self._read(file)
      if header.members != members:
        continue
      named = _by_name(like)
      if header.size != size or _shapes(named) != _shapes(arrays):
        why = "made on another number of devices" if header.size != size else "made otherwise"
        path = self._files.locate(file)
        _log.warning("checkpoint %s was %s: its members start again", path, why)
        continue
      leaves = [
        place(arrays[name], leaf.sharding) if isinstance(leaf, jax.Array) else arrays[name].copy()
        for name, leaf in named.items()
      ]
      return Saved(jax.tree.unflatten(jax.tree.structure(like), leaves), header.step)
    return None

  def _read(self, file: str) -> tuple[_Header, dict[str, np.ndarray]]:
    """What a file holds; nothing where there is none, or where its bytes prove it damaged."""
    path = self._files.locate(file)
    try:
      content = self._files.read(file)
    except WayjaxError as error:
      raise WayjaxError(
        f"{error}; nothing is lost: resume when it can be read, or delete it, and its members "
        "train again from the checkpoint before or from their start"
      ) from error
    if content is None:
      return _NOTHING
    try:
      return _parse(content)
    except _DAMAGE as error:
      _log.warning(
        "checkpoint %s is damaged (%s): the one before it is used, and the next takes its place",
        path, reason(error),
      )  # fmt: skip
      return _NOTHING


def _prepare(folder: Path) -> None:
  """Makes the folder, or clears it; raises WayjaxError where nothing can be written there."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(f"*{PARTIAL}"):  # of a process that was killed
      partial.unlink()
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path | str, error: Exception) -> WayjaxError:
  return WayjaxError(
    f"{folder} cannot be written to ({reason(error)}); what was written so far stays readable"
  )


def _by_name(state) -> dict:
  """The arrays of a pytree by where they stand in it."""
  return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def _shapes(named: dict) -> dict:
  return {name: (array.shape, array.dtype) for name, array in named.items()}


def _checksum(header: str, arrays: dict[str, np.ndarray]) -> int:
  """CRC-32 of all that a checkpoint holds: safetensors files have none of their own."""
  checksum = zlib.crc32(header.encode())
  for name, array in sorted(arrays.items()):
    checksum = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), checksum)
    checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), checksum)
  return checksum


def _parse(content: bytes) -> tuple[_Header, dict[str, np.ndarray]]:
  """What a checkpoint's bytes hold; raises where they are not those that were written."""
  arrays = load(content)
  length = int.from_bytes(content[:8], "little")
  metadata = json.loads(content[8 : 8 + length])["__metadata__"]
  if metadata["checksum"] != str(_checksum(metadata["header"], arrays)):
    raise ValueError("its checksum does not match")
  header = _Header(**json.loads(metadata["header"]))
  if not all(isinstance(x, int) and x >= 0 for x in (header.number, header.step)):
    raise ValueError("its header is not one")
  return header, arrays
