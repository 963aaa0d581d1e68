"""The files of a run folder, wherever they are: held, written, and read back with all their parts.

Each addition to a file that cannot be appended to is a file of its own, `name-00000.jsonl` and so
on; reading merges them, wherever they have been copied to.
"""

import abc
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from filelock import Timeout

from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.results.lock import HOLDER, FolderTaken, Lease, SystemLock, name_holder


class Files(abc.ABC):
  """The files of one folder.

  Attributes:
    path: the folder, as users name it.
  """

  path: Path | str

  def __init__(self):
    self._lock: SystemLock | Lease | None = None
    self._next: dict[str, int] = {}  # number of the next part of a file

  def create(self) -> None:
    """Makes the folder, or takes an empty one, and holds it.

    Raises:
      FolderTaken: it is not empty, or another process holds it.
      WayjaxError: it cannot be written to.
    """
    with in_one_sentence(f"--out {self.path} cannot be written to"):
      self.make()
      self._require_empty()
      self._hold(f"--out {self.path}", "name a new folder")
      try:
        self._require_empty()  # whoever held it until now may have left a run
      except BaseException:
        self.release()
        raise

  def hold(self) -> None:
    """Holds a folder that is there, until `release`.

    Raises:
      FolderTaken: another process holds it.
      WayjaxError: it cannot be written to.
    """
    with self._writing():
      self._hold(str(self.path), "wait until it ends, or stop it")

  def release(self) -> None:
    """Gives the folder back, and removes it where it is new and empty."""
    lock, self._lock = self._lock, None
    if lock:
      # What stays after a failure is taken for a dead process's.
      with contextlib.suppress(Exception):
        self._unlock(lock)

  def _hold(self, where: str, advice: str) -> None:
    try:
      self._lock = self._take_lock()
    except Timeout as timeout:
      holder = name_holder(lambda: self.read(HOLDER))
      raise FolderTaken(f"{where} is in use by {holder}: {advice}") from timeout

  def _require_empty(self) -> None:
    if self._is_empty():
      return
    raise FolderTaken(f"--out {self.path} is not empty: name a new folder, no run is overwritten")

  @abc.abstractmethod
  def make(self) -> None:
    """Makes the folder where it is not there; raises what the file system does."""

  @abc.abstractmethod
  def _is_empty(self) -> bool:
    """Whether the folder holds nothing but locks."""

  @abc.abstractmethod
  def _take_lock(self) -> SystemLock | Lease:
    """Locks the folder; raises Timeout where another process holds it."""

  def _unlock(self, lock: SystemLock | Lease) -> None:
    lock.release()

  @abc.abstractmethod
  def append(self, name: str, content: bytes) -> None:
    """Adds lines to a file; raises WayjaxError where they cannot be written."""

  @abc.abstractmethod
  def locate(self, name: str) -> str:
    """The whole path of a file or folder in this one."""

  def mend(self, name: str) -> bool:
    """Drops a last line that was cut off; returns whether there was one."""
    return False

  @abc.abstractmethod
  def _names(self) -> list[str]: ...

  @abc.abstractmethod
  def _get(self, names: list[str]) -> list[bytes]: ...

  @abc.abstractmethod
  def _put(self, name: str, content: bytes) -> None: ...

  @abc.abstractmethod
  def _delete(self, name: str) -> None: ...

  def read(self, name: str) -> bytes | None:
    """A file with everything that was added to it; None where it does not exist.

    Raises:
      WayjaxError: it cannot be read.
    """
    parts = self.read_parts(name)
    return b"".join(parts) if parts else None

  def replace(self, name: str, content: bytes) -> None:
    """Writes a whole file, or leaves the previous one as it is and raises WayjaxError."""
    with self._writing():
      self._put(name, content)

  def add_part(self, name: str, content: bytes) -> None:
    """Writes a part of a file, as a file of its own; raises WayjaxError where that fails."""
    stem, suffix = os.path.splitext(name)
    with self._writing():
      if name not in self._next:
        last = next((part for part in reversed(self._parts(name)) if part != name), None)
        self._next[name] = 0 if last is None else int(last[len(stem) + 1 : -len(suffix)]) + 1
      self._put(f"{stem}-{self._next[name]:05d}{suffix}", content)
      self._next[name] += 1

  def read_parts(self, name: str) -> list[bytes]:
    """The parts of a file, in order, the whole file last; raises WayjaxError as `read`."""
    with in_one_sentence(f"{self.locate(name)} cannot be read"):
      while True:
        names = self._parts(name)
        try:
          return self._get(names) if names else []
        except (FileNotFoundError, WayjaxError):
          if self._parts(name) == names:
            raise
          # The process that writes the folder has merged them meanwhile.

  def merge_parts(self, name: str, content: bytes) -> None:
    """Writes a whole file in place of its parts; raises WayjaxError where that fails."""
    self.replace(name, content)
    with self._writing():
      for part in self._parts(name):
        if part != name:
          self._delete(part)
    self._next.pop(name, None)

  def keep_lines(self, name: str, keep: Callable[[bytes], bool]) -> None:
    """Keeps some lines of a file and drops the rest; raises WayjaxError where that fails."""
    with self._writing():
      for part in self._parts(name):
        lines = self._get([part])[0].splitlines(keepends=True)
        kept = [line for line in lines if keep(line)]
        if not kept:
          self._delete(part)
        elif len(kept) < len(lines):
          self._put(part, b"".join(kept))

  def _parts(self, name: str) -> list[str]:
    """The names of the parts of a file, in order."""
    stem, suffix = os.path.splitext(name)
    part = re.compile(rf"{re.escape(stem)}-(\d+){re.escape(suffix)}")
    names = self._names()
    numbered = sorted((int(m[1]), m[0]) for m in map(part.fullmatch, names) if m)
    return [part for _, part in numbered] + [name] * (name in names)

  def _writing(self):
    if self._lock:
      self._lock.require()
    return in_one_sentence(
      f"{self.path} cannot be written to", "what was written so far stays readable"
    )
