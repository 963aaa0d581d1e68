"""Attention over one packed row: the prompt to itself, and text in windows of the row.

A text position sees the prompt and what stands before it in its own example, so its keys lie in the
prompt and in a stretch of the row no longer than an example. The text is cut into N chunks of C
queries; a chunk's keys are the prompt's and those of the chunk itself and of the few before it.
Letters: S positions, P of them the prompt's, H heads, G key-value heads, J = H / G, K width of a
head, W keys of a chunk.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from wayjax.models.layers import full_precision

LOWEST = jnp.finfo(jnp.float32).min  # finite: a row of -inf would make the softmax NaN


class Visible(NamedTuple):
  """Which positions see which; every position must see at least one.

  Attributes:
    prompt_PxP: whether prompt position i sees prompt position j.
    text_NxCxW: whether query c of chunk n sees each of its keys: first the P of the prompt, then
      those of the chunks before it, then its own chunk's. None for a row without text.
  """

  prompt_PxP: jax.Array
  text_NxCxW: jax.Array | None


def windows(array_T, chunk: int, back: int, fill):
  """What stands in each chunk and in the `back` chunks before it, along the first axis.

  Args:
    array_T: (T, ...), T a multiple of `chunk`.
    chunk: C.
    back: chunks before a chunk that belong to its window.
    fill: what stands before the first.

  Returns:
    (N, (back + 1) C, ...).
  """
  chunks = array_T.reshape(-1, chunk, *array_T.shape[1:])
  padding = [(back, 0)] + [(0, 0)] * (chunks.ndim - 1)
  padded, count = jnp.pad(chunks, padding, constant_values=fill), len(chunks)
  return jnp.concatenate([padded[i : i + count] for i in range(back + 1)], axis=1)


def attention(q_SxHxK, k_SxGxK, v_SxGxK, visible: Visible, dtype):
  """Scaled dot-product attention (Vaswani et al., 2017) over one packed row.

  Args:
    q_SxHxK: queries.
    k_SxGxK: keys; each of the G heads serves H / G neighbouring query heads (Ainslie et al., 2023).
    v_SxGxK: values.
    visible: which positions see which.
    dtype: compute type of the products.

  Returns:
    (S, H, K), float32.
  """
  size, heads, width = q_SxHxK.shape
  groups, prompt = k_SxGxK.shape[1], len(visible.prompt_PxP)
  q_SxGxJxK = (q_SxHxK * width**-0.5).reshape(size, groups, heads // groups, width)
  # Heads lead from here on, as products of stacked matrices want it.
  q_GxJxSxK = q_SxGxJxK.transpose(1, 2, 0, 3)
  k_GxSxK, v_GxSxK = jnp.swapaxes(k_SxGxK, 0, 1), jnp.swapaxes(v_SxGxK, 0, 1)
  of_prompt = (k_GxSxK[:, :prompt], v_GxSxK[:, :prompt])
  y_GxJxSxK = _prompt_attention(q_GxJxSxK[:, :, :prompt], *of_prompt, visible.prompt_PxP, dtype)
  if visible.text_NxCxW is not None:
    text = (q_GxJxSxK[:, :, prompt:], k_GxSxK[:, prompt:], v_GxSxK[:, prompt:])
    y_GxJxTxK = _text_attention(*text, *of_prompt, visible.text_NxCxW, dtype)
    y_GxJxSxK = jnp.concatenate([y_GxJxSxK, y_GxJxTxK], axis=2)
  return y_GxJxSxK.transpose(2, 0, 1, 3).reshape(size, heads, width)


def _prompt_attention(q_GxJxPxK, k_GxPxK, v_GxPxK, visible_PxP, dtype):
  groups, shared, size, width = q_GxJxPxK.shape
  q_GxJPxK = q_GxJxPxK.reshape(groups, shared * size, width)
  logits_GxJPxP = _matmul(q_GxJPxK, k_GxPxK, True, dtype)
  weights_GxJxPxP = _softmax(
    logits_GxJPxP.reshape(groups, shared, size, size), visible_PxP[None, None]
  )
  y_GxJPxK = _matmul(weights_GxJxPxP.reshape(logits_GxJPxP.shape), v_GxPxK, False, dtype)
  return y_GxJPxK.reshape(q_GxJxPxK.shape)


def _text_attention(q_GxJxTxK, k_GxTxK, v_GxTxK, k_GxPxK, v_GxPxK, visible_NxCxW, dtype):
  groups, shared, _, width = q_GxJxTxK.shape
  count, chunk, keys = visible_NxCxW.shape
  prompt = k_GxPxK.shape[1]
  back = (keys - prompt) // chunk - 1
  q_GxJxNxCxK = q_GxJxTxK.reshape(groups, shared, count, chunk, width)
  q_GxNxJCxK = jnp.swapaxes(q_GxJxNxCxK, 1, 2).reshape(groups, count, shared * chunk, width)
  flat = (groups, count * shared * chunk)
  of_head = jax.vmap(functools.partial(windows, chunk=chunk, back=back, fill=0.0))
  k_GxNxWxK, v_GxNxWxK = of_head(k_GxTxK), of_head(v_GxTxK)
  # All queries read the one prompt, so that is one large product and not a small one a chunk.
  logits_of_prompt = _matmul(q_GxNxJCxK.reshape(*flat, width), k_GxPxK, True, dtype)
  logits_GxNxJCxW = jnp.concatenate(
    [
      logits_of_prompt.reshape(groups, count, shared * chunk, prompt),
      _matmul(q_GxNxJCxK, k_GxNxWxK, True, dtype),
    ],
    axis=-1,
  )
  weights_GxNxJCxW = _softmax(
    logits_GxNxJCxW.reshape(groups, count, shared, chunk, keys), visible_NxCxW[None, :, None]
  ).reshape(logits_GxNxJCxW.shape)
  of_prompt = weights_GxNxJCxW[..., :prompt].reshape(*flat, prompt)
  y_GxNxJCxK = _matmul(weights_GxNxJCxW[..., prompt:], v_GxNxWxK, False, dtype)
  y_GxNxJCxK += _matmul(of_prompt, v_GxPxK, False, dtype).reshape(y_GxNxJCxK.shape)
  y_GxNxJxCxK = y_GxNxJCxK.reshape(groups, count, shared, chunk, width)
  return jnp.swapaxes(y_GxNxJxCxK, 1, 2).reshape(q_GxJxTxK.shape)


def _softmax(logits, visible):
  return jax.nn.softmax(jnp.where(visible, logits, LOWEST), axis=-1)


def _dot(a, b, a_axis: int, b_axis: int, dtype):
  """Products of stacked matrices, all but the last two axes stacking; sums in float32."""
  stack = tuple(range(a.ndim - 2))
  return lax.dot_general(
    a.astype(dtype),
    b.astype(dtype),
    (((a.ndim + a_axis,), (b.ndim + b_axis,)), (stack, stack)),
    precision=full_precision(dtype),
    preferred_element_type=jnp.float32,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _matmul(a, b, transpose_b: bool, dtype):
  """`a @ b` or `a @ b.T` of stacked matrices; the cotangent is rounded as `frozen_dot` does."""
  return _dot(a, b, -1, -1 if transpose_b else -2, dtype)


def _matmul_forward(a, b, transpose_b, dtype):
  a, b = a.astype(dtype), b.astype(dtype)
  return _matmul(a, b, transpose_b, dtype), (a, b)


def _matmul_backward(transpose_b, dtype, residuals, g):
  a, b = residuals
  da = _dot(g, b, -1, -2 if transpose_b else -1, dtype)
  # The barrier keeps the transpose out of the product: XLA would fold it in on a CPU, and products
  # with a transposed left side miss the matrix unit there.
  left, right = (g, a) if transpose_b else (a, g)
  left = lax.optimization_barrier(jnp.swapaxes(left.astype(dtype), -1, -2))
  db = _dot(left, right, -1, -2, dtype)
  return da, db


_matmul.defvjp(_matmul_forward, _matmul_backward)
