"""Files that are written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """A file to write to; it takes the place of `path` when it is complete."""
  partial = path.with_name(f"{path.name}.partial")
  try:
    yield partial
    with partial.open("rb") as file:
      os.fsync(file.fileno())
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
