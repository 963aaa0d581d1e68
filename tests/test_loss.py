"""The packed loss against one example a row, written plainly in tiny.py."""

import dataclasses
import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from forall import forall
from hypothesis import strategies as st
from jaxprs import shapes

from wayjax.data import packing
from wayjax.data.packing import left_mask, pad_left
from wayjax.evaluation import Evaluator
from wayjax.loss import (
  SCORE_BLOCK,
  c_dist,
  cross_entropy,
  token_losses,
  wayward_loss,
  weighted_c_dist,
)
from wayjax.models import load_lm
from wayjax.prompts import SoftPrompt


@pytest.fixture(scope="module")
def model(lm):
  return nnx.merge(lm.graphdef, lm.params)


def prompt_of(rng, size):
  return rng.normal(0, 0.3, (size, tiny.CONFIG.n_embd)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=3)
@jax.value_and_grad
def packed_cross_entropy(prompt_PxD, mask_P, row, model_type):
  return cross_entropy(tiny.random_model(model_type), prompt_PxD, mask_P, row)


def check_packed_equals_unpacked(rng, encoded, rows, prompt_tokens, padding, row, family="gpt2"):
  prompt = prompt_of(rng, prompt_tokens)
  mask_P = left_mask(prompt_tokens, prompt_tokens + padding)
  # What stands in the padding must not matter.
  padded = pad_left(prompt, prompt_tokens + padding) + np.float32(7) * (1 - mask_P)[:, None]
  loss, gradient = packed_cross_entropy(padded, mask_P, row, family)
  expected, expected_gradient = tiny.unpacked_cross_entropy(prompt, encoded, rows, family)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  scale = np.abs(expected_gradient).max()
  np.testing.assert_allclose(gradient[padding:], expected_gradient, rtol=0, atol=1e-5 * scale)
  assert not np.any(gradient[:padding])


@pytest.mark.parametrize(
  ("lengths", "prompt_tokens"),
  [
    pytest.param((3, 7, 1, 5, 9, 4), 4, id="filled-to-the-last-position"),
    pytest.param((6,), 4, id="one-example"),
    pytest.param((0, 5, 0), 4, id="empty-text"),
    pytest.param((0,), 1, id="one-empty-example-one-prompt-token"),
  ],
)
def test_packed_equals_unpacked_in_the_smallest_row(rng, lengths, prompt_tokens):
  encoded, rows = tiny.examples(rng, lengths), list(range(len(lengths)))
  row = tiny.pack(encoded, rows)
  check_packed_equals_unpacked(rng, encoded, rows, prompt_tokens, 0, row)


REACHES = (6, 17)  # those that a row of lengths up to 16 has, rounded up


def padded_row(encoded, rows) -> packing.PackedRow:
  """A row of one size, with two slices of attention: all of them are compiled once a reach."""
  row = tiny.pack(encoded, rows, 120, 18)
  return dataclasses.replace(row, reach=next(reach for reach in REACHES if reach >= row.reach))


@pytest.mark.parametrize(
  ("lengths", "rows", "prompt_tokens"),
  [
    pytest.param((3, 7, 1, 5, 9, 4), range(6), 8, id="padding-at-the-end"),
    pytest.param((3, 7, 1, 5, 9, 4), range(6), 4, id="left-padded-prompt"),
    pytest.param((0, 5, 0), range(3), 1, id="empty-text-and-padding"),
    pytest.param((4, 4), [0, 0, 1, 0], 4, id="the-same-example-again"),
  ],
)
def test_packed_equals_unpacked_in_a_larger_row(rng, lengths, rows, prompt_tokens):
  encoded, rows = tiny.examples(rng, lengths), list(rows)
  row = padded_row(encoded, rows)
  check_packed_equals_unpacked(rng, encoded, rows, prompt_tokens, 8 - prompt_tokens, row)


