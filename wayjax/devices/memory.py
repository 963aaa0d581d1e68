"""How much fits a device, found by compiling programs and reading what they need."""

import contextlib
import gc
from collections.abc import Callable
from typing import NamedTuple

import jax

from wayjax import devices, processes

SHARE = 0.8  # of what is free, for one program


class Fitted(NamedTuple):
  """A compiled program, how many it computes at once, and the bytes it needs besides its inputs."""

  compiled: Callable
  size: int
  memory: int


def temporary_bytes(compiled: jax.stages.Compiled) -> int:
  """What a program needs besides its inputs and outputs."""
  return compiled.memory_analysis().temp_size_in_bytes


def compile_to_fit(
  lower: Callable[[int], jax.stages.Lowered], size: int, *, free: int | None = None
) -> Fitted:
  """Compiles a program for as many at once as fit the free memory.

  Args:
    lower: gives the program for a size.
    size: the largest size that is wanted.
    free: bytes that may be used; None means a share of what the device has free.

  Returns:
    The program with the largest size that fits; with size 1, and more memory than is free, where
    not even that does.
  """
  free = int(SHARE * processes.gather(devices.free_memory()).min()) if free is None else free
  while True:
    try:
      with _no_garbage_collection():
        lowered = lower(size)
      compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
      # TPUs refuse a program that is too large when they compile it.
      if size == 1 or "RESOURCE_EXHAUSTED" not in str(error):
        raise
      size //= 2
      continue
    memory = temporary_bytes(compiled)
    if memory <= free or size == 1:
      return Fitted(compiled, size, memory)
    size = max(1, min(int(size * free / memory), size - 1))


@contextlib.contextmanager
def _no_garbage_collection():
  """Tracing makes many objects and leaves few: to look for garbage is a fifth of its time."""
  enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if enabled:
      gc.enable()
