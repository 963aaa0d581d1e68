"""Compiled programs are kept on disk, so that a second run of the same shapes starts at once."""

import hashlib
import os
from pathlib import Path

import jax


def cache_folder() -> Path:
  """Where programs are kept: jax's own setting, or wayjax's folder in the user's cache.

  A folder for each kind of CPU, for homes are shared between machines and a program that was
  compiled for one may hold instructions that another lacks.
  """
  if configured := jax.config.jax_compilation_cache_dir:
    return Path(configured)
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  features = sorted(
    {line for line in lines if line.startswith(("model name", "flags", "Features"))}
  )
  kind = hashlib.sha256("\n".join(features).encode()).hexdigest()[:12]
  base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
  return Path(base) / "wayjax" / "xla" / kind


def keep_programs() -> None:
  """Turns the cache on; `JAX_ENABLE_COMPILATION_CACHE=false` leaves it off."""
  folder = cache_folder()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # a home that cannot be written to: programs are compiled each time
  jax.config.update("jax_compilation_cache_dir", str(folder))
