"""How arrays are laid out: members along one axis of the devices, large weights along the other."""

import dataclasses

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from wayjax.errors import WayjaxError

SWEEP, MODEL = "sweep", "model"


@dataclasses.dataclass(frozen=True)
class Layout:
  """A mesh of all devices, including those of other processes.

  Attributes:
    mesh: its axes are `sweep`, along which members lie, and `model`, along which weights lie.
  """

  mesh: Mesh

  @property
  def platform(self) -> str:
    """What its devices are: `cpu`, `gpu` or `tpu`."""
    found = self.mesh.devices.flat[0].platform
    return "gpu" if found in ("cuda", "rocm") else found

  def members(self, axis: int = 0) -> NamedSharding:
    """The sharding of arrays whose `axis` is M."""
    return NamedSharding(self.mesh, P(*[None] * axis, SWEEP))

  def everywhere(self) -> NamedSharding:
    """The sharding of arrays that every device has whole."""
    return NamedSharding(self.mesh, P())

  def weight(self, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of a weight: whole, or split along the last of its axes that divides evenly.

    Vectors and stacked vectors stay whole: they are small, and every part of a matrix needs them.
    """
    parts = self.mesh.shape[MODEL]
    spec = [None] * len(shape)
    matrix = len(shape) == 3 or (len(shape) == 2 and min(shape) > 1024)
    if parts > 1 and matrix:
      for axis in range(len(shape) - 1, max(len(shape) - 3, -1), -1):
        if shape[axis] % parts == 0:
          spec[axis] = MODEL
          break
    return NamedSharding(self.mesh, P(*spec))

  def rounded(self, members: int) -> int:
    """M of a program for this many members: the same number on every device, some of them idle."""
    devices = self.mesh.shape[SWEEP]
    return -(-members // devices) * devices


def make_layout(model_parallel: int = 1, devices: list[jax.Device] | None = None) -> Layout:
  """Makes the layout over all devices.

  Args:
    model_parallel: devices that share one copy of the model.
    devices: which devices; None means all, including those of other processes.

  Raises:
    WayjaxError: the devices do not divide into such groups.
  """
  devices = jax.devices() if devices is None else devices
  count = len(devices)
  if model_parallel < 1 or count % model_parallel:
    raise WayjaxError(
      f"--model-parallel {model_parallel} does not divide the {count} devices available"
    )
  shape = (count // model_parallel, model_parallel)
  # Auto: with explicit axes a look-up in a sharded table raises.
  axis_types = (AxisType.Auto,) * 2
  return Layout(jax.make_mesh(shape, (SWEEP, MODEL), axis_types=axis_types, devices=devices))


def place(tree, sharding: NamedSharding):
  """Puts arrays that every process has whole onto the devices."""

  def place_array(x):
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

  return jax.tree.map(place_array, tree)


def fetch(tree):
  """Arrays of all devices as NumPy arrays, whole in every process."""

  def fetch_array(x):
    if not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated:
      return np.asarray(x)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(x, tiled=True))

  return jax.tree.map(fetch_array, tree)
