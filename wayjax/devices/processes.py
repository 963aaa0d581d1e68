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
  try:
    jax.distributed.initialize(coordinator, processes, process_id)
  except (RuntimeError, ValueError) as error:
    raise WayjaxError(f"the processes cannot find each other: {_cause(error)}") from error


_SLURM = "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"


def _cause(error: Exception) -> str:
  """Why processes do not find each other, and what to do."""
  unset = [name for name in _SLURM if not os.environ.get(name)]
  if unset and len(unset) < len(_SLURM):
    return f"SLURM has not set {unset[0]} for this one, so start each of them with srun"
  if "coordinator_address" in str(error):
    return "nothing tells where the first is, so give --coordinator, --processes and --process-id"
  return reason(error)


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
