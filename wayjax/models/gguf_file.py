"""A model in one GGUF file: configuration, weights and tokenizer under Hugging Face's names."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from wayjax.errors import WayjaxError
from wayjax.models.family import Family
from wayjax.models.gguf_reader import read_gguf
from wayjax.models.gguf_tokenizer import build_tokenizer
from wayjax.models.hyperparameters import require_ids_unneeded
from wayjax.models.rope_scaling import DIVISORS
from wayjax.models.weights import StoredTensor

_ROWS = 4096  # dequantised at a time, which takes several times their memory
# Tensors that belong to the configuration -> their option there.
_ROTARY = {
  "rope_freqs.weight": DIVISORS,
  "rope_factors_short.weight": "short_factor",
  "rope_factors_long.weight": "long_factor",
}
# Metadata of an architecture that does not affect results, or that the tensors imply.
_NEUTRAL = {
  "vocab_size",
  "attention.value_length",
  "tensor_data_layout",
  "rope.scaling.original_context_length",
  "rope.scaling.finetuned",
}
# Metadata that is implemented for these values only; all other metadata is refused by name.
_ACCEPTED = {
  "attention.causal": (True,),
  "expert_count": (0,),
  "expert_used_count": (0,),
  "rope.scale_linear": (1.0,),
  "rope.scaling.attn_factor": (1.0,),
  "rope.scaling.factor": (0.0, 1.0),
  "rope.scaling.type": ("none",),
  "use_parallel_residual": (False,),
}
# Metadata that has a default; everything else that a family reads is required.
_OPTIONAL = {
  "attention.head_count_kv",
  "attention.key_length",
  "rope.freq_base",
  "rope.dimension_count",
  "rope.scaling.original_context_length",
  "rope.scaling.attn_factor",
  "attention.sliding_window",
  "attn_logit_softcapping",
  "final_logit_softcapping",
}


class GGUFFile:
  """A GGUF file.

  Args:
    path: the file.
    families: the known families by `model_type`, which GGUF calls architecture.

  Attributes:
    path: the file.
    config: its metadata as `config.json` would contain it.

  Raises:
    WayjaxError: it is damaged or one part of several, or its architecture or one of its options
      is not implemented.
  """

  def __init__(self, path: Path, families: Mapping[str, Family]):
    self.path = path
    self._metadata, self._tensors = read_gguf(path)
    known = gguf.MODEL_ARCH_NAMES.values()
    readable = sorted(name for name, family in families.items() if family.gguf and name in known)
    self._architecture = self._metadata.get("general.architecture")
    own = f"{self._architecture}.embedding_length_per_layer_input"
    require_ids_unneeded(path, self._architecture, self._metadata.get(own))
    if self._architecture not in readable:
      raise WayjaxError(
        f"{path} has the architecture {self._architecture!r}; from GGUF files wayjax reads "
        f"{', '.join(readable)}"
      )
    if (parts := self._metadata.get("split.count", 0)) not in (0, 1):
      raise WayjaxError(
        f"{path} is one of {parts} parts: join them with llama.cpp's `llama-gguf-split --merge`"
      )
    self._gguf = families[self._architecture].gguf
    self.config = self._read_config()

  def _read_config(self) -> dict:
    """The metadata as `config.json` would contain it."""
    prefix = f"{self._architecture}."
    given = {k.removeprefix(prefix): v for k, v in self._metadata.items() if k.startswith(prefix)}
    config = {
      "model_type": self._architecture,
      "tie_word_embeddings": "output.weight" not in self._tensors,
    }
    needed = self._gguf.options.keys() - _OPTIONAL
    if lacking := sorted(prefix + key for key in needed - given.keys()):
      raise WayjaxError(f"{self.path} lacks {', '.join(lacking)}: it is not a complete model")
    for key, value in given.items():
      if key == "rope.scaling.type" and value == "linear":
        config["rope_scaling"] = {"rope_type": "linear", "factor": given.get("rope.scaling.factor")}
      elif key == "rope.scaling.factor" and given.get("rope.scaling.type") == "linear":
        continue
      elif key in self._gguf.options:
        config[self._gguf.options[key]] = value
      elif key not in _NEUTRAL and value not in _ACCEPTED.get(key, ()):
        raise WayjaxError(
          f"{self.path} sets {prefix}{key} to {str(value)[:50]}, which wayjax does not implement"
        )
    if "token_embd.weight" not in self._tensors:
      raise WayjaxError(
        f"{self.path} lacks the tensor token_embd.weight: it is not a complete model"
      )
    for name, option in _ROTARY.items():
      if name in self._tensors:
        config[option] = _whole(self._tensors[name], self.path).ravel()
    config |= self._gguf.implied(config)
    config["vocab_size"] = int(self._tensors["token_embd.weight"].shape[-1])
    return config

  @property
  def weight_files(self) -> set[Path]:
    """The files that the tensors come from."""
    return {self.path}

  def load_tokenizer(self):
    """The tokenizer.

    Raises:
      WayjaxError: it cannot be built, or is of another kind than wayjax reads.
    """
    return build_tokenizer(self._metadata, self.path)

  def find_tensors(self, family: Family, names: set[str]) -> tuple[dict[str, StoredTensor], bool]:
    """The tensors by Hugging Face's names without prefix, and that matrices are (out, in)."""
    theirs = self._gguf_names(family, names)
    found = {}
    for name, tensor in self._tensors.items():
      if name in _ROTARY:
        continue  # already in the configuration
      short = theirs.get(name, name)
      heads = self._permuted_heads(family, short)
      shape = tuple(int(size) for size in reversed(tensor.shape))
      found[short] = StoredTensor(name, shape, _parts(tensor, self.path, heads))
    return found, True

  def _gguf_names(self, family: Family, names: set[str]) -> dict[str, str]:
    """GGUF's name -> Hugging Face's name without prefix, for the tensors that a model needs."""
    architecture = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == self._architecture)
    layers = self._metadata.get(f"{self._architecture}.block_count", 0)
    table = gguf.get_tensor_name_map(architecture, layers)
    found = {}
    for name in names:
      for full in (family.prefixes[0] + name, name):
        if (theirs := table.get_name(full, (".weight", ".bias"))) is not None:
          found[theirs] = name
    return found

  def _permuted_heads(self, family: Family, name: str) -> int | None:
    """How many heads' rows are in the order of interleaved pairs; None for other tensors."""
    for module, option in family.gguf.permuted.items():
      if f".{module}." in name:
        # Without a separate number of key-value heads, there are as many as query heads.
        return self.config.get(option) or self.config["num_attention_heads"]
    return None


