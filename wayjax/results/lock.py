"""Who writes a run folder: one process at a time, which tells its name to whoever comes second.

A file system locks for us, and lets go when the holder dies. Where nothing can be locked, as on
gs://, the holder renews a lease every few seconds; one that is no longer renewed is a dead one's.
"""

import contextlib
import datetime
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from fsspec import AbstractFileSystem

from wayjax.errors import WayjaxError

LOCK, HOLDER = ".lock", ".holder"
RENEWED_EVERY = 15.0  # seconds
_READS, _READ_AGAIN_AFTER = 5, 0.02  # of a record that is not whole; seconds
_log = logging.getLogger("wayjax")


class FolderTaken(WayjaxError):
  """A run folder is in use, or holds a run already."""


def describe() -> dict[str, str | int]:
  """This process, for those that come second."""
  now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
  return {"host": socket.gethostname(), "process": os.getpid(), "since": now}


def name_holder(read: Callable[[], bytes | None]) -> str:
  """The holder, by what it wrote about itself.

  Args:
    read: returns that; it is read again where the holder is writing it at this moment.
  """
  for attempt in range(_READS):
    if attempt:
      time.sleep(_READ_AGAIN_AFTER)
    with contextlib.suppress(ValueError, KeyError, TypeError):
      holder = json.loads(read() or b"")
      return "process {process} on {host}, since {since}".format_map(holder)
  return "another process"


class SystemLock:
  """A lock of the file system, which ends with the process that holds it.

  Args:
    folder: an existing folder.

  Raises:
    Timeout: another process holds it.
    OSError: the file system cannot lock, or nothing can be written there.
  """

  def __init__(self, folder: Path):
    self._path, self._holder = folder / LOCK, folder / HOLDER
    # Where nothing can be locked, a soft lock would outlive a process that died.
    self._lock = FileLock(self._path, fallback_to_soft=False)
    self._lock.acquire(timeout=0)
    try:
      self._holder.unlink(missing_ok=True)  # a dead process's; a named pipe would be waited for
      self._holder.write_text(json.dumps(describe()))
    except OSError:
      self.release()
      raise

  def release(self) -> None:
    """Gives the folder back."""
    for path in (self._holder, self._path):
      with contextlib.suppress(OSError):  # what stays is taken for a dead process's
        path.unlink(missing_ok=True)
    self._lock.release()

  def require(self) -> None:
    """A lock of the file system is never lost."""


class Lease:
  """An object that its holder renews: a lock for where nothing can be locked.

  No clock is compared with another's: a lease is dead when it stays the same for three renewals.

  Args:
    store: where it is kept.
    folder: the folder in it.

  Raises:
    Timeout: another process renews it.
  """

  def __init__(self, store: AbstractFileSystem, folder: str):
    self._store, self._path = store, f"{folder}/{HOLDER}"
    self._record = {**describe(), "lease": secrets.token_hex(8), "renewals": 0}
    self._lost, self._ended = False, threading.Event()
    while not self._take():
      self._wait_for_death()
    self._thread = threading.Thread(target=self._renew, daemon=True)
    self._thread.start()

  def _take(self) -> bool:
    try:
      self._store.pipe_file(self._path, self._content(), mode="create")
    except FileExistsError:
      return False
    return True

  def _wait_for_death(self) -> None:
    """Removes a lease that is not renewed."""
    with contextlib.suppress(FileNotFoundError):  # given back meanwhile
      before = self._store.cat_file(self._path)
      _log.info(
        "%s holds the run folder, or died: waiting %.0f s to see which",
        name_holder(lambda: before), 3 * RENEWED_EVERY,
      )  # fmt: skip
      for _ in range(3):
        time.sleep(RENEWED_EVERY)
        if self._store.cat_file(self._path) != before:
          raise Timeout(self._path)
      self._store.rm_file(self._path)

  def _content(self) -> bytes:
    return json.dumps(self._record).encode()

  def _renew(self) -> None:
    while not self._ended.wait(RENEWED_EVERY):
      # A store that fails for a moment is asked again; the others wait for three renewals.
      with contextlib.suppress(Exception):
        if self._record["lease"].encode() not in self._store.cat_file(self._path):
          self._lost = True
          return
        self._record["renewals"] += 1
        self._store.pipe_file(self._path, self._content())

  def release(self) -> None:
    """Gives the folder back."""
    self._ended.set()
    self._thread.join()
    if not self._lost:
      self._store.rm_file(self._path)

  def require(self) -> None:
    """Raises FolderTaken where another process took the folder over, thinking this one dead."""
    if self._lost:
      raise FolderTaken(f"another process took {self._path} over: this run ends here")
