"""What a family's file says about its architecture, and how configurations are read strictly."""

import dataclasses
import math
import re
import typing
from collections.abc import Callable, Mapping

from wayjax.errors import WayjaxError

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}


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


def read_fields(cls, config: dict):
  """Fills a dataclass of hyper-parameters from a configuration's options of the same names.

  An option that is missing keeps the dataclass's default, as does null where that is allowed;
  options that the dataclass does not have are left out. Every number must be positive.

  Raises:
    WayjaxError: a value of another type.
  """
  types = typing.get_type_hints(cls)
  given = {}
  for field in dataclasses.fields(cls):
    allowed = typing.get_args(types[field.name]) or (types[field.name],)
    kind = allowed[0]
    if field.name not in config or kind not in _KINDS:
      continue
    value = config[field.name]
    if value is None and type(None) in allowed:
      continue
    fits = isinstance(value, (int, float) if kind is float else kind)
    if kind in (int, float):
      fits = fits and not isinstance(value, bool) and 0 < value < math.inf
    if not fits:
      raise WayjaxError(
        f"the model's configuration sets {field.name} to {value!r}, not to {_KINDS[kind]}"
      )
    given[field.name] = kind(value)
  return cls(**given)


def require(config: dict, model: str, **options) -> None:
  """Refuses a configuration that sets an option to anything but the one value implemented.

  Raises:
    WayjaxError: naming the option.
  """
  for option, value in options.items():
    if config.get(option, value) != value:
      raise WayjaxError(
        f"the model's configuration sets {option} to {config[option]!r}; for {model} wayjax "
        f"implements {value!r} only"
      )


def require_one_of(config: dict, option: str, choices) -> None:
  """Refuses a configuration that sets an option to none of the choices.

  Raises:
    WayjaxError: naming the option.
  """
  if option in config and config[option] not in choices:
    raise WayjaxError(
      f"the model's configuration sets {option} to {config[option]!r}; wayjax implements "
      f"{', '.join(choices)}"
    )


def require_divides(config, part: str, whole: str) -> None:
  """Refuses hyper-parameters of which one, such as the number of heads, must divide another.

  Raises:
    WayjaxError: naming both.
  """
  if getattr(config, whole) % getattr(config, part):
    raise WayjaxError(
      f"the model's configuration has {whole} {getattr(config, whole)}, which {part} "
      f"{getattr(config, part)} does not divide"
    )
