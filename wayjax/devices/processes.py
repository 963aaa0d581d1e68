"""Several processes that train one sweep together, on one machine or many."""

import os

import jax
import numpy as np
from jax.experimental import multihost_utils

from wayjax.errors import WayjaxError, reason


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
  if coordinator is None and not distributed:
    return
  wrong = None if coordinator else _wrong_of_slurm()
  if wrong and all(name in os.environ for name in _SLURM):
    raise WayjaxError(f"{_NOT_FOUND}: {wrong}")  # jax would end the process
  try:
    jax.distributed.initialize(coordinator, processes, process_id)
  except (RuntimeError, ValueError) as error:
    missing = "coordinator_address" in str(error)
    raise WayjaxError(
      f"{_NOT_FOUND}: {(missing and (wrong or _NO_LAUNCHER)) or reason(error)}"
    ) from error


_NOT_FOUND = "the processes cannot find each other"
_NO_LAUNCHER = "no launcher tells of them, so give --coordinator, --processes and --process-id"
# What srun sets for every process; an allocation's shell has some of it.
_SLURM = "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"


def _wrong_of_slurm() -> str | None:
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


def is_first() -> bool:
  """Whether this process is the one that prints and writes files."""
  return jax.process_index() == 0


def gather(*numbers: float) -> np.ndarray:
  """The numbers of all processes, (processes, numbers); every process must call this."""
  if jax.process_count() == 1:
    return np.array([numbers])
  return np.asarray(multihost_utils.process_allgather(np.array(numbers, np.float64)))


def wait_for_all(what: str) -> None:
  """Returns once every process has called it."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)
