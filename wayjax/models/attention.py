"""Attention over one packed row, a few slices of it at a time.

A text position sees the prompt and what stands before it in its own example, so its keys lie in the
prompt and in a stretch of the row no longer than an example. The queries are taken in a few slices
of the row; those of a slice read the keys that one of them could see, and a mask does the rest.
Letters: S positions, P of them the prompt's, H heads, G key-value heads, K width of a head, Q
queries of a slice and W keys that they read.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax

from wayjax.models.layers import full_precision

LOWEST = jnp.finfo(jnp.float32).min  # finite: a row of -inf would make the softmax NaN
SLICE = 96  # queries at most: fewer skip more keys, and take longer to compile
ALIGNMENT = 8  # slices and their keys begin at multiples of this


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Visible:
  """Which positions of a row see which.

  Attributes:
    pairs_SxS: whether position i sees position j; every position sees itself.
    prompt: P; the prompt stands first, and all may see it.
    reach: how many positions before its own text can see, at most, the prompt left out.
  """

  pairs_SxS: jax.Array
  prompt: int = dataclasses.field(metadata={"static": True})
  reach: int = dataclasses.field(metadata={"static": True})


def attention(q_SxHxK, k_SxGxK, v_SxGxK, visible: Visible, dtype):
  """Scaled dot-product attention (Vaswani et al., 2017) over one packed row.

  Args:
    q_SxHxK: queries.
    k_SxGxK: keys; each of the G heads serves H / G neighbouring query heads (Ainslie et al., 2023).
    v_SxGxK: values.
    visible: which positions see which; none sees a later one.
    dtype: compute type of the products; on a CPU they are float32 all the same.

  Returns:
    (S, H, K), float32.
  """
  size, heads, width = q_SxHxK.shape
  # A CPU's bfloat16 units gain less in products this small than the conversions cost.
  dtype = jnp.float32 if jax.default_backend() == "cpu" else dtype
  k_SxHxK, v_SxHxK = (jnp.repeat(x, heads // x.shape[1], axis=1) for x in (k_SxGxK, v_SxGxK))
  # Heads lead from here on, as products of stacked matrices want it.
  q_HxSxK, k_HxSxK, v_HxSxK = (
    x.astype(dtype).transpose(1, 0, 2) for x in (q_SxHxK * width**-0.5, k_SxHxK, v_SxHxK)
  )
  y_HxSxK = [
    _attend(
      q_HxSxK[:, queries],
      *(jnp.concatenate([x[:, part] for part in keys], axis=1) for x in (k_HxSxK, v_HxSxK)),
      jnp.concatenate([visible.pairs_SxS[queries, part] for part in keys], axis=1),
    )
    for queries, keys in _slices(size, visible)
  ]
  return jnp.concatenate(y_HxSxK, axis=1).transpose(1, 0, 2)


def _slices(size: int, visible: Visible) -> list[tuple[slice, list[slice]]]:
  """The queries of each slice, and the one or two stretches of keys that they read."""
  count = -(-size // SLICE)
  starts = [i * size // count // ALIGNMENT * ALIGNMENT for i in range(count)]
  result = []
  for start, stop in zip(starts, [*starts[1:], size], strict=True):
    first = (start - visible.reach) // ALIGNMENT * ALIGNMENT
    apart = first > visible.prompt
    keys = [slice(visible.prompt), slice(first, stop)] if apart else [slice(stop)]
    result.append((slice(start, stop), keys))
  return result


@jax.custom_vjp
def _attend(q_HxQxK, k_HxWxK, v_HxWxK, visible_QxW):
  """Softmax attention, (H, Q, K), float32; autodiff would pass over the weights more often."""
  return _attend_forward(q_HxQxK, k_HxWxK, v_HxWxK, visible_QxW)[0]


def _attend_forward(q_HxQxK, k_HxWxK, v_HxWxK, visible_QxW):
  logits_HxQxW = jnp.where(visible_QxW[None], _dot(q_HxQxK, k_HxWxK, 2, 2), LOWEST)
  powers_HxQxW = jnp.exp(logits_HxQxW - jnp.max(logits_HxQxW, axis=-1, keepdims=True))
  weights_HxQxW = powers_HxQxW * (1 / jnp.sum(powers_HxQxW, axis=-1, keepdims=True))
  weights_HxQxW = weights_HxQxW.astype(q_HxQxK.dtype)
  y_HxQxK = _dot(weights_HxQxW, v_HxWxK, 2, 1)
  return y_HxQxK, (q_HxQxK, k_HxWxK, v_HxWxK, weights_HxQxW, y_HxQxK)


def _attend_backward(residuals, g_HxQxK):
  q_HxQxK, k_HxWxK, v_HxWxK, weights_HxQxW, y_HxQxK = residuals
  dtype = q_HxQxK.dtype
  # What the softmax takes off every logit's gradient: the mean of the weights' gradients.
  mean_HxQx1 = jnp.sum(g_HxQxK * y_HxQxK, axis=-1, keepdims=True)
  g_HxQxK = g_HxQxK.astype(dtype)
  d_logits_HxQxW = weights_HxQxW * (_dot(g_HxQxK, v_HxWxK, 2, 2) - mean_HxQx1)
  d_logits_HxQxW = d_logits_HxQxW.astype(dtype)
  dq_HxQxK = _dot(d_logits_HxQxW, k_HxWxK, 2, 1)
  dk_HxWxK = _dot(d_logits_HxQxW, q_HxQxK, 1, 1)
  dv_HxWxK = _dot(weights_HxQxW, g_HxQxK, 1, 1)
  return dq_HxQxK.astype(dtype), dk_HxWxK.astype(dtype), dv_HxWxK.astype(dtype), None


_attend.defvjp(_attend_forward, _attend_backward)


def _dot(a, b, a_axis: int, b_axis: int):
  """Products of one matrix a head, contracted over these axes; sums in float32."""
  return lax.dot_general(
    a,
    b,
    (((a_axis,), (b_axis,)), ((0,), (0,))),
    precision=full_precision(a.dtype),
    preferred_element_type=jnp.float32,
  )
