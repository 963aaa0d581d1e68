"""Where a run folder's files are: in a file system, or on gs://, where nothing can be appended.

There each addition to a file `name.jsonl` is an object of its own, `name-00000.jsonl` and so on;
reading merges them, even after they have been copied to a file system.
"""

import abc
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from wayjax.errors import WayjaxError, reason

GCS = "gs://"


def open_files(path: str | Path) -> "Files":
  """The files of a run folder, which may not exist yet.

  Raises:
    WayjaxError: it is on gs://, and gcsfs is not installed or finds no credentials.
  """
  return BucketFiles(str(path)) if str(path).startswith(GCS) else LocalFiles(Path(path))


class Files(abc.ABC):
  """The files of one folder.

  Attributes:
    path: the folder, as users name it.
  """

  path: Path | str

  @abc.abstractmethod
  def create(self) -> bool:
    """Makes the folder; returns whether it is new.

    Raises:
      WayjaxError: it is not empty, or cannot be written to.
    """

  @abc.abstractmethod
  def discard(self) -> None:
    """Removes the folder if it is empty."""

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
    with _one_sentence(f"{self.locate(name)} cannot be read"):
      names = self._parts(name)
      return b"".join(self._get(names)) if names else None

  def replace(self, name: str, content: bytes) -> None:
    """Writes a whole file, or leaves the previous one as it is and raises WayjaxError."""
    with self._writing():
      self._put(name, content)

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
    return _one_sentence(
      f"{self.path} cannot be written to", "what was written so far stays readable"
    )


class LocalFiles(Files):
  """The files of a folder in a file system."""

  def __init__(self, path: Path):
    self.path = path

  def create(self) -> bool:
    path = self.path
    existed = os.path.isdir(path)
    if os.path.exists(path) and not existed:
      raise WayjaxError(f"--out {path} is a file: name a folder")
    with _one_sentence(f"--out {path} cannot be written to"):
      path.mkdir(parents=True, exist_ok=True)
      if any(path.iterdir()):
        raise WayjaxError(f"--out {path} is not empty: name a new folder, no run is overwritten")
      probe = path / ".writable"
      probe.touch()
      probe.unlink()
    return not existed

  def discard(self) -> None:
    with contextlib.suppress(OSError):
      self.path.rmdir()

  def append(self, name: str, content: bytes) -> None:
    with self._writing(), (self.path / name).open("ab") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())

  def locate(self, name: str) -> str:
    return str(self.path / name)

  def mend(self, name: str) -> bool:
    path = self.path / name
    if not path.exists():
      return False
    with self._writing(), path.open("rb+") as file:
      text = file.read()
      file.truncate(text.rfind(b"\n") + 1)
    return not text.endswith(b"\n") and bool(text)

  def _names(self) -> list[str]:
    try:  # `os.path.isdir` would call a folder that cannot be looked at one that is not there
      with os.scandir(self.path) as entries:
        return [entry.name for entry in entries if entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
      return []

  def _get(self, names: list[str]) -> list[bytes]:
    return [(self.path / name).read_bytes() for name in names]

  def _put(self, name: str, content: bytes) -> None:
    partial = self.path / (name + ".partial")
    try:
      with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a row is written after its prompt, and must never be without it
      os.replace(partial, self.path / name)
    except BaseException:
      partial.unlink(missing_ok=True)  # on a full disk it would take the last of the space
      raise

  def _delete(self, name: str) -> None:
    (self.path / name).unlink()


class BucketFiles(Files):
  """The files of a folder on gs://; each of its objects is written as a whole, or not at all.

  Args:
    url: gs://BUCKET/FOLDER.
  """

  def __init__(self, url: str):
    import fsspec

    self.path = url.rstrip("/")
    self._next: dict[str, int] = {}  # number of the next part of a file
    try:
      self._store, self._root = fsspec.core.url_to_fs(self.path, use_listings_cache=False)
    except ImportError as error:
      raise WayjaxError(
        f"{GCS} needs gcsfs, which is not installed: pip install 'wayjax[gcs]'"
      ) from error

  def create(self) -> bool:
    with _one_sentence(f"--out {self.path} cannot be read"):
      if self._names():
        raise WayjaxError(
          f"--out {self.path} is not empty: name a new folder, no run is overwritten"
        )
    return False  # a bucket has no empty folders, so there is nothing to discard

  def discard(self) -> None:
    pass

  def append(self, name: str, content: bytes) -> None:
    stem, suffix = os.path.splitext(name)
    with self._writing():
      if name not in self._next:
        last = next((part for part in reversed(self._parts(name)) if part != name), None)
        self._next[name] = 0 if last is None else int(last[len(stem) + 1 : -len(suffix)]) + 1
      self._put(f"{stem}-{self._next[name]:05d}{suffix}", content)
      self._next[name] += 1

  def locate(self, name: str) -> str:
    return f"{self.path}/{name}"

  def _names(self) -> list[str]:
    try:
      found = self._store.ls(self._root, detail=False)
    except FileNotFoundError:
      return []
    return [path.rsplit("/", 1)[-1] for path in found if path.strip("/") != self._root.strip("/")]

  def _get(self, names: list[str]) -> list[bytes]:
    paths = [f"{self._root}/{name}" for name in names]
    found = self._store.cat(paths)  # concurrently
    return [found[path] for path in paths] if isinstance(found, dict) else [found]

  def _put(self, name: str, content: bytes) -> None:
    self._store.pipe_file(f"{self._root}/{name}", content)

  def _delete(self, name: str) -> None:
    self._store.rm_file(f"{self._root}/{name}")


@contextlib.contextmanager
def _one_sentence(failure: str, consequence: str = ""):
  """Turns whatever a file system or a store raises into one sentence."""
  try:
    yield
  except WayjaxError:
    raise
  except Exception as error:  # gcsfs has errors of its own, which are not OSErrors
    why = reason(error)
    raise WayjaxError(
      f"{failure} ({why}); {consequence}" if consequence else f"{failure}: {why}"
    ) from error
