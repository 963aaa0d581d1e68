"""Several processes that train one sweep together, on one machine or many."""

import contextlib
import os
import socket
import sys
import threading
import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from wayjax.errors import WayjaxError, reason

_PATIENCE_SECONDS = 300.0  # as long as jax itself waits for the first process
_RETRY_SECONDS = 1.0
_GOODBYE_SECONDS = 5.0  # what a process that failed waits for the others
_joined = False  # whether this process is one of several
_failed = False  # whether it is, and leaves the others behind


def start(
  coordinator: str | None, processes: int | None, process_id: int | None, distributed: bool
) -> None:
  """Joins the other processes; call it before any computation.

  Args:
    coordinator: host:port of the first process; None on TPU slices, SLURM and Open MPI, which
      provide it.
    processes: how many processes there are; None likewise.
    process_id: which of them this one is, from 0; None likewise.
    distributed: whether there are others even if no coordinator is named.

  Raises:
    WayjaxError: the processes cannot find each other.
  """
  global _joined
  if coordinator is None and not distributed:
    return
  problem = None if coordinator else _slurm_problem()
  if problem and all(name in os.environ for name in _SLURM):
    raise WayjaxError(f"{_NOT_FOUND}: {problem}")  # jax would end the process
  if process_id:
    _wait_for(coordinator)
  try:
    jax.distributed.initialize(coordinator, processes, process_id)
    _joined = True
  except (RuntimeError, ValueError) as error:
    missing = "coordinator_address" in str(error)
    raise WayjaxError(
      f"{_NOT_FOUND}: {(missing and (problem or _NO_LAUNCHER)) or reason(error)}"
    ) from error


_NOT_FOUND = "the processes cannot find each other"
_NO_LAUNCHER = "no launcher tells of them, so give --coordinator, --processes and --process-id"
# What srun sets for every process; an allocation's shell has some of it.
_SLURM = "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"


def _slurm_problem() -> str | None:
  """Which of SLURM's variables is not as srun sets it, in words; None where all or none are."""
  found = {name: os.environ.get(name, "") for name in _SLURM}
  if not any(found.values()):
    return None
  for name, value in found.items():
    usable = bool(value) if name == "SLURM_STEP_NODELIST" else value.isdecimal()
    if not usable:
      return f"SLURM has {f'{name}={value}' if value else f'not set {name}'}: start them with srun"
  if int(found["SLURM_PROCID"]) >= int(found["SLURM_NTASKS"]):
    return "SLURM_PROCID is not below SLURM_NTASKS: start them with srun"
  return None


def _wait_for(coordinator: str) -> None:
  """Returns once the first process answers; jax aborts where it waits for one in vain."""
  host, port = coordinator.rsplit(":", 1)
  gives_up = time.monotonic() + _PATIENCE_SECONDS
  while True:
    try:
      socket.create_connection((host.strip("[]"), int(port)), timeout=_RETRY_SECONDS).close()
      return
    except OSError as error:
      if time.monotonic() > gives_up:
        raise WayjaxError(
          f"nothing answers at --coordinator {coordinator} ({reason(error)}): start the process "
          "with --process-id 0 there"
        ) from error
    time.sleep(_RETRY_SECONDS)


@contextlib.contextmanager
def together():
  """What several processes do together; one that fails leaves the others by `leave`.

  Raises:
    WayjaxError: another process has ended or cannot be reached.
  """
  global _failed
  try:
    yield
  except (WayjaxError, KeyboardInterrupt):
    _failed = _joined
    raise
  except (jax.errors.JaxRuntimeError, ValueError) as error:
    # Collective operations on CPUs raise a ValueError where a connection breaks.
    if not (_joined and _is_of_another(error)):
      raise
    _failed = True
    raise WayjaxError(
      f"another process of this run has ended or cannot be reached ({reason(error)}): what was "
      "written stays in the run folder; start all processes again with --resume"
    ) from error


def _is_of_another(error: Exception) -> bool:
  return not str(error).startswith("RESOURCE_EXHAUSTED") and (
    isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
  )


def leave(code: int) -> None:
  """Ends a process that failed among several; does nothing in any other.

  Jax's own end waits for processes that are gone until they miss their heartbeat, and then aborts.
  """
  if not _failed:
    return
  goodbye = threading.Thread(target=jax.distributed.shutdown, daemon=True)
  goodbye.start()
  goodbye.join(_GOODBYE_SECONDS)
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, AttributeError):
      stream.flush()
  os._exit(code)


def is_first() -> bool:
  """Whether this process is the one that prints and writes files."""
  return jax.process_index() == 0


def gather(*numbers: float) -> np.ndarray:
  """The numbers of all processes, (processes, numbers); every process must call this."""
  if jax.process_count() == 1:
    return np.array([numbers])
  return np.asarray(multihost_utils.process_allgather(np.array(numbers, np.float64)))
