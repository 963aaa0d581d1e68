"""What a family's file says about its architecture: `Family`, of which `FAMILIES` is made."""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class GGUF:
  """How a family's GGUF files differ from its Hugging Face files.

  Attributes:
    options: metadata key without the architecture's name -> option of `config.json`.
    permuted: modules whose rows stand in the order of interleaved rotary pairs -> the option that
      holds their number of heads.
  """

  options: Mapping[str, str]
  permuted: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Family:
  """One architecture, which `FAMILIES` lists under its `model_type`.

  A parameter's path in the module is its tensor's name in Hugging Face's files, but for `names`.

  Attributes:
    read_config: `config.json` as a dict -> hyper-parameters, a frozen dataclass that has
      `vocab_size`, `max_position_embeddings` and `tie_word_embeddings`. Raises WayjaxError for
      options that are not implemented.
    module: the `Decoder` class, made by `module(hyper_parameters, dtype, rngs=rngs)`.
    prefix: what the names of all tensors but the head's may begin with.
    names: our name of a module -> theirs.
    transposed: matrices are stored (out, in), as torch's Linear does, not (in, out).
    ignored: patterns of tensors that old files hold and that are not needed.
    gguf: how its GGUF files are read; None where they are not.
  """

  read_config: Callable[[dict], typing.Any]
  module: type
  prefix: str
  names: Mapping[str, str] = dataclasses.field(default_factory=dict)
  transposed: bool = True
  ignored: tuple[str, ...] = ()
  gguf: GGUF | None = None

  def tensor_name(self, path: tuple[str, ...], tied: bool) -> str:
    """The tensor that fills a parameter, without prefix; {} stands for the layer's number."""
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