def _whole(tensor: gguf.ReaderTensor, path: Path) -> np.ndarray:
  return np.concatenate(list(_dequantise(tensor, path)))


def _parts(tensor: gguf.ReaderTensor, path: Path, heads: int | None):
  """A function that reads a tensor as float32, some rows at a time, in Hugging Face's order."""

  def parts():
    if heads is None:
      yield from _dequantise(tensor, path)
      return
    array = _whole(tensor, path)
    # Neighbouring rows are a rotary pair in GGUF; in Hugging Face's order the halves are apart.
    pairs = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
    yield np.swapaxes(pairs, 1, 2).reshape(array.shape)

  return parts


def _dequantise(tensor: gguf.ReaderTensor, path: Path):
  """The tensor's rows in float32, some at a time; a vector at once."""
  shape = tuple(reversed(tensor.shape.tolist()))
  # The bytes of a vector cannot be split just anywhere.
  rows = _ROWS if len(shape) > 1 else shape[0]
  try:
    for first in range(0, shape[0], rows):
      part = slice(first, first + rows) if len(shape) > 1 else slice(None)
      with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by name
        floats = gguf.dequantize(tensor.data[part], tensor.tensor_type)
      yield floats.reshape(-1, *shape[1:])
  except NotImplementedError as error:
    raise WayjaxError(
      f"{path} contains {tensor.name} as {tensor.tensor_type.name}, which cannot be dequantised: "
      "use another quantisation"
    ) from error