def test_an_example_across_two_slices_sees_its_first_token(rng):
  # The last one takes positions 47 to 64 behind 8 of the prompt; the second slice begins at 64.
  encoded = dataclasses.replace(
    tiny.examples(rng, (16, 16, 7, 16)), labels=np.array([0, 0, 0, 2], np.int32)
  )
  row = tiny.pack(encoded, [0, 1, 2, 3], 120, 18)
  assert np.flatnonzero(np.asarray(row.examples_T) == 3)[[0, -1]].tolist() == [47 - 8, 64 - 8]
  assert row.reach == 64 - 47
  check_packed_equals_unpacked(rng, encoded, [0, 1, 2, 3], 8, 0, row)


@forall(
  60,
  lengths=st.lists(st.integers(0, 16), min_size=1, max_size=6),
  prompt_tokens=st.sampled_from([1, 4, 8]),
  seed=st.integers(0, 100),
)
def test_packed_equals_unpacked_for_any_lengths(lengths, prompt_tokens, seed):
  rng = np.random.default_rng(seed)
  encoded, rows = tiny.examples(rng, lengths), list(range(len(lengths)))
  row = padded_row(encoded, rows)
  check_packed_equals_unpacked(rng, encoded, rows, prompt_tokens, 8 - prompt_tokens, row)


SIZES = [(0, 3), (1, 0), (2, 1), (5, 9)]  # tokens before and after the prompt


@forall(
  40,
  around=st.sampled_from(SIZES),
  lengths=st.lists(st.integers(0, 16), min_size=1, max_size=6),
  prompt_tokens=st.sampled_from([1, 4, 8]),
  seed=st.integers(0, 100),
)
def test_packed_equals_unpacked_in_any_frame(around, lengths, prompt_tokens, seed):
  rng = np.random.default_rng(seed)
  encoded = tiny.examples(rng, lengths, frame=tiny.frame_of(*around))
  rows = list(range(len(lengths)))
  row = padded_row(encoded, rows)
  check_packed_equals_unpacked(rng, encoded, rows, prompt_tokens, 8 - prompt_tokens, row)


OTHER_FAMILIES = sorted(tiny.CONFIGS.keys() - {"gpt2"})


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_packed_equals_unpacked_in_a_frame_in_every_family(rng, family):
  encoded, rows = tiny.examples(rng, (3, 7, 0, 5), frame=tiny.frame_of(1, 2)), [0, 1, 2, 3]
  row = tiny.pack(encoded, rows, 36, 12)
  check_packed_equals_unpacked(rng, encoded, rows, 4, 3, row, family)


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_packed_equals_unpacked_in_every_family(rng, family):
  encoded, rows = tiny.examples(rng, (3, 7, 0, 5)), [0, 1, 2, 3]
  row = tiny.pack(encoded, rows, 36, 12)
  check_packed_equals_unpacked(rng, encoded, rows, 4, 3, row, family)


@pytest.mark.parametrize("family", ["qwen3", "gemma2"])
def test_prompts_together_equal_prompts_alone_with_one_key_value_head(rng, family):
  """So wide that XLA takes another way on a CPU, on which one repeated head made it crash."""
  config = tiny.CONFIGS[family] | {
    "num_key_value_heads": 1,
    "hidden_size": 256,
    "head_dim": 256,
    "intermediate_size": 64,
  }
  model = tiny.fill(config, tiny.tensors(config))
  row = tiny.pack(tiny.examples(rng, (30,) * 6), list(range(6)))
  prompts = rng.normal(size=(2, 4, 256)).astype(np.float32)
  mask_P = np.ones(4, np.float32)
  loss = jax.value_and_grad(lambda prompt: cross_entropy(model, prompt, mask_P, row))
  together = jax.jit(jax.vmap(loss))(prompts)
  for i, prompt in enumerate(prompts):
    value, gradient = jax.jit(loss)(prompt)
    np.testing.assert_allclose(together[0][i], value, rtol=1e-5)
    np.testing.assert_allclose(together[1][i], gradient, atol=1e-5 * np.abs(gradient).max())


