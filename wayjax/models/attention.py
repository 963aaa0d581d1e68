"""Attention over one packed row, a few slices of it at a time.

A text position sees the prompt and what precedes it in its own example, so its keys lie in the
prompt and in a stretch of the row no longer than an example. The queries are split into a few
slices of the row; a slice reads the keys that any of its queries could see, and a mask does the
rest. Letters: S positions, P of them the prompt's, H heads, G key-value heads, K width of a head,
Q queries of a slice, W keys that they read.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from wayjax.models.layers import full_precision

LOWEST = jnp.finfo(jnp.float32).min  # finite: a row of -inf would make the softmax NaN
# Queries of a slice at most: fewer skip more keys, but take longer to compile and load, and on an
# accelerator many small products take longer than a few large ones.
SLICES = {"cpu": 80, "gpu": 256, "tpu": 256}
ALIGNMENT = 8  # slices and their keys start at multiples of this


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Visible:
  """Which positions of a row see which.

  Attributes:
    pairs_SxS: whether position i sees position j; every position sees itself.
    prompt: how many positions come first that every position may see: the prompt and its frame.
    reach: how many positions back a text position can see at most, apart from the prompt; None if
      unknown.
  """

  pairs_SxS: jax.Array
  prompt: int = dataclasses.field(metadata={"static": True})
  reach: int | None = dataclasses.field(metadata={"static": True})

  def of(self, queries_R) -> "Visible":
    """What these positions see; they may be anywhere in the row."""
    return dataclasses.replace(self, pairs_SxS=self.pairs_SxS[queries_R], reach=None)


# Jitted, so that equal layers trace it once.
@functools.partial(jax.jit, static_argnames=("dtype", "scale", "cap", "platform"))
def attention(
  q_SxHxK,
  k_SxGxK,
  v_SxGxK,
  visible: Visible,
  dtype,
  scale: float | None = None,
  cap: float | None = None,
  platform: str = "cpu",
):
  """Scaled dot-product attention (Vaswani et al., 2017) over one packed row.

  Args:
    q_SxHxK: queries.
    k_SxGxK: keys; each of the G heads serves H / G neighbouring query heads (Ainslie et al., 2023).
    v_SxGxK: values.
    visible: which positions see which; none sees a later one.
    dtype: compute type of the products; their sums and the softmax are float32.
    scale: what dot products are multiplied by; None means K ** -0.5.
    cap: logits are `cap * tanh(logits / cap)` (Gemma team, 2024); None leaves them.
    platform: what computes it: `cpu`, `gpu` or `tpu`.

  Returns:
    (S, H, K), float32.
  """
  size, heads, width = q_SxHxK.shape
  k_SxHxK, v_SxHxK = (jnp.repeat(x, heads // x.shape[1], axis=1) for x in (k_SxGxK, v_SxGxK))
  if k_SxGxK.shape[1] == 1:
    # XLA would fold the repetition of one head into products that, vmapped, crash on a CPU.
    k_SxHxK, v_SxHxK = lax.optimization_barrier((k_SxHxK, v_SxHxK))
  # Heads come first from here on, as batched matrix products need them.
  q_HxSxK, k_HxSxK, v_HxSxK = (
    x.transpose(1, 0, 2) for x in (q_SxHxK * (scale or width**-0.5), k_SxHxK, v_SxHxK)
  )
  how = _How(_slices(size, visible, platform), dtype, cap, platform == "cpu")
  y_HxSxK = _attend(how, q_HxSxK, k_HxSxK, v_HxSxK, visible.pairs_SxS)
  return y_HxSxK.transpose(1, 0, 2)


def cached_attention(
  q_SxHxK,
  k_GxWxK,
  v_GxWxK,
  pairs_SxW,
  dtype,
  scale: float | None = None,
  cap: float | None = None,
):
  """The same over keys and values that were kept, heads first.

  Args:
    q_SxHxK: queries.
    k_GxWxK: keys; each of the G heads serves H / G neighbouring query heads.
    v_GxWxK: values.
    pairs_SxW: whether query i sees key j.
    dtype: compute type of the products.
    scale: as in `attention`.
    cap: as in `attention`.

  Returns:
    (S, H, K), float32.
  """
  size, heads, width = q_SxHxK.shape
  groups, keys = k_GxWxK.shape[:2]
  each = heads // groups
  # The query heads of a group are more queries of one head, so that its keys need not be repeated.
  q_SxHxK = q_SxHxK * (scale or width**-0.5)
  q_GxExSxK = q_SxHxK.reshape(size, groups, each, width).transpose(1, 2, 0, 3)
  q_GxQxK = q_GxExSxK.reshape(groups, each * size, width)
  slices = (((0, each * size), ((0, keys),)),)
  pairs_QxW = jnp.tile(pairs_SxW, (each, 1))
  y_GxQxK = _attend(_How(slices, dtype, cap), q_GxQxK, k_GxWxK, v_GxWxK, pairs_QxW)
  y_SxGxExK = y_GxQxK.reshape(groups, each, size, width).transpose(2, 0, 1, 3)
  return y_SxGxExK.reshape(size, heads, width)


Stretch = tuple[int, int]  # of positions: the first, and the one after the last
Slice = tuple[Stretch, tuple[Stretch, ...]]  # the queries, and the one or two stretches of keys


class _How(NamedTuple):
  """How attention is computed.

  Attributes:
    slices: the queries of each slice, and the keys that they read.
    dtype: compute type of the products.
    cap: of the logits; None leaves them.
    turned: whether the backward pass has each product contract its first operand's last axis.
  """

  slices: tuple[Slice, ...]
  dtype: jnp.dtype
  cap: float | None
  turned: bool = True


def _slices(size: int, visible: Visible, platform: str) -> tuple[Slice, ...]:
  """The queries of each slice, and the one or two stretches of keys that they read."""
  if visible.reach is None:
    return (((0, size), ((0, visible.pairs_SxS.shape[1]),)),)
  count = -(-size // SLICES.get(platform, size))
  starts = [i * size // count // ALIGNMENT * ALIGNMENT for i in range(count)]
  result = []
  for start, stop in zip(starts, [*starts[1:], size], strict=True):
    first = (start - visible.reach) // ALIGNMENT * ALIGNMENT
    apart = first > visible.prompt
    keys = ((0, visible.prompt), (first, stop)) if apart else ((0, stop),)
    result.append(((start, stop), keys))
  return tuple(result)


# Autodiff would pass over the weights more often, and round the cotangents of q, k and v.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(how: _How, q_HxSxK, k_HxSxK, v_HxSxK, pairs_SxS):
  """Softmax attention of all slices, (H, S, K), float32."""
  return _attend_forward(how, q_HxSxK, k_HxSxK, v_HxSxK, pairs_SxS)[0]


def _attend_forward(how: _How, q_HxSxK, k_HxSxK, v_HxSxK, pairs_SxS):
  slices, dtype, cap, turned = how
  q_HxSxK, k_HxSxK, v_HxSxK = (x.astype(dtype) for x in (q_HxSxK, k_HxSxK, v_HxSxK))
  y_HxQxK, residuals = [], []
  for queries, keys in slices:
    q_HxQxK = q_HxSxK[:, slice(*queries)]
    k_HxWxK, v_HxWxK = (_cut(x, keys) for x in (k_HxSxK, v_HxSxK))
    visible_QxW = _cut(pairs_SxS[slice(*queries)], keys)
    logits_HxQxW, slope_HxQxW = _dot(q_HxQxK, k_HxWxK, 2, 2), None
    if cap is not None:
      capped_HxQxW = jnp.tanh(logits_HxQxW / cap)
      logits_HxQxW, slope_HxQxW = cap * capped_HxQxW, (1 - capped_HxQxW**2).astype(dtype)
    logits_HxQxW = jnp.where(visible_QxW[None], logits_HxQxW, LOWEST)
    powers_HxQxW = jnp.exp(logits_HxQxW - jnp.max(logits_HxQxW, axis=-1, keepdims=True))
    weights_HxQxW = powers_HxQxW * (1 / jnp.sum(powers_HxQxW, axis=-1, keepdims=True))
    weights_HxQxW = weights_HxQxW.astype(dtype)
    y_HxQxK.append(_dot(weights_HxQxW, v_HxWxK, 2, 1))
    kept = (weights_HxQxW, slope_HxQxW, y_HxQxK[-1] if turned else None, visible_QxW)
    residuals.append((q_HxQxK, k_HxWxK, v_HxWxK, *kept))
  return jnp.concatenate(y_HxQxK, axis=1), residuals


def _attend_backward(how: _How, residuals, g_HxSxK):
  slices, dtype, _, turned = how
  dq, dk, dv = [], [], []
  for (queries, _), (q_HxQxK, k_HxWxK, v_HxWxK, *kept) in zip(slices, residuals):
    weights_HxQxW, slope_HxQxW, y_HxQxK, visible_QxW = kept
    g_HxQxK = g_HxSxK[:, slice(*queries)]
    rounded_HxQxK = g_HxQxK.astype(dtype)
    d_weights_HxQxW = _dot(rounded_HxQxK, v_HxWxK, 2, 2)
    float_HxQxW = weights_HxQxW.astype(jnp.float32)
    # What softmax subtracts from every logit's gradient, the mean of the weights' gradients, is
    # also a sum over K; accelerators have less memory to keep y for that.
    if turned:
      mean_HxQx1 = jnp.sum(g_HxQxK * y_HxQxK, axis=-1, keepdims=True)
    else:
      mean_HxQx1 = jnp.sum(float_HxQxW * d_weights_HxQxW, axis=-1, keepdims=True)
    d_logits_HxQxW = float_HxQxW * (d_weights_HxQxW - mean_HxQx1)
    if slope_HxQxW is not None:
      d_logits_HxQxW = d_logits_HxQxW * slope_HxQxW.astype(jnp.float32)
    d_logits_HxQxW = d_logits_HxQxW.astype(dtype)
    dq.append(_dot(d_logits_HxQxW, k_HxWxK, 2, 1))
    if not turned:
      dk.append(_dot(d_logits_HxQxW, q_HxQxK, 1, 1))
      dv.append(_dot(weights_HxQxW, rounded_HxQxK, 1, 1))
      continue
    # A CPU has fast bfloat16 products only where the first operand's last axis is contracted. The
    # mask changes nothing, but keeps XLA from moving the transposition back into the product.
    d_logits_HxWxQ, weights_HxWxQ = (
      jnp.where(visible_QxW.T[None], x.transpose(0, 2, 1), 0)
      for x in (d_logits_HxQxW, weights_HxQxW)
    )
    dk.append(_dot(d_logits_HxWxQ, q_HxQxK, 2, 1))
    dv.append(_dot(weights_HxWxQ, rounded_HxQxK, 2, 1))
  size = slices[-1][1][-1][1]
  keys = [keys for _, keys in slices]
  gradients = jnp.concatenate(dq, axis=1), _sum(dk, keys, size), _sum(dv, keys, size)
  # Summed before anything else: if this were fused, XLA would search the parts for every element.
  return *lax.optimization_barrier(gradients), None


_attend.defvjp(_attend_forward, _attend_backward)


def _cut(x, stretches):
  """The stretches of axis 1, concatenated."""
  return jnp.concatenate([x[:, slice(*stretch)] for stretch in stretches], axis=1)


def _sum(parts, keys, size: int):
  """The sum over slices of their gradients for the keys that each of them reads, (H, S, K)."""
  total = jnp.zeros((parts[0].shape[0], size, parts[0].shape[2]), jnp.float32)
  for part, stretches in zip(parts, keys, strict=True):
    for start, stop in stretches:
      here, part = part[:, : stop - start], part[:, stop - start :]
      total += jnp.pad(here, ((0, 0), (start, size - stop), (0, 0)))
  return total


def _dot(a, b, a_axis: int, b_axis: int):
  """One matrix product per head, contracted over these axes and accumulated in float32."""
  return lax.dot_general(
    a,
    b,
    (((a_axis,), (b_axis,)), ((0,), (0,))),
    precision=full_precision(a.dtype),
    preferred_element_type=jnp.float32,
  )
