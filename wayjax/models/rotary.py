"""Rotary position embeddings (Su et al., 2021): the rotation itself, given its frequencies."""

from typing import NamedTuple

import jax.numpy as jnp


class Rotation(NamedTuple):
  """How positions turn queries and keys.

  Attributes:
    frequencies: radians per position of each pair of dimensions; 0 turns nothing.
    scale: what cosines and sines are multiplied by, which some kinds of scaling change.
  """

  frequencies: tuple[float, ...]
  scale: float = 1.0


def cos_sin(rotation: Rotation, positions_S):
  """Cosine and sine of every position's angles, each (S, 1, pairs), float32."""
  frequencies_F = jnp.asarray(rotation.frequencies, jnp.float32)
  angles_SxF = positions_S.astype(jnp.float32)[:, None] * frequencies_F[None, :]
  both = jnp.cos(angles_SxF)[:, None, :], jnp.sin(angles_SxF)[:, None, :]
  return both if rotation.scale == 1 else tuple(x * rotation.scale for x in both)


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