def check_class_scores(loaded, encoded, prompts, family="gpt2"):
  """The mean losses of every class of every example under prompts that are scored together."""
  results = Evaluator(loaded, encoded)([SoftPrompt(prompt, loaded.name) for prompt in prompts])
  for prompt, result in zip(prompts, results, strict=True):
    assert result.losses_NxC.shape == (len(encoded), 3)
    for i, prefix in enumerate(encoded.prefixes):
      for c, candidate in enumerate(encoded.candidates):
        losses = tiny.unpacked_losses(prompt, prefix, candidate, family, encoded.frame)
        expected = np.mean(losses)
        np.testing.assert_allclose(result.losses_NxC[i, c], expected, rtol=1e-5)


@pytest.mark.parametrize("lengths", [(0, 3, 7, 1, 5, 0, 2, 0), (4,)])
def test_class_scores_equal_unpacked_ones(lm, rng, lengths):
  # The second prompt is padded.
  check_class_scores(lm, tiny.examples(rng, lengths), [prompt_of(rng, 16), prompt_of(rng, 13)])


@pytest.mark.parametrize("around", SIZES)
def test_class_scores_equal_unpacked_ones_in_a_frame(lm, rng, around):
  encoded = tiny.examples(rng, (0, 3, 7, 0), frame=tiny.frame_of(*around))
  check_class_scores(lm, encoded, [prompt_of(rng, 16), prompt_of(rng, 13)])


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_class_scores_equal_unpacked_ones_in_every_family(rng, family, tmp_path):
  loaded = load_lm(str(tiny.save_model(tmp_path, tiny.CONFIGS[family])), precision="float32")
  check_class_scores(loaded, tiny.examples(rng, (3, 0, 6)), [prompt_of(rng, 13)], family)


def test_scores_do_not_depend_on_the_rows_they_stand_in(model, rng):
  encoded = tiny.examples(rng, (3, 7, 1, 5, 9, 4, 2, 2))
  prompt = jnp.asarray(prompt_of(rng, 4))
  mask_P = np.ones(4, np.float32)
  per_size = []
  for text in (1, 30, 200):  # 1 grows to the longest example; 200 holds them all
    rows, slots = packing.pack_evaluation(encoded, text, 4)
    score = jax.jit(functools.partial(token_losses, model, prompt, mask_P))
    losses = np.stack(
      [score(jax.tree.map(lambda a, n=n: a[n], rows)) for n in range(len(rows.ids_T))]
    )
    real = slots.examples_NxR != packing.PADDING
    order = np.lexsort((np.arange(real.sum()), slots.examples_NxR[real]))
    per_size.append(losses[real][order])
    assert rows.ids_T.shape[1] >= text
  assert len(per_size[0]) == 8 * (1 + 2 + 3)
  for losses in per_size[1:]:
    np.testing.assert_allclose(losses, per_size[0], rtol=2e-5)


def test_many_scored_tokens_are_scored_in_blocks(model, rng):
  encoded = tiny.examples(rng, [2] * 40)
  rows, _ = packing.pack_evaluation(encoded, 500, 20)
  row = jax.tree.map(lambda a: a[0], rows)
  assert len(row.labels_R) > 2 * SCORE_BLOCK
  prompt = prompt_of(rng, 2)
  losses = jax.jit(functools.partial(token_losses, model))(prompt, np.ones(2, np.float32), row)
  first = [tiny.unpacked_losses(prompt, encoded.prefixes[0], c) for c in encoded.candidates]
  np.testing.assert_allclose(losses[:6], np.concatenate(first), rtol=1e-5)


@functools.cache
def losses_in_blocks(tokens: int):
  """Losses of a row and the gradient of their mean, in blocks of so many tokens."""

  @jax.jit
  def measure(prompt_PxD, mask_P, row):
    def mean(prompt_PxD):
      losses_R = token_losses(tiny.random_model(), prompt_PxD, mask_P, row)
      return jnp.mean(losses_R), losses_R

    with mock.patch("wayjax.loss._LOGITS", tokens * tiny.CONFIG.vocab_size):
      return jax.grad(mean, has_aux=True)(prompt_PxD)

  return measure


