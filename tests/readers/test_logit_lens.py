"""The logit lens against a plain model that ends after the layer."""

import copy
import dataclasses
import functools
import types
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from jaxprs import shapes

from wayjax.data.frame import NO_FRAME
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.metrics import prompt_f1
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import Context, logit_lens
from wayjax.readers.states import over_states, requests_of

FRAME = tiny.frame_of(7, 2)  # so many that the row is longer than the padded prompt
TARGET = Target("text", "t", "read me")


@pytest.fixture
def prompts(lm) -> list[SoftPrompt]:
  """Of several lengths; one is to be read as a text."""
  rng = np.random.default_rng(7)  # another seed than that of the tiny model's table
  soft = [SoftPrompt(rng.normal(0, 0.2, (size, 32)), lm.name) for size in (5, 11, 1)]
  return [*soft, text_prompt(lm, TARGET)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def shares(graphdef, layer, params, x_SxD):
  """What a model of so many layers says next at every position, (S, V)."""
  layers = jax.tree.map(lambda weight: weight[:layer], params["layers"])
  model = nnx.merge(graphdef, nnx.State({**params, "layers": layers}))
  h_SxD = model.hidden(x_SxD, jnp.arange(len(x_SxD)), tiny.causal(len(x_SxD)))
  return jax.nn.softmax(model.lm_head(h_SxD))


def by_hand(lm, prompt, layer, frame=NO_FRAME) -> np.ndarray:
  """The same at the positions of a prompt, over the tokens there are, (P, V)."""
  x_SxD = np.concatenate([np.asarray(lm.table_VxD)[list(frame.before_ids)], prompt.vectors_PxD])
  padded_SxD = np.pad(x_SxD, ((0, tiny.GREEDY - len(x_SxD)), (0, 0)))
  shares_SxV = np.array(shares(lm.graphdef, layer, lm.params, padded_SxD))
  shares_SxV[:, list(lm.rows_of_no_token)] = 0
  shares_SxV /= shares_SxV.sum(1, keepdims=True)
  return shares_SxV[len(frame.before_ids) : len(x_SxD)]


@pytest.mark.parametrize("frame", [NO_FRAME, FRAME])
def test_a_layer_says_what_a_model_that_ends_after_it_says_next(lm, prompts, frame):
  """After all layers that is the model itself."""
  readings = logit_lens.read(lm, prompts, Context(frame=frame), layers=[2, 1], k=4)
  for prompt, reading in zip(prompts, readings, strict=True):
    assert reading.layers == [2, 1]
    assert reading.ids_LxPxK.shape == reading.probabilities_LxPxK.shape == (2, len(prompt), 4)
    for n, layer in enumerate(reading.layers):
      shares_PxV = by_hand(lm, prompt, layer, frame)
      order_PxV = np.argsort(-shares_PxV, axis=1, kind="stable")
      np.testing.assert_array_equal(reading.ids_LxPxK[n], order_PxV[:, :4])
      np.testing.assert_allclose(
        reading.probabilities_LxPxK[n],
        np.take_along_axis(shares_PxV, order_PxV[:, :4], 1),
        rtol=1e-4,
      )


def test_before_the_first_layer_it_is_the_head_over_what_that_reads(lm, prompts):
  @jax.jit
  def says(params, x_PxD):
    model = nnx.merge(lm.graphdef, params)
    h_PxD = x_PxD + model.wpe[...][: len(x_PxD)]
    return model.lm_head(model.norm(h_PxD))[:, :257]

  readings = logit_lens.read(lm, prompts[:2], layers=[0], k=1)
  for prompt, reading in zip(prompts, readings):
    best_P = np.argmax(says(lm.params, prompt.vectors_PxD), axis=1)
    np.testing.assert_array_equal(reading.ids_LxPxK[0, :, 0], best_P)


def test_the_text_is_the_best_tokens_of_the_last_layer_joined(lm, prompts):
  readings = logit_lens.read(lm, prompts)
  for prompt, reading in zip(prompts, readings, strict=True):
    assert reading.layers == [1, 2]
    assert reading.text == lm.tokenizer.decode(by_hand(lm, prompt, 2).argmax(1).tolist())
    assert len(reading.tokens) == 2
    for n, of_layer in enumerate(reading.tokens):
      for position, pairs in enumerate(of_layer):
        for i, (text, share) in enumerate(pairs):
          token = int(reading.ids_LxPxK[n, position, i])
          plain = lm.tokenizer.decode([token])
          name = lm.tokenizer.convert_ids_to_tokens(token)
          assert text == (name if "\N{REPLACEMENT CHARACTER}" in plain else plain)
          assert share == reading.probabilities_LxPxK[n, position, i]
  assert readings[0].prompt_f1 is None
  assert readings[3].prompt_f1 == prompt_f1(readings[3].text, TARGET.text)
  assert set(readings[3].to_json()) == {"text", "prompt_f1", "prompt_f1_lemma"}


def test_readings_together_are_those_of_each_alone(lm, prompts):
  for prompt, together in zip(prompts, logit_lens.read(lm, prompts), strict=True):
    (alone,) = logit_lens.read(lm, [prompt])
    np.testing.assert_array_equal(together.ids_LxPxK, alone.ids_LxPxK)
    chex.assert_trees_all_close(together.probabilities_LxPxK, alone.probabilities_LxPxK, rtol=1e-4)
    assert together.text == alone.text
  assert logit_lens.read(lm, []) == []


def test_rows_of_no_token_never_appear_and_take_no_probability(lm, prompts, monkeypatch):
  """However probable they are: holes in the vocabulary, and what pads the table."""
  best = np.unique(by_hand(lm, prompts[1], 2).argmax(1)).tolist()
  unused = sorted({*best, *range(100, 140)} - {lm.tokenizer.eos_token_id})
  vocab = {token: i for token, i in lm.tokenizer.get_vocab().items() if i not in unused}
  tokenizer = copy.copy(lm.tokenizer)
  monkeypatch.setattr(tokenizer, "get_vocab", lambda: vocab, raising=False)
  holed = dataclasses.replace(lm, tokenizer=tokenizer)
  assert set(holed.rows_of_no_token) == {*unused, *range(257, 261)}
  known = 261 - len(holed.rows_of_no_token)
  (reading,) = logit_lens.read(holed, [prompts[1]], layers=[2], k=known)
  assert not np.isin(reading.ids_LxPxK, holed.rows_of_no_token).any()
  np.testing.assert_allclose(reading.probabilities_LxPxK.sum(-1), 1, rtol=1e-5)
  expected_P = by_hand(holed, prompts[1], 2).max(1)
  np.testing.assert_allclose(reading.probabilities_LxPxK[0, :, 0], expected_P, rtol=1e-4)
  with pytest.raises(WayjaxError, match=f"from 1 to the {known} tokens, not {known + 1}"):
    logit_lens.read(holed, prompts, k=known + 1)


@pytest.mark.parametrize("rows", [1, 5])
def test_logits_of_a_few_positions_exist_at_a_time(lm, rows):
  """And those of all positions are the same, whether blocks divide them or not."""
  states_2xSxI = np.random.default_rng(1).normal(size=(2, 16, 32)).astype(np.float32)
  sequence = types.SimpleNamespace(soft_PxD=np.zeros((8, 32)))
  model, compute = nnx.merge(lm.graphdef, lm.params), logit_lens._MostProbable(3)

  def best(states_2xSxI):
    return compute(model, states_2xSxI, sequence, np.zeros(261, bool))

  with mock.patch("wayjax.readers.logit_lens._LOGITS", rows * 261):
    traced = jax.jit(best).trace(states_2xSxI)
    found = traced.lower().compile()(states_2xSxI)
  assert max(shape[0] for shape in shapes(traced.jaxpr.jaxpr) if 261 in shape) <= rows
  h_NxI = states_2xSxI[:, 8:].reshape(16, 32)
  logits_NxV = np.asarray(jax.jit(lambda h: model.lm_head(model.norm(h)))(h_NxI))
  order_NxV = np.argsort(-logits_NxV, axis=1, kind="stable")
  np.testing.assert_array_equal(found[0], order_NxV[:, :3].reshape(2, 8, 3))
  assert found[1].shape == (2, 8, 3)


def test_equal_calls_share_a_program(lm, prompts):
  first = logit_lens.read(lm, prompts, k=3)
  untraced = mock.patch.object(logit_lens._MostProbable, "__call__", side_effect=AssertionError)
  with untraced:
    second = logit_lens.read(lm, prompts, k=3)
  assert [reading.tokens for reading in first] == [reading.tokens for reading in second]
  with untraced, pytest.raises(AssertionError):
    logit_lens.read(lm, prompts, k=9)


def test_no_logits_come_back_to_the_host(lm, prompts):
  (request,) = requests_of(lm, prompts[:1], Context())
  compute, never_V = logit_lens._MostProbable(3), np.zeros(261, bool)
  (found,) = over_states(lm, [request], [2], compute, never_V)
  assert [x.shape for x in found] == [(1, 8, 3)] * 2  # 5 positions, padded


@pytest.mark.parametrize(
  ("count", "expected"),
  [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (5, [2, 3, 4, 5]), (12, [3, 6, 9, 12])],
)
def test_the_layers_that_are_read_are_spread_over_all(count, expected):
  assert logit_lens.quarters(count) == expected


def test_a_broken_prompt_is_read_without_raising(lm):
  broken = SoftPrompt(np.full((2, 32), np.nan), lm.name, TARGET)
  (reading,) = logit_lens.read(lm, [broken], k=2)
  assert [share for of_layer in reading.tokens for pairs in of_layer for _, share in pairs] == [
    None
  ] * 8
  assert not np.isin(reading.ids_LxPxK, lm.rows_of_no_token).any()


def test_what_cannot_be_read_is_refused(lm, prompts):
  for k in (0, -1, 258, 2.0, None):
    with pytest.raises(WayjaxError, match=f"from 1 to the 257 tokens, not {k!r}"):
      logit_lens.read(lm, prompts, k=k)
  with pytest.raises(WayjaxError, match="no layers to read"):
    logit_lens.read(lm, prompts, layers=[])
  with pytest.raises(WayjaxError, match="after 0 to 2 layers"):
    logit_lens.read(lm, prompts, layers=[1, 3])
  with pytest.raises(WayjaxError, match="161 prompt tokens and 0 of text exceed"):
    logit_lens.read(lm, [*prompts, SoftPrompt(np.ones((161, 32)), lm.name)])
  with pytest.raises(WayjaxError, match="of width 4 does not fit"):
    logit_lens.read(lm, [SoftPrompt(np.ones((2, 4)), "other")])
  with pytest.raises(WayjaxError, match="context must be a Context"):
    logit_lens.read(lm, prompts, "euclidean")
