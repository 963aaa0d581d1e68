"""Rotary position embeddings (Su et al., 2021): their frequencies, and the rotation itself."""

import math

import jax.numpy as jnp
import numpy as np

from wayjax.errors import WayjaxError
from wayjax.models.hyperparameters import is_number

DIVISORS = "rope_divisors"  # what GGUF files store instead of Llama 3's scaling


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
      f"the model's configuration sets rope_parameters by layer ({', '.join(nested)}); wayjax "
      "implements one rotation for all layers"
    )
  names = ("rope_theta", "partial_rotary_factor")
  options = {name: config[name] for name in names if name in config} | options
  options = {name: value for name, value in options.items() if value is not None}
  for name in names:
    value = options.get(name, 1.0)
    if not is_number(value):
      raise WayjaxError(f"the model's configuration sets {name} to {value!r}, not a number")
  return options


def read_frequencies(config: dict, rotary_dim: int) -> tuple[float, ...]:
  """The rotary frequencies of a Hugging Face configuration.

  Pair i of n has frequency `rope_theta ** (-i / n)`. The only scaling implemented is Llama 3's
  (Llama team, 2024), or the divisors that GGUF files store instead.

  Args:
    config: `rope_parameters`, or `rope_theta` and `rope_scaling`; `DIVISORS` from a GGUF file.
    rotary_dim: how many of a head's dimensions are rotated, 2n.

  Returns:
    Radians per position of each of the n pairs.

  Raises:
    WayjaxError: another type of scaling, or impossible values.
  """
  options = rope_options(config)
  if rotary_dim % 2 or rotary_dim < 2:
    raise WayjaxError(
      f"the model's configuration rotates {rotary_dim} of a head's dimensions: rotary embeddings "
      "rotate them in pairs"
    )
  exponents = np.arange(0, rotary_dim, 2) / rotary_dim
  frequencies = float(options.get("rope_theta", 10_000.0)) ** -exponents
  kind = options.get("rope_type", options.get("type", "default"))
  if kind == "llama3":
    frequencies = _llama3(frequencies, options, config)
  elif kind != "default":
    raise WayjaxError(
      f"the model's configuration sets rope_type to {kind!r}; wayjax implements 'default' and "
      "'llama3'"
    )
  divisors = config.get(DIVISORS, np.ones_like(frequencies))
  if not isinstance(divisors, np.ndarray) or divisors.shape != frequencies.shape:
    raise WayjaxError(
      f"the model has {np.size(divisors)} rotary divisors for {frequencies.size} frequencies"
    )
  if not np.all(divisors > 0):
    raise WayjaxError("the model has rotary divisors that are not positive numbers")
  return tuple((frequencies / divisors).tolist())


def _llama3(frequencies, options: dict, config: dict):
  """Llama 3's scaling: low frequencies divided by a factor, high ones kept, a ramp between."""
  trained = config.get("original_max_position_embeddings") or options.get(
    "original_max_position_embeddings", config.get("max_position_embeddings")
  )
  names = ("factor", "low_freq_factor", "high_freq_factor")
  values = [*(options.get(name) for name in names), trained]
  for name, value in zip([*names, "original_max_position_embeddings"], values):
    if not is_number(value):
      raise WayjaxError(
        f"the model's configuration sets {name} to {value!r}: rope_type 'llama3' needs a number"
      )
  factor, low, high, trained = values
  if low >= high:
    raise WayjaxError(
      f"the model's configuration sets low_freq_factor to {low}, which must be below "
      f"high_freq_factor, {high}"
    )
  rotations = trained * frequencies / (2 * math.pi)  # within the original context
  kept = np.clip((rotations - low) / (high - low), 0, 1)
  return frequencies * (kept + (1 - kept) / factor)


def rotation(frequencies: tuple[float, ...], positions_S):
  """Cosine and sine of every position's angles, each (S, 1, pairs), float32."""
  frequencies_F = jnp.asarray(frequencies, jnp.float32)
  angles_SxF = positions_S.astype(jnp.float32)[:, None] * frequencies_F[None, :]
  return jnp.cos(angles_SxF)[:, None, :], jnp.sin(angles_SxF)[:, None, :]


def rotate(x_SxHxK, cos_Sx1xF, sin_Sx1xF, *, interleaved: bool = False):
  """Rotates the first 2F dimensions of every head's vector; the rest stay as they are.

  Args:
    x_SxHxK: queries or keys.
    cos_Sx1xF: cosines of the F pairs' angles.
    sin_Sx1xF: their sines.
    interleaved: whether a pair is two neighbouring dimensions (GPT-J), rather than one of the first
      half and its counterpart in the second (GPT-NeoX, Llama).

  Returns:
    (S, H, K), float32.
  """
  pairs = cos_Sx1xF.shape[-1]
  rotary, rest = x_SxHxK[..., : 2 * pairs], x_SxHxK[..., 2 * pairs :]
  axis, split = (-1, (pairs, 2)) if interleaved else (-2, (2, pairs))
  a, b = jnp.moveaxis(rotary.reshape(*rotary.shape[:-1], *split), axis, 0)
  rotated = jnp.stack([a * cos_Sx1xF - b * sin_Sx1xF, b * cos_Sx1xF + a * sin_Sx1xF], axis)
  return jnp.concatenate([rotated.reshape(rotary.shape), rest], axis=-1)
