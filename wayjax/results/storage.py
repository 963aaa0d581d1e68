"""Where a run folder's files are: in a file system, or on gs://, where nothing can be appended."""

import errno
import os
from pathlib import Path

import fsspec

from wayjax.errors import WayjaxError
from wayjax.files import PARTIAL, is_file, open_regular, replacing
from wayjax.results.lock import HOLDER, LOCK, Lease, SystemLock
from wayjax.results.run_files import Files

GCS = "gs://"
CANNOT_LOCK = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP}  # some network file systems


def _read(path: Path) -> bytes:
  with open_regular(path) as file:
    return file.read()


class LocalFiles(Files):
  """The files of a folder in a file system."""

  def __init__(self, path: Path):
    super().__init__()
    self.path, self._is_new = path, False

  def make(self) -> None:
    if os.path.lexists(self.path) and not os.path.isdir(self.path):
      what = "a file" if os.path.exists(self.path) else "a link that leads nowhere"
      raise WayjaxError(f"--out {self.path} is {what}: name a folder")
    self._is_new = not os.path.isdir(self.path)
    self.path.mkdir(parents=True, exist_ok=True)

  def _is_empty(self) -> bool:
    return {LOCK, HOLDER}.issuperset(os.listdir(self.path))

  def _take_lock(self) -> SystemLock | Lease:
    try:
      lock = SystemLock(self.path)
    except OSError as error:
      if error.errno not in CANNOT_LOCK:
        raise
      (self.path / LOCK).unlink(missing_ok=True)  # what trying to lock it made
      return Lease(fsspec.filesystem("file"), str(self.path))
    for name in self._names():
      if name.endswith(PARTIAL):
        self._delete(name)  # of a process that died
    return lock

  def _unlock(self, lock: SystemLock | Lease) -> None:
    super()._unlock(lock)
    if self._is_new:
      self.path.rmdir()  # raises OSError where a run has written something

  def append(self, name: str, content: bytes) -> None:
    with self._writing(), (self.path / name).open("ab") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())

  def locate(self, name: str) -> str:
    return str(self.path / name)

  def mend(self, name: str) -> bool:
    path = self.path / name
    if not is_file(path):
      return False
    with self._writing(), path.open("rb+") as file:
      text = file.read()
      file.truncate(text.rfind(b"\n") + 1)
    return not text.endswith(b"\n") and bool(text)

  def _names(self) -> list[str]:
    try:  # `os.path.isdir` would call a folder that cannot be looked at one that is not there
      with os.scandir(self.path) as entries:
        return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
      return []

  def _get(self, names: list[str]) -> list[bytes]:
    return [_read(self.path / name) for name in names]

  def _put(self, name: str, content: bytes) -> None:
    # On disk at once: a row is written after its prompt, and must never be without it.
    with replacing(self.path / name) as partial:
      partial.write_bytes(content)

  def _delete(self, name: str) -> None:
    (self.path / name).unlink()


class BucketFiles(Files):
  """The files of a folder on gs://; each of its objects is written as a whole, or not at all.

  Args:
    url: gs://BUCKET/FOLDER.
  """

  def __init__(self, url: str):
    super().__init__()
    self.path = url.rstrip("/")
    try:
      self._store, self._root = fsspec.core.url_to_fs(self.path, use_listings_cache=False)
    except ImportError as error:
      raise WayjaxError(
        f"{GCS} needs gcsfs, which is not installed: pip install 'wayjax[gcs]'"
      ) from error

  def make(self) -> None:
    pass  # a bucket has no empty folders

  def _is_empty(self) -> bool:
    return {HOLDER}.issuperset(self._names())

  def _take_lock(self) -> Lease:
    return Lease(self._store, self._root)

  def append(self, name: str, content: bytes) -> None:
    self.add_part(name, content)

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


def open_files(path: str | Path) -> Files:
  """The files of a run folder, which may not exist yet.

  Raises:
    WayjaxError: it is on gs://, and gcsfs is not installed or finds no credentials.
  """
  return BucketFiles(str(path)) if str(path).startswith(GCS) else LocalFiles(Path(path))
