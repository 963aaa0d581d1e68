"""What the model families share. Every layer is frozen: nothing here has a weight gradient.

Products take operands in the model's compute type and accumulate in float32; residual stream,
norms and softmax are float32. Letters: S positions, D width.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def full_precision(dtype) -> lax.Precision:
  """Full float32 where float32 was asked for: TPUs and GPUs otherwise round the operands."""
  return lax.Precision.HIGHEST if dtype == jnp.float32 else lax.Precision.DEFAULT


def _contract(x, w, axis: int):
  """Contracts the last axis of x with one axis of w, in w's type, accumulated in float32."""
  return lax.dot_general(
    x.astype(w.dtype),
    w,
    (((x.ndim - 1,), (axis,)), ((), ())),
    precision=full_precision(w.dtype),
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _normalise(x, epsilon: float, centred: bool):
  """`(x - mean) / sqrt(variance + epsilon)` over the last axis; the mean is 0 unless `centred`."""
  return _normalise_forward(x, epsilon, centred)[0]


def _normalise_forward(x, epsilon, centred):
  x = x - jnp.mean(x, axis=-1, keepdims=True) if centred else x
  scale = lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon)
  return x * scale, (x * scale, scale)


def _normalise_backward(epsilon, centred, residuals, g):
  # Written out, because autodiff generates three times as many operations.
  y, scale = residuals
  dx = g - y * jnp.mean(g * y, axis=-1, keepdims=True)
  if centred:
    dx -= jnp.mean(g, axis=-1, keepdims=True)
  return (scale * dx,)


_normalise.defvjp(_normalise_forward, _normalise_backward)


class LayerNorm(nnx.Module):
  """Layer normalisation (Ba et al., 2016) in float32."""

  def __init__(self, width: int, epsilon: float):
    self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
    self.epsilon = epsilon

  def __call__(self, x_SxD):
    y_SxD = _normalise(x_SxD, self.epsilon, True)
    return y_SxD * self.scale[...][None, :] + self.bias[...][None, :]


class RMSNorm(nnx.Module):
  """Root-mean-square normalisation of the last axis (Zhang and Sennrich, 2019) in float32."""

  def __init__(self, width: int, epsilon: float):
    self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
    self.epsilon = epsilon

  def __call__(self, x):
    scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
    return _normalise(x, self.epsilon, False) * scale


# Activations by Hugging Face's names; the last three are the same function.
ACTIVATIONS = {
  "relu": jax.nn.relu,
  "silu": jax.nn.silu,
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
  **dict.fromkeys(
    ("gelu_new", "gelu_fast", "gelu_pytorch_tanh"),
    functools.partial(jax.nn.gelu, approximate=True),
  ),
}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def activate(name: str, dtype, x):
  """An activation by Hugging Face's name.

  The forward pass also computes the slope, from the same exponential, and keeps it in the compute
  type: autodiff would keep x in float32 and pass over it again.
  """
  return ACTIVATIONS[name](x)


def _activate_forward(name, dtype, x):
  y, slope = jax.jvp(ACTIVATIONS[name], (x,), (jnp.ones_like(x),))
  return y, slope.astype(dtype)


def _activate_backward(name, dtype, slope, g):
  return (g * slope.astype(g.dtype),)


activate.defvjp(_activate_forward, _activate_backward)


class MLP(nnx.Module):
  """`fc_out(activation(fc_in(x)))`; the activation by Hugging Face's name."""

  def __init__(self, width: int, inner: int, activation: str, dtype, *, rngs: nnx.Rngs):
    self.fc_in = Linear(width, inner, dtype, rngs=rngs)
    self.fc_out = Linear(inner, width, dtype, rngs=rngs)
    self.activation, self.dtype = activation, dtype

  def __call__(self, x_SxD):
    return self.fc_out(activate(self.activation, self.dtype, self.fc_in(x_SxD)))
