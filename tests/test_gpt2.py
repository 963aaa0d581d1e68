"""GPT-2 against Hugging Face's PyTorch; goldens/make_gpt2.py made the numbers."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models import gpt2, layers, weights

GOLDEN = Path(__file__).parent / "goldens" / "gpt2"
TOLERANCE = 1e-4


def load(config, dtype=jnp.float32):
  graphdef, abstract = nnx.split(nnx.eval_shape(lambda: gpt2.GPT2(config, dtype, rngs=nnx.Rngs(0))))
  params = weights.load_weights(
    abstract, weights.find_tensors(GOLDEN), gpt2.TENSORS, gpt2.IGNORED, gpt2.PREFIX
  )
  return nnx.merge(graphdef, params)


@pytest.fixture(scope="module")
def config():
  return gpt2.GPT2Config.from_hf(json.loads((GOLDEN / "config.json").read_text()))


@pytest.fixture(scope="module")
def golden():
  return np.load(GOLDEN / "golden.npz")


def errors(model, golden, shift=0):
  """Largest differences from the golden logits and gradient."""
  ids_T = golden["ids_T"]

  def loss(prompt_PxD):
    x_SxD = jnp.concatenate([prompt_PxD, model.embed(ids_T)])
    causal = jnp.tril(jnp.ones((len(x_SxD), len(x_SxD)), bool))
    logits_SxV = model.unembed(model.hidden(x_SxD, shift + jnp.arange(len(x_SxD)), causal))
    losses_SxV = -jax.nn.log_softmax(logits_SxV)
    scored = losses_SxV[len(prompt_PxD) - 1 : -1]
    return jnp.mean(scored[jnp.arange(len(ids_T)), ids_T]), logits_SxV

  gradient, logits_SxV = jax.grad(loss, has_aux=True)(golden["prompt_PxD"])
  return (
    np.abs(logits_SxV - golden["logits_SxV"]).max(),
    np.abs(gradient - golden["gradient_PxD"]).max(),
  )


def test_logits_and_prompt_gradient_agree_with_pytorch(config, golden):
  assert golden["logits_SxV"].std() >= 1
  logits_error, gradient_error = errors(load(config), golden)
  assert logits_error < TOLERANCE
  assert gradient_error < TOLERANCE


class TestGoldenNumbersAreSharp:
  """Each mistake that is easily made must break the parity."""

  def check(self, model, golden, shift=0):
    assert min(errors(model, golden, shift)) > 10 * TOLERANCE

  def test_exact_gelu(self, config, golden, monkeypatch):
    tanh_form = jax.nn.gelu
    monkeypatch.setattr(jax.nn, "gelu", lambda x, approximate: tanh_form(x, approximate=False))
    logits_error, gradient_error = errors(load(config), golden)
    assert min(logits_error, gradient_error) > TOLERANCE

  @pytest.mark.parametrize("epsilon", [1e-6, 1e-12])
  def test_epsilon(self, config, golden, epsilon):
    self.check(load(dataclasses.replace(config, layer_norm_epsilon=epsilon)), golden)

  def test_attention_scale(self, config, golden, monkeypatch):
    attention = layers.attention
    monkeypatch.setattr(gpt2, "attention", lambda q, *rest: attention(1.1 * q, *rest))
    self.check(load(config), golden)

  def test_positions_off_by_one(self, config, golden):
    self.check(load(config), golden, shift=1)


def test_bfloat16_is_near_and_accumulates_in_float32(config, golden):
  model = load(config, jnp.bfloat16)
  assert model.lm_head[...].dtype == jnp.bfloat16
  assert model.wte[...].dtype == jnp.float32
  logits_error, _ = errors(model, golden)
  assert TOLERANCE < logits_error < 0.2 * golden["logits_SxV"].std()


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


@pytest.mark.parametrize(
  ("option", "value"),
  [
    ("activation_function", "gelu"),
    ("scale_attn_by_inverse_layer_idx", True),
    ("add_cross_attention", True),
    ("tie_word_embeddings", False),
    ("scale_attn_weights", False),
  ],
)
def test_options_that_are_not_implemented_are_refused_by_name(option, value):
  with pytest.raises(WayjaxError, match=option):
    gpt2.GPT2Config.from_hf({option: value})


def test_heads_must_divide_the_width():
  with pytest.raises(WayjaxError, match="n_head 5"):
    gpt2.GPT2Config.from_hf({"n_embd": 24, "n_head": 5})
