"""Real disks and limits for tests: small, full, read-only, of another user, without free files."""

import contextlib
import os
import resource
import subprocess
from pathlib import Path

import pytest

NOBODY = 65534


@contextlib.contextmanager
def small(path: Path, size: str):
  """A file system of that size, such as `64k`, in a new folder; skips where none can be mounted."""
  path.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
  if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip("only root, where it may mount, has a file system of its own")
  try:
    yield path
  finally:
    while os.path.ismount(path):  # twice where a test that failed left it read-only
      subprocess.run(["umount", "--lazy", str(path)], check=True)


def resize(path: Path, size: str) -> None:
  """Gives such a file system another size."""
  subprocess.run(["mount", "-o", f"remount,size={size}", str(path)], check=True)


def make_read_only(path: Path) -> None:
  """Refuses whatever would be written there from now on.

  A second mount lies over the first: that could not be made read-only while a file, such as a run's
  lock, is open for writing.
  """
  subprocess.run(["mount", "--bind", str(path), str(path)], check=True)
  subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)


def make_writable(path: Path) -> None:
  """Undoes `make_read_only`."""
  subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
  """Takes all that is free in a folder's file system; returns the file to delete afterwards."""
  filler = path / "filler"
  with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
    while file.write(bytes(4096)):
      pass
  return filler


@contextlib.contextmanager
def _limited(what: int, value: int):
  soft, hard = resource.getrlimit(what)
  resource.setrlimit(what, (value, hard))
  try:
    yield
  finally:
    resource.setrlimit(what, (soft, hard))


def largest_file(size: int):
  """While this holds, no file can grow beyond so many bytes: writing more fails."""
  return _limited(resource.RLIMIT_FSIZE, size)


@contextlib.contextmanager
def no_free_files():
  """While this holds, the process can open no file."""
  with contextlib.ExitStack() as stack:
    taken = [stack.enter_context(open(os.devnull))]
    stack.enter_context(_limited(resource.RLIMIT_NOFILE, taken[0].fileno()))
    with contextlib.suppress(OSError):  # the numbers below that are free
      while True:
        taken.append(stack.enter_context(open(os.devnull)))
    yield


@contextlib.contextmanager
def as_nobody():
  """While this holds, the process has no more rights than any other user."""
  if os.geteuid():
    yield
    return
  os.seteuid(NOBODY)
  try:
    yield
  finally:
    os.seteuid(0)


@contextlib.contextmanager
def of_another_user(path: Path):
  """While this holds, a folder and all in it belong to somebody else, and can only be read."""
  with mode(path, 0o555), as_nobody():
    yield


@contextlib.contextmanager
def mode(path: Path, bits: int):
  """While this holds, a file or folder has those permissions."""
  before = path.stat().st_mode
  path.chmod(bits)
  try:
    yield
  finally:
    path.chmod(before)