@forall(20, tokens=st.sampled_from([0, 5]), seed=st.integers(0, 1000))
def test_blocks_of_any_size_are_one(tokens, seed):
  rng = np.random.default_rng(seed)
  row = padded_row(tiny.examples(rng), range(6))
  prompt, mask_P = prompt_of(rng, 4), np.ones(4, np.float32)
  gradient, losses = losses_in_blocks(tokens)(prompt, mask_P, row)
  expected_gradient, expected = losses_in_blocks(SCORE_BLOCK)(prompt, mask_P, row)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  scale = np.abs(expected_gradient).max()
  np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
  ("vocabulary", "tokens"),
  [(261, 64), (50_257, 64), (65_536, 64), (128_256, 32), (262_144, 16), (2**24, 1)],
)
def test_the_larger_the_vocabulary_the_fewer_logits_exist_at_a_time(rng, vocabulary, tokens):
  _, _, graphdef, params = tiny.build({**tiny.CONFIGS["llama"], "vocab_size": vocabulary})
  encoded = tiny.examples(rng, [2] * 30)
  row = tiny.pack(encoded, list(range(30)), 120, 128)

  def loss(params, prompt_MxPxD):
    one = functools.partial(cross_entropy, nnx.merge(graphdef, params))
    return jnp.sum(jax.vmap(one, (0, None, None))(prompt_MxPxD, np.ones(4, np.float32), row))

  prompts = jax.ShapeDtypeStruct((2, 4, 32), jnp.float32)
  computed = shapes(jax.make_jaxpr(jax.grad(loss, 1))(params, prompts).jaxpr)
  logits = {shape for shape in computed if vocabulary in shape and len(shape) > 1}
  assert max(map(np.prod, logits)) == 2 * tokens * vocabulary


def test_c_dist_is_the_mean_over_real_positions_of_squared_distances(rng):
  prompt, target = rng.normal(size=(2, 5, 4)).astype(np.float32)
  expected = np.sum((prompt[2:] - target[2:]) ** 2) / 3
  np.testing.assert_allclose(c_dist(prompt, target, left_mask(3, 5)), expected, rtol=1e-6)
  assert c_dist(prompt, prompt, left_mask(3, 5)) == 0


def test_wayward_loss_is_the_weighted_sum_and_gives_its_parts(model, rng):
  row = tiny.pack(tiny.examples(rng), list(range(6)))
  prompt, target = prompt_of(rng, 4), prompt_of(rng, 4)
  mask_P, gamma = np.ones(4, np.float32), jnp.float32(0.25)

  @jax.jit
  def losses(prompt, target, mask_P, gamma, row):
    loss, parts = wayward_loss(model, prompt, target, mask_P, gamma, row)
    other, other_parts = wayward_loss(
      model, prompt, target, mask_P, gamma, row, lambda prompt, target, mask_P, gamma: -gamma
    )
    return loss, parts, other, other_parts, cross_entropy(model, prompt, mask_P, row)

  loss, (ce, distance), other, other_parts, expected = losses(prompt, target, mask_P, gamma, row)
  np.testing.assert_allclose(ce, expected, rtol=1e-6)
  np.testing.assert_allclose(distance, c_dist(prompt, target, mask_P), rtol=1e-6)
  np.testing.assert_allclose(loss, ce + 0.25 * distance, rtol=1e-6)
  np.testing.assert_allclose(other, ce - 0.25, rtol=1e-6)  # another penalty
  chex.assert_trees_all_close(other_parts, (ce, distance), rtol=1e-6)
  assert weighted_c_dist(prompt, target, mask_P, 0.25) == 0.25 * c_dist(prompt, target, mask_P)


def test_c_dist_gradient_is_zero_at_the_target(rng):
  target = rng.normal(size=(3, 4)).astype(np.float32)
  assert not np.any(jax.grad(c_dist)(target, target, np.ones(3, np.float32)))
