"""A model folder in Hugging Face's layout: config.json, safetensors, tokenizer."""

import json
from pathlib import Path

import ml_dtypes  # noqa: F401  safetensors looks bfloat16 up among NumPy's types
import numpy as np
from safetensors import SafetensorError, safe_open

from wayjax.errors import WayjaxError, in_one_sentence, reason
from wayjax.files import MIB, is_file, open_regular, read_text
from wayjax.models.family import Family
from wayjax.models.tokenizer import check_files
from wayjax.models.weights import StoredTensor

PATTERNS = ["*.json", "*.txt", "*.safetensors"]  # what is fetched from the Hub
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_FLOATS = ("F64", "F32", "F16", "BF16")
_ROWS = 4096  # of a tensor that are read at a time
_MOST = 16 * MIB  # of JSON, and of what a safetensors file says of its tensors


class Folder:
  """A model folder.

  Attributes:
    path: the folder.
    config: its config.json.

  Raises:
    WayjaxError: it has no readable config.json.
  """

  def __init__(self, path: Path):
    self.path = path
    self.config = _read_config(path)

  @property
  def weight_files(self) -> set[Path]:
    """The files that the tensors come from."""
    return set(_files(self.path).values())

  def load_tokenizer(self):
    """The tokenizer.

    Raises:
      WayjaxError: there is none, or it cannot be loaded.
    """
    # Imported here: it takes seconds.
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not _has_tokenizer(self.path):
      raise WayjaxError(
        f"{self.path} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt"
      )
    check_files(self.path)
    options = {"local_files_only": True, "clean_up_tokenization_spaces": False}
    # transformers raises whatever its parsers raise
    with in_one_sentence(f"the tokenizer in {self.path} cannot be loaded"):
      if not is_file(self.path / "tokenizer.json"):
        return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False, **options)
      # AutoTokenizer would replace the file's own pre-tokenizer by that of the class.
      tokenizer = PreTrainedTokenizerFast.from_pretrained(self.path, **options)
      if tokenizer.eos_token is None:  # GPT-2's files leave it to the class
        default = AutoTokenizer.from_pretrained(self.path, trust_remote_code=False, **options)
        tokenizer.eos_token = default.eos_token
      return tokenizer

  def find_tensors(self, family: Family, names: set[str]) -> tuple[dict[str, StoredTensor], bool]:
    """The tensors by name without the family's prefix, and whether matrices are (out, in).

    Args:
      family: the family whose prefix and layout they have.
      names: the tensors that the model needs; a folder's files use these names already.

    Raises:
      WayjaxError: there are none, there are only pickle files, or a file is damaged or missing.
    """
    files = _files(self.path)
    found: dict[str, tuple[str, Path]] = {}
    for name, file in files.items():
      short = family.without_prefix(name)
      if short in found:
        raise WayjaxError(
          f"{self.path} contains the same tensor twice: {found[short][0]} and {name}"
        )
      found[short] = (name, file)
    shapes = _shapes({file for _, file in found.values()})
    lacking = [
      f"missing: {name}, which the index places in {file.name}"
      for name, file in found.values()
      if name not in shapes[file]
    ]
    if lacking:
      raise WayjaxError(f"the files of {self.path} do not match their index ({'; '.join(lacking)})")
    return {
      short: StoredTensor(
        name, shapes[file][name], _parts(file, name, family.norms_less_one and _is_norm(name))
      )
      for short, (name, file) in found.items()
    }, family.transposed


def is_complete(path: Path) -> bool:
  """Whether a snapshot of a repository has weights and a tokenizer."""
  return any(path.glob("*.safetensors")) and _has_tokenizer(path)


def _has_tokenizer(path: Path) -> bool:
  # Without these files transformers invents a tokenizer of one token.
  return is_file(path / "tokenizer.json") or all(
    is_file(path / name) for name in ("vocab.json", "merges.txt")
  )


def _read_config(folder: Path) -> dict:
  path = folder / "config.json"
  if not is_file(path):
    hint = "; pass the .gguf file itself" if any(folder.glob("*.gguf")) else ""
    raise WayjaxError(f"{folder} is not a model folder: it has no config.json{hint}")
  try:
    config = json.loads(read_text(path, _MOST))
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"{path} cannot be read as JSON: {reason(error)}") from error
  if not isinstance(config, dict):
    raise WayjaxError(f"{path} does not contain a JSON object")
  return config


def _files(folder: Path) -> dict[str, Path]:
  """Tensor name -> the safetensors file that contains it."""
  if is_file(folder / _INDEX):
    try:
      weight_map = json.loads(read_text(folder / _INDEX, _MOST))["weight_map"]
      return {name: folder / Path(file).name for name, file in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
      raise WayjaxError(f"{folder / _INDEX} is damaged ({error!r}): download it again") from error
  if is_file(folder / _SINGLE):
    with _open(folder / _SINGLE) as file:
      return dict.fromkeys(file.keys(), folder / _SINGLE)
  if pickles := sorted(path.name for path in folder.glob("*.bin")):
    raise WayjaxError(
      f"{folder} contains only pickle weights ({', '.join(pickles[:3])}), which can run any code "
      "when opened: convert them to safetensors (in transformers, from_pretrained and then "
      "save_pretrained) or use a revision that has model.safetensors"
    )
  raise WayjaxError(
    f"{folder} contains no weights: wayjax looks for {_SINGLE} or {_INDEX}; pickle files (.bin) "
    "are not loaded, because they can run any code"
  )


def _shapes(files: set[Path]) -> dict[Path, dict[str, tuple[int, ...]]]:
  shapes = {}
  for path in sorted(files):
    with _open(path) as file:
      shapes[path] = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
  return shapes


def _is_norm(name: str) -> bool:
  return name.endswith("norm.weight")


def _parts(path: Path, name: str, less_one: bool):
  """A function that reads a tensor, some rows at a time."""

  def parts():
    with _open(path) as file:
      stored = file.get_slice(name)
      if (kind := stored.get_dtype()) not in _FLOATS:
        raise WayjaxError(
          f"{path} contains {name} as {kind}, but wayjax reads {', '.join(_FLOATS)}: use the "
          "model's unquantised weights, or a GGUF file"
        )
      rows = stored.get_shape()[0]
      for first in range(0, rows, _ROWS):
        part = stored[first : min(first + _ROWS, rows)]
        yield part.astype(np.float32) + 1 if less_one else part

  return parts


def _open(path: Path):
  with open_regular(path) as file, in_one_sentence(f"{path} cannot be read"):
    described = int.from_bytes(file.read(8), "little")
  if _MOST < described < 2**32:  # more than that is no safetensors file at all
    raise WayjaxError(
      f"{path} cannot be read: what it says of its tensors takes more than {_MOST // MIB} MiB"
    )
  try:
    return safe_open(path, framework="numpy")
  except (SafetensorError, OSError, ValueError) as error:  # ValueError: no file can have this name
    raise WayjaxError(
      f"{path} cannot be read as safetensors ({error}): download it again"
    ) from error
