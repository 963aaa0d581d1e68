"""What the families share: products without weight gradients, grouped attention, rotation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from jaxprs import equations

from wayjax.loss import cross_entropy
from wayjax.models import layers, rotary
from wayjax.models.attention import attention


def test_frozen_dot_has_the_gradient_of_a_product_and_none_for_the_weight(rng):
  x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4, 5), (3, 5)))
  for axis, matrix in ((0, w), (1, w.T)):
    y, vjp = jax.vjp(lambda x, m=matrix, a=axis: layers.frozen_dot(x, m, a), x)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vjp(g)[0], g @ w.T, rtol=1e-5, atol=1e-6)
  assert not np.any(jax.grad(lambda w: layers.frozen_dot(x, w).sum())(w))


def test_backward_of_a_bfloat16_product_rounds_the_cotangent(rng):
  x = rng.normal(size=(3, 4)).astype(np.float32)
  w = jnp.asarray(rng.normal(size=(4, 5)), jnp.bfloat16)
  jaxpr = jax.make_jaxpr(jax.grad(lambda x: layers.frozen_dot(x, w).sum()))(x)
  products = [equation for equation in jaxpr.eqns if equation.primitive.name == "dot_general"]
  assert len(products) == 2  # forward and backward
  for product in products:
    assert {var.aval.dtype for var in product.invars} == {jnp.dtype(jnp.bfloat16)}
    assert product.outvars[0].aval.dtype == jnp.float32


def test_grouped_attention_repeats_keys_and_values(rng):
  q, k, v = (rng.normal(size=(6, heads, 8)).astype(np.float32) for heads in (4, 2, 2))
  visible = tiny.causal(6)
  repeated = [np.repeat(array, 2, axis=1) for array in (k, v)]  # heads 0, 0, 1, 1
  np.testing.assert_allclose(
    attention(q, k, v, visible, jnp.float32),
    attention(q, *repeated, visible, jnp.float32),
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize("centred", [False, True])
def test_norms_have_the_gradient_that_autodiff_finds(rng, centred):
  def plain(x):
    x = x - jnp.mean(x, axis=-1, keepdims=True) if centred else x
    return x / jnp.sqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-5)

  x, g = (rng.normal(1.0, 2.0, size=(3, 8)).astype(np.float32) for _ in range(2))
  norm = layers.LayerNorm(8, 1e-5) if centred else layers.RMSNorm(8, 1e-5)
  (y, vjp), (expected, expected_vjp) = jax.vjp(norm, x), jax.vjp(plain, x)
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(vjp(g)[0], expected_vjp(g)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["scanned", "remat", "scanned and remat"])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_layers_compute_the_same_however_they_are_applied(rng, how, model_type):
  layers_option = {"gpt2": "n_layer", "llama": "num_hidden_layers"}[model_type]
  config = tiny.CONFIGS[model_type] | {layers_option: 4}
  model = tiny.fill(config, tiny.tensors(config))
  row = tiny.pack(tiny.examples(rng), [0, 1, 2], 24, 9)
  prompt, mask = rng.normal(size=(4, 32)).astype(np.float32), np.ones(4, np.float32)

  def value_and_gradient():
    loss = jax.value_and_grad(lambda prompt: cross_entropy(model, prompt, mask, row))
    return jax.jit(loss)(prompt)

  expected, expected_gradient = value_and_gradient()
  model.remat, model.platform = "remat" in how, "tpu" if "scanned" in how else "cpu"
  value, gradient = value_and_gradient()
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(
    gradient, expected_gradient, rtol=0, atol=1e-5 * np.abs(gradient).max()
  )


@pytest.mark.parametrize("interleaved", [False, True])
def test_each_pair_is_rotated_as_a_complex_number(rng, interleaved):
  frequencies, positions = (1.0, 0.1), np.arange(7)
  x = rng.normal(size=(7, 3, 6)).astype(np.float32)  # two pairs are rotated, two dimensions are not
  cos_sin = rotary.cos_sin(rotary.Rotation(frequencies), jnp.asarray(positions))
  y = np.asarray(rotary.rotate(x, *cos_sin, interleaved=interleaved))
  for pair, frequency in enumerate(frequencies):
    a, b = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + 2)
    rotated = (x[..., a] + 1j * x[..., b]) * np.exp(1j * frequency * positions)[:, None]
    np.testing.assert_allclose(y[..., a] + 1j * y[..., b], rotated, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(y[..., 4:], x[..., 4:])


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_scanned_layers_hand_no_copies_of_weights_to_the_backward_pass(rng, remat, model_type):
  layers_option = {"gpt2": "n_layer", "llama": "num_hidden_layers"}[model_type]
  config = tiny.CONFIGS[model_type] | {layers_option: 5}
  model = tiny.fill(config, tiny.tensors(config))
  model.remat, model.platform = remat, "tpu"
  row = tiny.pack(tiny.examples(rng), [0, 1, 2], 24, 9)
  prompt, mask = rng.normal(size=(4, 32)).astype(np.float32), np.ones(4, np.float32)
  loss = jax.value_and_grad(lambda prompt: cross_entropy(model, prompt, mask, row))
  scans = [
    equation
    for equation in equations(jax.make_jaxpr(loss)(prompt).jaxpr)
    if equation.primitive.name == "scan"
  ]
  assert [scan.params["length"] for scan in scans] == [3, 3]  # forward and backward
  made = {var.aval.shape for scan in scans for var in scan.outvars}
  matrices = {x.shape for x in jax.tree.leaves(nnx.state(model.layers)) if x.ndim == 3}
  assert matrices
  assert not made & {(3, *shape[1:]) for shape in matrices}
