"""Compiled programs: of a size that fits the free memory, and kept on disk for the next run."""

import contextlib
import ctypes
import gc
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from wayjax.devices import processes
from wayjax.hub import user_cache

SHARE = 0.8  # of a machine's free memory, which others use too, for one program
SHARE_OF_POOL = 0.95  # of what is free in a device's pool, which is already a share of its memory


def cache_folder() -> Path:
  """Where programs are kept: jax's own setting, or wayjax's folder in the user's cache.

  Every kind of CPU has its own folder, because machines may share a home, and a program compiled
  for one of them may contain instructions that another lacks.
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
  return user_cache() / "xla" / kind


def keep_programs() -> None:
  """Turns the cache on; `JAX_ENABLE_COMPILATION_CACHE=false` leaves it off."""
  folder = cache_folder()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # the home cannot be written to: programs are compiled every time
  jax.config.update("jax_compilation_cache_dir", str(folder))


def forget_programs() -> None:
  """Frees what jax keeps of programs that nobody holds any more.

  A program of 37 MB and hundreds of memory maps, of which Linux allows a process 65,530, would stay
  for every shape. Functions that are still needed are compiled, or taken from disk, once more.
  """
  jax.clear_caches()
  _give_memory_back()


def _give_memory_back() -> None:
  """Returns what compiling took to the machine; it stays with the process otherwise."""
  with contextlib.suppress(AttributeError, OSError):  # the C library of Linux alone has it
    ctypes.CDLL(None).malloc_trim(0)


class Fitted(NamedTuple):
  """A compiled program, how many it computes at once, and the bytes it needs besides its inputs."""

  compiled: Callable
  size: int
  memory: int


def temporary_bytes(compiled: jax.stages.Compiled) -> int:
  """The bytes that a program needs besides its inputs and outputs."""
  return compiled.memory_analysis().temp_size_in_bytes


def compile_to_fit(
  lower: Callable[[int], jax.stages.Lowered], size: int, *, free: int | None = None
) -> Fitted:
  """Compiles a program for as many at once as fit the free memory.

  Args:
    lower: lowers the program for a size.
    size: the largest size wanted.
    free: bytes that may be used; None means `usable_memory`.

  Returns:
    The program for the largest size that fits, or for size 1 if not even that fits.
  """
  free = int(processes.gather(usable_memory()).min()) if free is None else free
  while True:
    try:
      with _no_garbage_collection():
        lowered = lower(size)
      compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
      # TPUs refuse to compile a program that is too large, and say by how much.
      if size == 1 or "RESOURCE_EXHAUSTED" not in str(error):
        raise
      size = max(1, int(size * min(0.95, _share_of_need(str(error)))))
      continue
    _give_memory_back()
    memory = temporary_bytes(compiled)
    if memory <= free or size == 1:
      return Fitted(compiled, size, memory)
    size = max(1, min(int(size * free / memory), size - 1))


# The words of libtpu 0.0.50, and of earlier ones.
_REFUSED = re.compile(
  r"(?:temporaries \(|Used )([\d.]+)([KMGT])(?:\) exceeds available HBM \(| of )([\d.]+)([KMGT])"
)


def _share_of_need(message: str) -> float:
  """What a TPU has, as a share of what a program needs, by its compiler's words; else a half."""
  if not (found := _REFUSED.search(message)):
    return 0.5
  used, unit, limit, of = found.groups()
  powers = "KMGT"
  return float(limit) / float(used) * 1024.0 ** (powers.index(of) - powers.index(unit))


@contextlib.contextmanager
def _no_garbage_collection():
  """Tracing makes many objects and little garbage; looking for it takes a fifth of the time."""
  enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if enabled:
      gc.enable()


def usable_memory() -> int:
  """The bytes that one program may take of the free memory."""
  pool = _free_in_pool()
  return int(SHARE * free_memory() if pool is None else SHARE_OF_POOL * pool)


def _free_in_pool() -> int | None:
  """The free bytes of what jax took of the first device's memory; None on a CPU."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "bytes_limit" in stats:
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
  return None


def free_memory() -> int:
  """The free bytes of the first device; of a CPU, those of the machine or its cgroup."""
  pool = _free_in_pool()
  if pool is not None:
    return pool
  # However many devices a CPU is split into, they share the machine's memory.
  return max(min(_memory_limits(Path("/")), default=4 * 2**30), 0) // jax.local_device_count()


def _memory_limits(root: Path) -> list[int]:
  """The free bytes by the kernel's count, and under every memory limit of the process's cgroups."""
  limits = []
  with contextlib.suppress(OSError):
    lines = (root / "proc/meminfo").read_text().splitlines()
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
  with contextlib.suppress(OSError):
    for line in (root / "proc/self/cgroup").read_text().splitlines():
      _, controllers, path = line.split(":", 2)
      if controllers not in ("", "memory"):
        continue
      names = ("memory.max", "memory.current")
      if controllers:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
      group = root / "sys/fs/cgroup" / controllers / path.lstrip("/")
      while group.is_relative_to(root / "sys/fs/cgroup"):
        with contextlib.suppress(OSError, ValueError):
          most, used = (int((group / name).read_text()) for name in names)
          # The page cache counts as used here, but the kernel frees it when memory is needed.
          stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
          limits.append(most - used + int(stat["inactive_file"]))
        group = group.parent
  return limits
