"""Folders that are written whole or not at all."""

import os
import secrets
import shutil
from pathlib import Path

from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.files import PARTIAL, exists, is_folder, replacing


def require_free(out: str) -> Path:
  """Returns a folder that does not exist or is empty, without links in its path.

  Raises:
    WayjaxError: it is a file, is not empty, or is not in a file system.
  """
  if "://" in out:
    raise WayjaxError(
      f"--out must be a folder on this machine, not {out}: copy it there afterwards"
    )
  with in_one_sentence(f"--out {out} cannot be written to"):
    path = Path(os.path.realpath(out))
    if exists(path) and not is_folder(path):
      raise WayjaxError(f"--out {out} is a file: name a folder")
    if is_folder(path) and any(path.iterdir()):
      raise WayjaxError(f"--out {out} is not empty: name a new folder, nothing is overwritten")
  return path


def write_whole(out: str, folders: dict[str, dict[str, bytes]]) -> None:
  """Writes folders of files into a new folder, which appears when all of it is on disk.

  Args:
    out: the folder.
    folders: contents by file's name, by folder's name within it; "" is the folder itself.

  Raises:
    WayjaxError: it is not new, or cannot be written to.
  """
  path = require_free(out)
  partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
  with in_one_sentence(f"--out {out} cannot be written to"):
    try:
      for folder, files in folders.items():
        (partial / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
          with replacing(partial / folder / name) as file:
            file.write_bytes(content)
      if path.is_dir():
        path.rmdir()
      os.rename(partial, path)
    finally:
      shutil.rmtree(partial, ignore_errors=True)
