"""Files that a user names, of which only regular ones are opened, and no more read than they may
hold; and files that are written whole or not at all.
"""

import contextlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from wayjax.errors import WayjaxError, reason

MIB = 2**20
PARTIAL = ".partial"  # how the names of files end that are being written
_MOST_DIGITS = 4000  # of a whole number; Python refuses to convert a few more


def open_regular(path: str | Path, most: int | None = None, name: str | None = None) -> BinaryIO:
  """Opens a file for its bytes.

  Args:
    path: where it is.
    most: bytes that it may have; None means any number.
    name: what an error calls it, such as `task file mine.toml`; None means its path.

  Raises:
    WayjaxError: it is missing, may not be read, is no regular file (a folder, a pipe or a device),
      or has more bytes.
  """
  name = name or str(path)
  try:
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
  except (OSError, ValueError) as error:  # a null character in a path is a ValueError
    raise WayjaxError(f"{name} cannot be read: {reason(error)}") from error
  found = os.fstat(file.fileno())
  if not stat.S_ISREG(found.st_mode):
    file.close()
    raise WayjaxError(f"{name} cannot be read: it is not a regular file")
  if most is not None and found.st_size > most:
    file.close()
    raise too_large(name, most)
  return file


def is_file(path: str | Path) -> bool:
  """Whether a regular file stands at a path; raises WayjaxError where that cannot be told."""
  return stat.S_ISREG(_mode(path))


def is_folder(path: str | Path) -> bool:
  """Whether a folder stands at a path; raises WayjaxError where that cannot be told."""
  return stat.S_ISDIR(_mode(path))


def exists(path: str | Path) -> bool:
  """Whether anything stands at a path; raises WayjaxError where that cannot be told."""
  return bool(_mode(path))


def _mode(path: str | Path) -> int:
  """The kind of what stands at a path; 0 for nothing."""
  # In a folder that may not be entered `os.path.exists` finds nothing, and `Path.exists` raises.
  try:
    return os.stat(path).st_mode
  except (FileNotFoundError, NotADirectoryError):
    return 0
  except (OSError, ValueError) as error:
    raise WayjaxError(f"{path} cannot be read: {reason(error)}") from error


def _without_waiting(path: str, flags: int) -> int:
  # A named pipe would wait here until something writes to it.
  return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def too_large(name: str, most: int) -> WayjaxError:
  """The error of a file with more bytes than it may have."""
  return WayjaxError(f"{name} cannot be read: it has more than {most // MIB:,} MiB")


def read_bytes(path: str | Path, most: int, name: str | None = None) -> bytes:
  """The bytes of a file; for arguments and errors see `open_regular`."""
  name = name or str(path)
  with open_regular(path, most, name) as file, _one_sentence(name):
    content = file.read(most + 1)  # files of /proc do not tell their size
  if len(content) > most:
    raise too_large(name, most)
  return content


def read_text(path: str | Path, most: int, name: str | None = None) -> str:
  """The text of a UTF-8 file, without its byte-order mark and with its line ends as they are.

  For arguments and errors see `open_regular`; a file that is not UTF-8 is a WayjaxError too.
  """
  name = name or str(path)
  content = read_bytes(path, most, name)
  _require_utf8(content[:4], name)
  with _one_sentence(name):
    return content.decode("utf-8-sig")


@contextlib.contextmanager
def open_text(
  path: str | Path, most: int, name: str | None = None, *, newline: str = "\n"
) -> Iterator[TextIO]:
  """Opens a UTF-8 file, which may have a byte-order mark, to be read line by line.

  For the other arguments and for errors, also of reading it, see `open_regular` and `read_text`.

  Args:
    newline: where lines end, as in `open`.
  """
  name = name or str(path)
  with open_regular(path, most, name) as file, _one_sentence(name):
    _require_utf8(file.peek(4)[:4], name)
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline) as text:
      yield text


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """A new file to write to; it takes the place of `path` once it is complete and on disk."""
  partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
  try:
    yield partial
    with partial.open("rb+") as file:
      os.fsync(file.fileno())
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)  # on a full disk it would take the last of the space


def parse_json(text: str):
  """What a JSON text holds.

  Raises:
    ValueError: it is not JSON, a name occurs twice in one object, or a number is too long.
    RecursionError: it is nested too deeply.
  """
  return json.loads(text, object_pairs_hook=_each_once, parse_int=_integer)


def _integer(digits: str) -> int:
  if len(digits) > _MOST_DIGITS:
    raise ValueError(f"a number has more than {_MOST_DIGITS:,} digits")
  return int(digits)


def _each_once(pairs: list[tuple]) -> dict:
  values = {}
  for name, value in pairs:
    if name in values:
      raise ValueError(f"the name '{name}' occurs twice")
    values[name] = value
  return values


def _require_utf8(first: bytes, name: str) -> None:
  """Refuses the encodings that a file's first bytes give away."""
  encoding = json.detect_encoding(first)
  if not encoding.startswith("utf-8"):
    raise WayjaxError(
      f"{name} cannot be read: it is {encoding.upper()}, not UTF-8: save it as UTF-8"
    )


@contextlib.contextmanager
def _one_sentence(name: str) -> Iterator[None]:
  try:
    yield
  except UnicodeDecodeError as error:
    why = "it is not UTF-8 text: save it as UTF-8"
    raise WayjaxError(f"{name} cannot be read: {why}") from error
  except OSError as error:
    raise WayjaxError(f"{name} cannot be read: {reason(error)}") from error
