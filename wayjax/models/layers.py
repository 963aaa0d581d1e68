"""What the model families share. Every layer is frozen: nothing here has a weight gradient.

Products take operands in the model's compute type and accumulate in float32; residual stream,
norms and softmax are float32. Letters: S positions, D width, H heads, G key-value heads, K width of
a head.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def _precision(dtype) -> lax.Precision:
  """Full float32 where float32 was asked for: TPUs and GPUs otherwise round the operands."""
  return lax.Precision.HIGHEST if dtype == jnp.float32 else lax.Precision.DEFAULT


def _contract(x, w, axis: int):
  """Contracts the last axis of x with one axis of w, in w's type, accumulated in float32."""
  return lax.dot_general(
    x.astype(w.dtype),
    w,
    (((x.ndim - 1,), (axis,)), ((), ())),
    precision=_precision(w.dtype),
    preferred_element_type=jnp.float32,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def frozen_dot(x_SxI, w, axis: int = 0):
  """`x @ w` for a frozen matrix: its backward pass has no weight gradient.

  Autodiff of a product of bfloat16 operands with a float32 result multiplies float32 by bfloat16,
  which misses the matrix units; here the cotangent is rounded first.

  Args:
    x_SxI: input, float32.
    w: the matrix, (I, O), or (O, I) where `axis` is 1.
    axis: the axis of w that is contracted.

  Returns:
    The product, (S, O), float32.
  """
  return _contract(x_SxI, w, axis)


def _frozen_dot_forward(x_SxI, w, axis):
  return _contract(x_SxI, w, axis), w


def _frozen_dot_backward(axis, w, g_SxO):
  return _contract(g_SxO, w, 1 - axis), None


frozen_dot.defvjp(_frozen_dot_forward, _frozen_dot_backward)


class Linear(nnx.Module):
  """`x @ kernel + bias`; kernel in the compute type, (in, out), bias in float32."""

  def __init__(self, inputs: int, outputs: int, dtype, *, bias: bool = True, rngs: nnx.Rngs):
    self.kernel = nnx.Param(0.02 * jax.random.normal(rngs.params(), (inputs, outputs), dtype))
    self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32)) if bias else None

  def __call__(self, x_SxI):
    y_SxO = frozen_dot(x_SxI, self.kernel[...])
    return y_SxO if self.bias is None else y_SxO + self.bias[...][None, :]


class LayerNorm(nnx.Module):
  """Layer normalisation (Ba et al., 2016) in float32."""

  def __init__(self, width: int, epsilon: float):
    self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
    self.epsilon = epsilon

  def __call__(self, x_SxD):
    mean_Sx1 = jnp.mean(x_SxD, axis=-1, keepdims=True)
    variance_Sx1 = jnp.mean(jnp.square(x_SxD - mean_Sx1), axis=-1, keepdims=True)
    y_SxD = (x_SxD - mean_Sx1) * lax.rsqrt(variance_Sx1 + self.epsilon)
    return y_SxD * self.scale[...][None, :] + self.bias[...][None, :]


class RMSNorm(nnx.Module):
  """Root-mean-square normalisation of the last axis (Zhang and Sennrich, 2019) in float32."""

  def __init__(self, width: int, epsilon: float):
    self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
    self.epsilon = epsilon

  def __call__(self, x):
    square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
    return x * lax.rsqrt(square + self.epsilon) * scale


# Hugging Face's names of activations; the last three are one function.
ACTIVATIONS = {
  "relu": jax.nn.relu,
  "silu": jax.nn.silu,
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
  "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_fast": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
}


def attention(q_SxHxK, k_SxGxK, v_SxGxK, visible_SxS, dtype):
  """Scaled dot-product attention (Vaswani et al., 2017) over one packed row.

  Args:
    q_SxHxK: queries.
    k_SxGxK: keys; each of the G heads serves H / G neighbouring query heads (Ainslie et al., 2023).
    v_SxGxK: values.
    visible_SxS: whether position i sees position j; every position must see at least one.
    dtype: compute type of the products.

  Returns:
    (S, H, K), float32.
  """
  dot = functools.partial(
    jnp.einsum, precision=_precision(dtype), preferred_element_type=jnp.float32
  )
  size, heads, width = q_SxHxK.shape
  groups = k_SxGxK.shape[1]
  q_SxGxJxK = (q_SxHxK * width**-0.5).reshape(size, groups, heads // groups, width)
  logits_GxJxSxS = dot("qgjk,tgk->gjqt", q_SxGxJxK.astype(dtype), k_SxGxK.astype(dtype))
  # A finite mask value: a row of -inf would make the softmax NaN.
  lowest = jnp.finfo(jnp.float32).min
  weights_GxJxSxS = jax.nn.softmax(
    jnp.where(visible_SxS[None, None], logits_GxJxSxS, lowest), axis=-1
  )
  y_SxGxJxK = dot("gjqt,tgk->qgjk", weights_GxJxSxS.astype(dtype), v_SxGxK.astype(dtype))
  return y_SxGxJxK.reshape(size, heads, width)


class MLP(nnx.Module):
  """`fc_out(activation(fc_in(x)))`; the activation by Hugging Face's name."""

  def __init__(self, width: int, inner: int, activation: str, dtype, *, rngs: nnx.Rngs):
    self.fc_in = Linear(width, inner, dtype, rngs=rngs)
    self.fc_out = Linear(inner, width, dtype, rngs=rngs)
    self.activation = activation

  def __call__(self, x_SxD):
    return self.fc_out(ACTIVATIONS[self.activation](self.fc_in(x_SxD)))
