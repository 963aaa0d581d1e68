"""Rotary frequencies from a configuration, with the scalings that lengthen a model's context."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wayjax.errors import WayjaxError
from wayjax.models.hyperparameters import is_number
from wayjax.models.rotary import Rotation

DIVISORS = "rope_divisors"  # what GGUF files store instead of Llama 3's scaling
_THETA = 10_000.0


def rope_options(config: dict) -> dict:
  """The rotary options of a Hugging Face configuration, in its old form or its new one.

  Raises:
    WayjaxError: not an object, different by layer, or with a base or share that is not positive.
  """
  options = config.get("rope_scaling") or config.get("rope_parameters") or {}
  if not isinstance(options, dict):
    raise WayjaxError(f"the model's configuration sets rope_scaling to {options!r}, not an object")
  if nested := [name for name, value in options.items() if isinstance(value, dict)]:
    raise WayjaxError(
      f"the model's configuration sets rope_parameters by layer ({', '.join(nested)}); for this "
      "family wayjax implements one rotation for all layers"
    )
  names = ("rope_theta", "partial_rotary_factor")
  options = {name: config[name] for name in names if name in config} | options
  options = {name: value for name, value in options.items() if value is not None}
  for name in names:
    value = options.get(name, 1.0)
    if not is_number(value):
      raise WayjaxError(f"the model's configuration sets {name} to {value!r}, not a number")
  return options


class _Scaled(NamedTuple):
  """Frequencies after scaling; the other fields are as in `Rotation`, and None for no limit."""

  frequencies_F: np.ndarray
  scale: float = 1.0
  positions: int | None = None


class _Unscaled:
  """The frequencies of a configuration before scaling, and its options.

  Attributes:
    frequencies_F: radians per position.
    theta: their base.
  """

  def __init__(self, frequencies_F: np.ndarray, theta: float, kind: str, options: dict):
    self.frequencies_F, self.theta = frequencies_F, theta
    self._kind, self._options = kind, options

  def number(self, name: str, default: float | None = None) -> float:
    """An option that must be a positive number."""
    value = self._options.get(name, default)
    if not is_number(value):
      raise self._wrong(name, "a number")
    return value

  def numbers(self, name: str) -> np.ndarray:
    """An option that must be a positive number for each pair."""
    values = self._options.get(name)
    if not isinstance(values, list | tuple) or len(values) != len(self.frequencies_F):
      raise self._wrong(name, f"{len(self.frequencies_F)} numbers")
    if not all(is_number(value) for value in values):
      raise self._wrong(name, f"{len(self.frequencies_F)} numbers")
    return np.asarray(values, np.float64)

  def has(self, name: str) -> bool:
    """Whether an option is set, and neither 0 nor false."""
    return bool(self._options.get(name))

  @property
  def trained(self) -> float:
    """The original context, in positions."""
    if (value := self.number("original_max_position_embeddings")) <= 1:
      raise self._wrong("original_max_position_embeddings", "a number above 1")
    return value

  @property
  def factor(self) -> float:
    """How many times longer the context became."""
    if not self.has("factor") and self.has("max_position_embeddings"):
      return self.number("max_position_embeddings") / self.trained
    return self.number("factor")

  def _wrong(self, name: str, needed: str) -> WayjaxError:
    value = self._options.get(name)
    return WayjaxError(
      f"the model's configuration sets {name} to {str(value)[:80]}: rope_type '{self._kind}' needs "
      f"{needed}"
    )


def _linear(before: _Unscaled) -> _Scaled:
  """Position interpolation (Chen et al., 2023): all frequencies divided by a factor."""
  return _Scaled(before.frequencies_F / before.number("factor"))


def _dynamic(before: _Unscaled) -> _Scaled:
  """Changes nothing within `max_position_embeddings`, beyond which wayjax does not go."""
  before.number("factor")
  return _Scaled(before.frequencies_F)


def _llama3(before: _Unscaled) -> _Scaled:
  """Llama 3's scaling: low frequencies divided by a factor, high ones kept, a ramp between."""
  factor, low, high = (
    before.number(name) for name in ("factor", "low_freq_factor", "high_freq_factor")
  )
  if low >= high:
    raise WayjaxError(
      f"the model's configuration sets low_freq_factor to {low}, which must be below "
      f"high_freq_factor, {high}"
    )
  rotations_F = before.trained * before.frequencies_F / (2 * math.pi)  # in the original context
  kept_F = np.clip((rotations_F - low) / (high - low), 0, 1)
  return _Scaled(before.frequencies_F * (kept_F + (1 - kept_F) / factor))


