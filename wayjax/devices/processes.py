"""Several processes that train one sweep, on one machine or many: they start and agree here."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from wayjax.errors import WayjaxError


def start(
  coordinator: str | None, processes: int | None, process_id: int | None, distributed: bool
) -> None:
  """Joins the other processes; call it before any computation.

  Args:
    coordinator: host:port of the first process; None on TPU slices, SLURM and Open MPI, which tell.
    processes: how many there are; None likewise.
    process_id: which of them this is, from 0; None likewise.
    distributed: whether there are others though no coordinator is named.

  Raises:
    WayjaxError: they do not find each other.
  """
  if coordinator is None and not distributed:
    return
  try:
    jax.distributed.initialize(coordinator, processes, process_id)
  except (RuntimeError, ValueError) as error:
    raise WayjaxError(
      f"the processes do not find each other: {str(error).splitlines()[0]}"
    ) from error


def is_first() -> bool:
  """Whether this process is the one that shows and writes."""
  return jax.process_index() == 0


def gather(*numbers: float) -> np.ndarray:
  """The numbers of all processes, (processes, numbers): every process must call this."""
  if jax.process_count() == 1:
    return np.array([numbers])
  return np.asarray(multihost_utils.process_allgather(np.array(numbers, np.float64)))


def wait_for_all(what: str) -> None:
  """Returns when every process is here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)
