"""A store that stands for gs:// in the tests: objects in memory, each written as a whole."""

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
  """What gcsfs gives, without a network; `objects` holds path -> content."""

  protocol = ("gs",)
  store, pseudo_dirs = {}, [""]  # its own, not those of all memory file systems
  cachable = False

  @classmethod
  def _strip_protocol(cls, path):
    return "/" + str(path).removeprefix("gs://").strip("/")

  @classmethod
  def objects(cls) -> dict[str, bytes]:
    return {path.lstrip("/"): bytes(file.getbuffer()) for path, file in cls.store.items()}

  def _open(self, path, mode="rb", **options):
    assert "a" not in mode, "an object cannot be appended to"
    return super()._open(path, mode, **options)

  def mv(self, *args, **options):
    raise AssertionError("an object cannot be renamed")


def install(monkeypatch) -> type[Bucket]:
  """Makes gs:// an empty `Bucket` for one test."""
  monkeypatch.setattr(Bucket, "store", {})
  monkeypatch.setattr(Bucket, "pseudo_dirs", [""])
  fsspec.register_implementation("gs", Bucket, clobber=True)
  return Bucket
