"""A soft prompt in a file of tensors: safetensors, or NumPy's .npy without Python objects."""

import io
import math
from pathlib import Path

import ml_dtypes  # noqa: F401  safetensors looks bfloat16 up among NumPy's types
import numpy as np
from safetensors import SafetensorError, safe_open

from wayjax.errors import WayjaxError, reason
from wayjax.files import MIB, read_bytes

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npz", ".joblib")
_NPY = ".npy"
SUFFIXES = (*_PICKLES, _NPY, ".safetensors")
_FLOATS = ("F64", "F32", "F16", "BF16")
_MOST = 64 * MIB  # numbers; the longest prompt of the widest model has fewer
_SHOWN = 3  # names of tensors in a message


def refuse_pickle(path: Path) -> None:
  """Raises WayjaxError where a file is one that could run code when it is opened."""
  if path.suffix.lower() in _PICKLES:
    raise WayjaxError(
      f"{path} may be a pickle file, which can run code and is never opened: save the tensor as "
      "safetensors (safetensors.torch.save_file)"
    )


def read(path: Path, name: str | None) -> tuple[np.ndarray, str, dict[str, str]]:
  """A file's matrix in float32, the name of the tensor, and the file's metadata.

  Args:
    path: a safetensors file, or a `.npy` file.
    name: the tensor; None means the only one.

  Raises:
    WayjaxError: the file is damaged or a pickle, has no such tensor, or it is no matrix of floats.
  """
  refuse_pickle(path)
  if path.suffix.lower() == _NPY:
    if name is not None:
      raise WayjaxError(f"{path} holds one array without a name: leave tensor out")
    found, name, metadata = _read_npy(path), "", {}
  else:
    found, name, metadata = _read_safetensors(path, name)
  with np.errstate(over="ignore"):  # said below
    found = found.astype(np.float32)
  if not np.isfinite(found).all():
    raise WayjaxError(
      f"{path} holds {_named(name)} with numbers that are not finite in float32: use another prompt"
    )
  return found, name, metadata


def _read_safetensors(path: Path, name: str | None) -> tuple[np.ndarray, str, dict[str, str]]:
  try:
    with safe_open(path, framework="numpy") as file:
      names = sorted(file.keys())
      if name is None and len(names) != 1:
        raise WayjaxError(
          f"{path} holds {len(names)} tensors ({', '.join(names[:_SHOWN])}): name the one that is "
          "the prompt with tensor=, or --tensor"
        )
      name = names[0] if name is None else name
      if name not in names:
        raise WayjaxError(f"{path} has no tensor '{name}': it holds {', '.join(names[:_SHOWN])}")
      part = file.get_slice(name)
      shape, dtype = tuple(part.get_shape()), part.get_dtype()
      _check(path, name, shape, dtype, dtype in _FLOATS)
      return file.get_tensor(name), name, file.metadata() or {}
  except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
    raise WayjaxError(f"{path} cannot be read as safetensors: {reason(error)}") from error


def _read_npy(path: Path) -> np.ndarray:
  content = read_bytes(path, 8 * _MOST + MIB)
  stream = io.BytesIO(content)
  try:
    version = np.lib.format.read_magic(stream)
    headers = {
      (1, 0): np.lib.format.read_array_header_1_0,
      (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
      raise ValueError(f"its version is {version}")
    shape, by_columns, dtype = headers[version](stream)
  except Exception as error:  # it evaluates Python literals, which may fail in any way
    raise WayjaxError(f"{path} cannot be read as .npy: {reason(error)}") from error
  if dtype.hasobject:
    raise WayjaxError(
      f"{path} holds Python objects, which can run code and are never opened: save the vectors as "
      "an array of float32"
    )
  _check(path, "", shape, dtype.name, dtype.kind == "f" and dtype.itemsize in (2, 4, 8))
  count, begin = math.prod(shape), stream.tell()
  if len(content) != begin + count * dtype.itemsize:
    raise WayjaxError(
      f"{path} cannot be read as .npy: it is cut off, or has more than its shape says"
    )
  array = np.frombuffer(content, dtype, count, begin)
  return array.reshape(shape, order="F" if by_columns else "C")


def _check(path: Path, name: str, shape: tuple, dtype: str, is_float: bool) -> None:
  """Raises WayjaxError where a tensor is no soft prompt, before it is read."""
  if len(shape) != 2 or min(shape) < 1 or not is_float:
    raise WayjaxError(
      f"{path} holds {_named(name)} as {dtype} {shape}, which is not a soft prompt: that is a "
      "matrix of floating-point numbers, (tokens, width)"
    )
  if math.prod(shape) > _MOST:
    raise WayjaxError(
      f"{path} holds {_named(name)} as {dtype} {shape}, which is too large for a soft prompt: name "
      "the tensor that is one"
    )


def _named(name: str) -> str:
  return f"'{name}'" if name else "its array"
