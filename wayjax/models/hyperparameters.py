"""Hyper-parameters from a model's configuration; unimplemented options are refused by name."""

import dataclasses
import typing

from wayjax.errors import WayjaxError

_KINDS = {
  int: "a whole number from 1 to {:,}",
  float: "a positive number",
  bool: "true or false",
  str: "a name",
}
# Above any model's: a damaged or malicious file must not claim all the memory there is.
_LARGEST = {
  "n_layer": 1_000,
  "num_hidden_layers": 1_000,
  "vocab_size": 2**31,
  "n_positions": 2**31,
  "max_position_embeddings": 2**31,
}
_WIDEST = 2**20  # numbers of heads, widths of vectors
_HIGHEST = 1e30  # of numbers that are not whole


def is_number(value, largest: float = _HIGHEST) -> bool:
  """Whether an option is a positive number, and not so large that computing with it fails."""
  return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= largest


def read_fields(cls, config: dict):
  """Fills a dataclass of hyper-parameters from a configuration's options of the same names.

  An option that is missing keeps the dataclass's default, as does null where that is allowed;
  options that the dataclass does not have are ignored. Every number must be positive.

  Raises:
    WayjaxError: a value has the wrong type, or is larger than any model's.
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
    largest = _LARGEST.get(field.name, _WIDEST) if kind is int else _HIGHEST
    if kind in (int, float):
      fits = fits and is_number(value, largest)
    if not fits:
      raise WayjaxError(
        f"the model's configuration sets {field.name} to {value!r}, not to "
        f"{_KINDS[kind].format(largest)}"
      )
    given[field.name] = kind(value)
  return cls(**given)


# Names that GPT-2's and GPT-J's options may have instead, as in other families.
GPT2_ALIASES = {
  "n_positions": "max_position_embeddings",
  "n_embd": "hidden_size",
  "n_layer": "num_hidden_layers",
  "n_head": "num_attention_heads",
}


def with_aliases(config: dict, aliases: dict[str, str]) -> dict:
  """Adds the options that a configuration sets under another name and not under their own."""
  return {name: config[alias] for name, alias in aliases.items() if alias in config} | config


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
  """Refuses a configuration that sets an option to anything but the choices.

  Raises:
    WayjaxError: naming the option.
  """
  if option in config and config[option] not in list(choices):
    raise WayjaxError(
      f"the model's configuration sets {option} to {config[option]!r}; wayjax implements "
      f"{', '.join(choices)}"
    )


def require_divides(config, part: str, whole: str) -> None:
  """Refuses hyper-parameters whose `part`, such as the number of heads, does not divide `whole`.

  Raises:
    WayjaxError: naming both.
  """
  if getattr(config, whole) % getattr(config, part):
    raise WayjaxError(
      f"the model's configuration has {whole} {getattr(config, whole)}, which is not "
      f"divisible by {part} {getattr(config, part)}"
    )


def check_layer_types(kinds, config) -> list[str]:
  """The kinds of attention of a model's layers.

  Args:
    kinds: the option `layer_types`.
    config: hyper-parameters with `num_hidden_layers`.

  Raises:
    WayjaxError: another kind than full or sliding attention, or not one for each layer.
  """
  known = ("full_attention", "sliding_attention")
  if (
    not isinstance(kinds, list)
    or len(kinds) != config.num_hidden_layers
    or any(kind not in known for kind in kinds)
  ):
    raise WayjaxError(
      f"the model's configuration sets layer_types to {str(kinds)[:80]}, not to "
      f"{' or '.join(known)} for each of its {config.num_hidden_layers} layers"
    )
  return kinds


def require_ids_unneeded(path, model_type, width) -> None:
  """Refuses models whose layers look token ids up, which the vectors of a soft prompt do not have.

  Args:
    path: where the model is, for messages.
    model_type: what it calls itself.
    width: of the embeddings that its layers read by token id; None or 0 for none.

  Raises:
    WayjaxError: it is a Gemma 3n, or a Gemma 4 with such embeddings (E2B, E4B).
  """
  if width or model_type in ("gemma3n", "gemma3n_text"):
    raise WayjaxError(
      f"{path} is a model of type {model_type!r}, whose layers read embeddings of their own by "
      "token id: the vectors of a soft prompt have no ids, so there is nothing to tune"
    )
