"""Weights: the tensors of a model's files -> a module's parameters, with every misfit refused."""

import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.devices.sharding import Layout, place
from wayjax.errors import WayjaxError
from wayjax.models.family import Family


class StoredTensor(NamedTuple):
  """A tensor in a model's files.

  Attributes:
    name: its name there.
    shape: its shape there.
    parts: reads it as arrays of consecutive rows, so that a large one need not be there twice.
  """

  name: str
  shape: tuple[int, ...]
  parts: Callable[[], Iterable[np.ndarray]]

  def read(self) -> np.ndarray:
    """The whole tensor."""
    return np.concatenate(list(self.parts()))


def load_weights(
  abstract: nnx.State,
  stored: dict[str, StoredTensor],
  family: Family,
  *,
  tied: bool,
  transposed: bool,
  layout: Layout,
  seen: Callable[[str, tuple[int, ...], np.ndarray], None] = lambda name, shape, part: None,
) -> nnx.State:
  """Fills a model's parameters, one tensor at a time.

  Args:
    abstract: the parameters as shapes and types; stacked layers have a leading axis.
    stored: the tensors of a model's files by Hugging Face's names, without prefix.
    family: the family that the names belong to.
    tied: whether the head is the embedding table.
    transposed: whether matrices are stored (out, in).
    layout: where the arrays go.
    seen: called the first time that a tensor is read, with its name, its shape, and each of its
      parts in order.

  Returns:
    The same state with arrays on the devices, each in its parameter's type. Parameters that share a
    tensor and a type share one array.

  Raises:
    WayjaxError: naming every tensor that is missing, unknown or of the wrong shape, or the first
      row whose numbers are not finite.
  """
  parameters = dict(nnx.to_flat_state(abstract))
  sources = {path: family.tensor_name(path, tied) for path in parameters}
  flipped = {path: transposed and path[-1] == "kernel" for path in parameters}
  expected = {}
  for path, leaf in parameters.items():
    stacked = "{}" in sources[path]
    shape = leaf.shape[1:] if stacked else leaf.shape
    for name in _names(sources[path], leaf.shape):
      expected[name] = shape[::-1] if flipped[path] else shape
  ignored = (*family.ignored, *([rf"{re.escape(_head(family))}\.weight"] if tied else []))
  if problems := _misfits(expected, stored, ignored):
    raise WayjaxError(
      "the weights do not fit the model's configuration (" + "; ".join(problems) + ")"
    )

  arrays, known = {}, set()
  for path, leaf in parameters.items():
    key = (sources[path], leaf.dtype, _times(leaf))
    if key not in arrays:
      host = np.empty(leaf.shape, leaf.dtype)
      rows = host if "{}" in sources[path] else host[None]
      for row, name in zip(rows, _names(sources[path], leaf.shape), strict=True):
        target = row.T if flipped[path] else row
        first = 0
        for part in stored[name].parts():
          if name not in known:
            seen(name, stored[name].shape, part)
          _fill(target[first : first + len(part)], stored[name].name, part, first, _times(leaf))
          first += len(part)
        known.add(name)
      arrays[key] = place(host, layout.weight(host.shape))
  return nnx.from_flat_state(
    [
      (path, leaf.replace(arrays[sources[path], leaf.dtype, _times(leaf)]))
      for path, leaf in parameters.items()
    ]
  )


def _fill(target: np.ndarray, name: str, part: np.ndarray, first: int, times: float) -> None:
  """Puts rows of a tensor, from the first one on, where they belong."""
  with np.errstate(over="ignore"):  # what overflows is refused below
    target[...] = part
    if times != 1:
      target *= np.float32(times)
  if not _is_finite(target):
    raise _not_finite(name, part, first, target.dtype)


def _times(leaf: nnx.Param) -> float:
  """What a parameter holds, as a multiple of the tensor that is stored."""
  return leaf.get_metadata().get("times", 1.0)


def _is_finite(array: np.ndarray) -> bool:
  if array.dtype == jnp.bfloat16:  # NumPy's own test of this type takes four times as long
    return not np.any((array.view(np.uint16) & 0x7F80) == 0x7F80)
  return bool(np.isfinite(array).all())


def _not_finite(name: str, part: np.ndarray, first: int, dtype) -> WayjaxError:
  with np.errstate(over="ignore"):
    cast = part.astype(dtype).astype(np.float32)
  at = np.unravel_index(np.argmin(np.isfinite(cast)), cast.shape)
  value = float(part[at])
  where = f"{name}, {'row' if part.ndim > 1 else 'place'} {first + at[0]}"
  if np.isfinite(value):
    return WayjaxError(
      f"the weights contain {value:g} ({where}), which is beyond {dtype.name}: use another copy of "
      "the model"
    )
  return WayjaxError(
    f"the weights contain {value} ({where}), with which nothing can be computed: download the "
    "model again, or use another copy of it"
  )


def tensor_names(abstract: nnx.State, family: Family, *, tied: bool) -> set[str]:
  """Hugging Face's names, without prefix, of all tensors that a model needs."""
  return {
    name
    for path, leaf in nnx.to_flat_state(abstract)
    for name in _names(family.tensor_name(path, tied), leaf.shape)
  }


def count_parameters(abstract: nnx.State, family: Family, *, tied: bool) -> int:
  """The number of a model's parameters; a tied head counts once."""
  sizes = {
    family.tensor_name(path, tied): math.prod(leaf.shape)
    for path, leaf in nnx.to_flat_state(abstract)
  }
  return sum(sizes.values())


def _head(family: Family) -> str:
  return family.names.get("lm_head", "lm_head")


def _misfits(expected, stored, ignored) -> list[str]:
  """Every tensor that is missing, not part of the model, or of the wrong shape."""
  problems = [f"missing: {name}" for name in sorted(set(expected) - set(stored))]
  problems += [
    f"not part of this model: {stored[name].name}"
    for name in sorted(set(stored) - set(expected))
    if not any(re.fullmatch(pattern, name) for pattern in ignored)
  ]
  problems += [
    f"wrong shape: {stored[name].name} is {stored[name].shape}, expected {tuple(expected[name])}"
    for name in sorted(set(expected) & set(stored))
    if stored[name].shape != tuple(expected[name])
  ]
  return problems


def _names(source: str, shape: tuple[int, ...]) -> list[str]:
  """The tensors that fill a parameter: one, or one per layer."""
  return [source.format(layer) for layer in range(shape[0])] if "{}" in source else [source]
