"""The hash of all that a model computes with, and where a large one is remembered."""

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wayjax import hub

_LARGE = 2**28  # bytes of files from which a hash is remembered; fewer are hashed in a moment
_SETTLED = 2.0  # seconds: a file system may give two changes within them one time
_ID = re.compile(rb"[0-9a-f]{64}")


class WeightsHash:
  """The sha256 of hyper-parameters and tensors, taken while the tensors are loaded.

  It is the same however the tensors are spread over files, and whatever the compute type. Reading
  8 GB takes seconds, hashing them as long again, so the hash of large files is remembered by their
  paths, sizes, inodes and times. A file's time of change cannot be set back, so a file that was
  replaced or written to is hashed again.

  Args:
    settings: the model's hyper-parameters, a dataclass.
    files: the files that the tensors come from.
  """

  def __init__(self, settings, files: Iterable[Path]):
    self._settings = _settings(settings)
    self._tensors: dict[str, tuple] = {}
    self._remembered = self._place = None
    # Links are followed, so a snapshot of the Hub is known by its blobs.
    found = [(str(path.resolve()), os.stat(path)) for path in sorted(set(files))]
    if sum(stat.st_size for _, stat in found) < _LARGE:
      return
    times = [max(stat.st_mtime, stat.st_ctime) for _, stat in found]
    if max(times) > time.time() - _SETTLED:
      return
    identity = [
      (path, stat.st_size, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
      for path, stat in found
    ]
    self._place = hub.user_cache() / "weights" / _sha256_of([self._settings, identity])
    try:
      content = self._place.read_bytes()
    except OSError:  # not there
      return
    if _ID.fullmatch(content):
      self._remembered = content.decode()

  def add(self, name: str, shape: tuple[int, ...], part: np.ndarray) -> None:
    """Takes in the next rows of a tensor, of that shape as a whole."""
    if self._remembered is None:
      kind = part.dtype.name, list(shape)
      *_, digest = self._tensors.setdefault(name, (*kind, hashlib.sha256()))
      digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))

  def hexdigest(self) -> str:
    """The hash, once all tensors were added."""
    if self._remembered is None:
      tensors = {n: [*kind, digest.hexdigest()] for n, (*kind, digest) in self._tensors.items()}
      self._remembered = _sha256_of([self._settings, tensors])
      if self._place is not None:
        hub.keep(self._place, self._remembered.encode())
    return self._remembered


def tokenizer_sha256(tokenizer) -> str:
  """The sha256 of what decides how a tokenizer turns text into ids and back.

  Args:
    tokenizer: a Hugging Face tokenizer.
  """
  backend = getattr(tokenizer, "backend_tokenizer", None)
  parts = {"vocab": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
  # How texts are cut, filled up and framed is not for the tokenizer to say here.
  names = ("vocab", "added_tokens", "normalizer", "pre_tokenizer", "model", "decoder")
  parts = {name: parts.get(name) for name in names} | {"eos": tokenizer.eos_token_id}
  if merges := (parts["model"] or {}).get("merges"):
    # Versions of tokenizers differ in how they write them.
    parts["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in merges]
  return _sha256_of(_without_defaults(parts))


def _without_defaults(value):
  """Without what is off or empty, as options are that later versions add."""
  if isinstance(value, dict):
    return {
      name: _without_defaults(part)
      for name, part in value.items()
      if part or (isinstance(part, int) and not isinstance(part, bool))
    }
  return [_without_defaults(part) for part in value] if isinstance(value, list) else value


def _settings(settings) -> dict:
  """Hyper-parameters that are not their defaults, so that new ones change no hash."""
  return {
    field.name: _rounded(value)
    for field in dataclasses.fields(settings)
    if (value := getattr(settings, field.name)) != field.default
  }


def _rounded(value):
  """Numbers to six digits: the last ones of what is computed differ between machines."""
  if isinstance(value, tuple):
    return [_rounded(part) for part in value]
  return f"{value:.6g}" if isinstance(value, float) else value


def _sha256_of(value) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
