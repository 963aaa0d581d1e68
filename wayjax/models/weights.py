"""Weights: safetensors files -> a module's parameters, through a strict key map."""

import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open

from wayjax.errors import WayjaxError

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


def find_tensors(folder: Path) -> dict[str, Path]:
  """The tensors that a folder's safetensors files hold, by name, with the file of each.

  Raises:
    WayjaxError: there are none, there are only pickle files, or a file is damaged or missing.
  """
  if (folder / _INDEX).is_file():
    try:
      weight_map = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"]
      return {name: folder / Path(file).name for name, file in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise WayjaxError(f"{folder / _INDEX} is damaged ({error!r}): download it again") from error
  if (folder / _SINGLE).is_file():
    with _open(folder / _SINGLE) as file:
      return dict.fromkeys(file.keys(), folder / _SINGLE)
  if pickles := sorted(path.name for path in folder.glob("*.bin")):
    raise WayjaxError(
      f"{folder} holds only pickle weights ({', '.join(pickles[:3])}), which can run any code when "
      "they are opened: convert them to safetensors (in transformers, from_pretrained and then "
      "save_pretrained) or take a revision that has model.safetensors"
    )
  raise WayjaxError(
    f"{folder} holds no weights: wayjax looks for {_SINGLE} or {_INDEX}; pickle files (.bin) are "
    "not loaded, for they can run any code"
  )


def load_weights(
  abstract: nnx.State,
  files: dict[str, Path],
  sources: dict[tuple[str, ...], str],
  ignored: tuple[str, ...],
  prefix: str,
) -> nnx.State:
  """Fills a model's parameters from files, and accepts no surprise.

  Args:
    abstract: the model's parameters as shapes and types; stacked layers lead with their axis.
    files: tensor name -> the safetensors file that holds it.
    sources: parameter path -> tensor name, in which {} stands for the layer's number.
    ignored: patterns of tensor names that are known and not needed.
    prefix: a prefix that all names may carry or lack.

  Returns:
    The same state with arrays on the default device, each in its parameter's type. Parameters that
    share a tensor and a type share one array.

  Raises:
    WayjaxError: naming every tensor that is missing, unknown or of the wrong shape.
  """
  found = {name.removeprefix(prefix): (name, path) for name, path in files.items()}
  twice = sorted(name for name in files if name != name.removeprefix(prefix) in files)
  parameters = dict(nnx.to_flat_state(abstract))
  wanted = {path: _names(sources[path], leaf.shape) for path, leaf in parameters.items()}
  problems = [f"twice, with and without '{prefix}': {name}" for name in twice]
  problems += _misfits(parameters, wanted, found, sources, ignored)
  if problems:
    raise WayjaxError(
      "the weights do not fit the model's config.json (" + "; ".join(problems) + ")"
    )

  arrays = {}
  for path, leaf in parameters.items():
    key = (sources[path], leaf.dtype)
    if key not in arrays:
      host = np.empty(leaf.shape, leaf.dtype)
      rows = host if "{}" in sources[path] else host[None]
      for row, name in zip(rows, wanted[path], strict=True):
        row[...] = _read(*found[name])
      arrays[key] = jnp.asarray(host)
  return nnx.from_flat_state(
    [(path, leaf.replace(arrays[sources[path], leaf.dtype])) for path, leaf in parameters.items()]
  )


def _misfits(parameters, wanted, found, sources, ignored) -> list[str]:
  """Every tensor that is missing, not part of the model, or of the wrong shape."""
  needed = {name for names in wanted.values() for name in names}
  problems = [f"missing: {name}" for name in sorted(needed - set(found))]
  problems += [
    f"not part of this model: {found[name][0]}"
    for name in sorted(set(found) - needed)
    if not any(re.fullmatch(pattern, name) for pattern in ignored)
  ]
  expected = {
    name: tuple(leaf.shape[1:] if "{}" in sources[path] else leaf.shape)
    for path, leaf in parameters.items()
    for name in wanted[path]
  }
  for file in sorted({found[name][1] for name in needed & set(found)}):
    with _open(file) as tensors:
      held = set(tensors.keys())
      for name in sorted(name for name in needed & set(found) if found[name][1] == file):
        stored = found[name][0]
        if stored not in held:
          problems.append(f"missing: {stored}, which the index places in {file.name}")
        elif (shape := tuple(tensors.get_slice(stored).get_shape())) != expected[name]:
          problems.append(f"wrong shape: {stored} is {shape}, expected {expected[name]}")
  return problems


def _names(source: str, shape: tuple[int, ...]) -> list[str]:
  """The tensors that fill one parameter: one, or one for each layer."""
  return [source.format(layer) for layer in range(shape[0])] if "{}" in source else [source]


def _open(path: Path):
  try:
    return safe_open(path, framework="numpy")
  except (SafetensorError, OSError) as error:
    raise WayjaxError(
      f"{path} cannot be read as safetensors ({error}): download it again"
    ) from error


def _read(name: str, path: Path) -> np.ndarray:
  with _open(path) as file:
    return file.get_tensor(name)