def _yarn(before: _Unscaled) -> _Scaled:
  """YaRN (Peng et al., 2023): as Llama 3's, with a ramp over pairs, and sharper attention."""
  factor, trained = before.factor, before.trained
  pairs = len(before.frequencies_F)

  def pair_of(rotations: float) -> float:
    """The pair that turns so often in the original context."""
    return pairs * math.log(trained / (rotations * 2 * math.pi)) / math.log(before.theta)

  if before.theta == 1:
    raise WayjaxError("the model's configuration sets rope_theta to 1, with which YaRN has no ramp")
  first, last = (
    pair_of(before.number(name, default))
    for name, default in (("beta_fast", 32.0), ("beta_slow", 1.0))
  )
  if before.has("truncate"):
    first, last = math.floor(first), math.ceil(last)
  first, last = max(first, 0), min(last, 2 * pairs - 1)
  last += 0.001 * (first == last)
  divided_F = np.clip((np.arange(pairs) - first) / (last - first), 0, 1)
  scaled_F = before.frequencies_F * (1 - divided_F + divided_F / factor)

  def sharper(by: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0

  if before.has("mscale") and before.has("mscale_all_dim"):
    scale = sharper(before.number("mscale")) / sharper(before.number("mscale_all_dim"))
  else:
    scale = sharper(1.0)
  return _Scaled(scaled_F, before.number("attention_factor", scale))


def _longrope(before: _Unscaled) -> _Scaled:
  """LongRoPE (Ding et al., 2024) within the original context, beyond which wayjax does not go."""
  factor, trained = before.factor, before.trained
  scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
  scaled_F = before.frequencies_F / before.numbers("short_factor")
  return _Scaled(scaled_F, before.number("attention_factor", scale), int(trained))


_SCALINGS: dict[str, Callable[[_Unscaled], _Scaled]] = {
  "default": lambda before: _Scaled(before.frequencies_F),
  "linear": _linear,
  "dynamic": _dynamic,
  "llama3": _llama3,
  "yarn": _yarn,
  "longrope": _longrope,
}


def read_rotation(config: dict, rotary_dim: int) -> tuple[Rotation, int | None]:
  """The rotation of a Hugging Face configuration.

  Pair i of n has frequency `rope_theta ** (-i / n)` before scaling.

  Args:
    config: `rope_parameters`, or `rope_theta` and `rope_scaling`; `DIVISORS` from a GGUF file.
    rotary_dim: how many of a head's dimensions are rotated, 2n.

  Returns:
    The rotation, and the positions that it holds for; None if it sets no limit.

  Raises:
    WayjaxError: another type of scaling, or impossible values.
  """
  options = rope_options(config)
  if rotary_dim % 2 or rotary_dim < 2:
    raise WayjaxError(
      f"the model's configuration rotates {rotary_dim} of a head's dimensions: rotary embeddings "
      "rotate them in pairs"
    )
  theta = float(options.get("rope_theta", _THETA))
  frequencies_F = theta ** -(np.arange(0, rotary_dim, 2) / rotary_dim)
  kind = options.get("rope_type", options.get("type", "default"))
  if not isinstance(kind, str) or kind not in _SCALINGS:
    *others, last = map(repr, _SCALINGS)
    raise WayjaxError(
      f"the model's configuration sets rope_type to {kind!r}; wayjax implements "
      f"{', '.join(others)} and {last}"
    )
  # Where a configuration states the original context itself, that counts; some only imply it.
  names = ("original_max_position_embeddings", "max_position_embeddings")
  longest = {name: config[name] for name in names if config.get(name)}
  options = {names[0]: config.get(names[1]), "truncate": True} | options | longest
  scaled = _SCALINGS[kind](_Unscaled(frequencies_F, theta, kind, options))
  divisors_F = config.get(DIVISORS, np.ones_like(frequencies_F))
  if not isinstance(divisors_F, np.ndarray) or divisors_F.shape != frequencies_F.shape:
    raise WayjaxError(
      f"the model has {np.size(divisors_F)} rotary divisors for {frequencies_F.size} frequencies"
    )
  if not np.all(divisors_F > 0):
    raise WayjaxError("the model has rotary divisors that are not positive numbers")
  divided = tuple((scaled.frequencies_F / divisors_F).tolist())
  return Rotation(divided, scaled.scale), scaled.positions


def with_rotation(settings, config: dict, rotary_dim: int):
  """Hyper-parameters with the rotation of a configuration, and no more positions than it is for.

  Args:
    settings: a dataclass with `frequencies`, `rotary_scale` and `max_position_embeddings`.
    config: as for `read_rotation`.
    rotary_dim: likewise.

  Raises:
    WayjaxError: as `read_rotation` does.
  """
  rotation, positions = read_rotation(config, rotary_dim)
  longest = settings.max_position_embeddings
  return dataclasses.replace(
    settings,
    frequencies=rotation.frequencies,
    rotary_scale=rotation.scale,
    max_position_embeddings=min(longest, positions or longest),
  )
