"""`Family`: what a model family's module states about its architecture, listed in `FAMILIES`."""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping

from flax import nnx


@dataclasses.dataclass(frozen=True)
class GGUF:
  """How a family's GGUF files differ from its Hugging Face files.

  Attributes:
    options: metadata key without the architecture's name -> option of `config.json`.
    permuted: modules whose rows are in the order of interleaved rotary pairs -> the option with
      their number of heads.
    implied: options, read so far -> others that files leave to the reader.
  """

  options: Mapping[str, str]
  permuted: Mapping[str, str] = dataclasses.field(default_factory=dict)
  implied: Callable[[dict], dict] = lambda config: {}


@dataclasses.dataclass(frozen=True)
class Family:
  """One architecture, which `FAMILIES` lists under its `model_type`.

  A parameter's path in the module is its tensor's name in Hugging Face's files, apart from `names`.

  Attributes:
    read_config: `config.json` as a dict -> hyper-parameters, a frozen dataclass with
      `vocab_size`, `max_position_embeddings` and `tie_word_embeddings`, and `sliding_window` where
      a family has one: no sequence may be longer, so that no window ever cuts anything off. Raises
      WayjaxError for options that are not implemented.
    module: the `Decoder` subclass, called as `module(hyper_parameters, dtype, rngs=rngs)`.
    prefixes: what the names of all tensors but the head's may start with; one of these.
    names: our name for a module -> theirs.
    transposed: matrices are stored (out, in), as torch's Linear does, not (in, out).
    ignored: patterns of tensors that files may contain and that are not needed.
    norms_less_one: a norm's weights are stored less 1, in Hugging Face's files only.
    gguf: how its GGUF files are read; None if they are not supported.
  """

  read_config: Callable[[dict], typing.Any]
  module: type
  prefixes: tuple[str, ...]
  names: Mapping[str, str] = dataclasses.field(default_factory=dict)
  transposed: bool = True
  ignored: tuple[str, ...] = ()
  norms_less_one: bool = False
  gguf: GGUF | None = None

  def abstract(self, hyper_parameters, dtype, platform: str) -> tuple[nnx.GraphDef, nnx.State]:
    """A model's structure for such devices, and its weights' shapes."""

    def make() -> nnx.Module:
      model = self.module(hyper_parameters, dtype, rngs=nnx.Rngs(0))
      model.platform = platform
      return model

    return nnx.split(nnx.eval_shape(make))

  def without_prefix(self, name: str) -> str:
    """A tensor's name without any of the prefixes."""
    for prefix in self.prefixes:
      if name.startswith(prefix):
        return name.removeprefix(prefix)
    return name

  def tensor_name(self, path: tuple[str, ...], tied: bool) -> str:
    """The tensor that fills a parameter, without prefix; {} is the layer's number."""
    if tied and path == ("lm_head", "weight"):
      path = ("embed_tokens",)
    parts = [{"kernel": "weight", "scale": "weight"}.get(part, part) for part in path]
    if parts[-1] not in ("weight", "bias"):
      parts.append("weight")
    name = ".".join(parts)
    for ours, theirs in self.names.items():
      name = re.sub(rf"(?<![^.]){re.escape(ours)}(?![^.])", theirs, name)
    layers = self.names.get("layers", "layers")
    return re.sub(rf"^{re.escape(layers)}\.", f"{layers}.{{}}.", name)
