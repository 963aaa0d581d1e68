"""The paper's reader against distances taken one by one, and readings together against alone."""

import copy
import dataclasses
import math

import chex
import numpy as np
import pytest
import tiny

from wayjax.config import METRICS
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.loss import c_dist
from wayjax.metrics import prompt_f1
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import READERS, Context, nearest

TARGET = Target("text", "t", "read me")  # 7 tokens


@pytest.fixture
def prompts(lm) -> list[SoftPrompt]:
  """From an array, near a text and to be read as it, from a text, and of another length than it."""
  rng = np.random.default_rng(7)  # another seed than that of the tiny model's table
  near = text_prompt(lm, TARGET).vectors_PxD + rng.normal(0, 0.15, (7, 32))
  return [
    SoftPrompt(rng.normal(0, 0.1, (5, 32)), lm.name),
    SoftPrompt(near, lm.name, TARGET),
    text_prompt(lm, TARGET),
    SoftPrompt(rng.normal(0, 0.1, (3, 32)), lm.name, TARGET),
  ]


def scores_by_hand(vector_D, table_VxD, metric) -> np.ndarray:
  """How near every token is; larger is nearer."""
  vector_D, table_VxD = vector_D.astype(np.float64), table_VxD.astype(np.float64)
  if metric == "euclidean":
    return -np.sqrt(((table_VxD - vector_D) ** 2).sum(-1))
  products_V = table_VxD @ vector_D
  if metric == "dot":
    return products_V
  return products_V / (np.linalg.norm(table_VxD, axis=-1) * np.linalg.norm(vector_D))


def test_any_number_of_prompts_shares_two_programs(lm):
  rng = np.random.default_rng(3)
  nearest._nearest_of_block.clear_cache()
  for sizes in ([1], [20, 12], [5, 9, 31], [255], [256], [40] * 13):
    prompts = [SoftPrompt(rng.normal(0, 0.1, (size, 32)), lm.name) for size in sizes]
    together = nearest.read(lm, prompts)
    for prompt, reading in zip(prompts, together, strict=True):
      (alone,) = nearest.read(lm, [prompt])
      assert reading.texts == alone.texts
      assert reading.nearest == alone.nearest
      assert len(reading.ids_P) == len(reading.nearest) == len(prompt)
  assert nearest._nearest_of_block._cache_size() == 2


def test_the_nearest_tokens_are_those_found_by_brute_force(lm, prompts):
  table_VxD = np.asarray(lm.table_VxD)
  readings = {metric: nearest.read(lm, prompts, Context(metric=metric)) for metric in METRICS}
  for i, prompt in enumerate(prompts):
    for metric, found in readings.items():
      by_hand = [scores_by_hand(v_D, table_VxD, metric) for v_D in prompt.vectors_PxD]
      ids_P = [int(np.argmax(scores_V)) for scores_V in by_hand]
      assert found[i].ids_P.tolist() == ids_P
      assert found[i].text == lm.tokenizer.decode(ids_P)
      assert readings["dot"][i].texts[metric] == found[i].text
    for v_D, tokens in zip(prompt.vectors_PxD, readings["dot"][i].nearest, strict=True):
      distances_V = -scores_by_hand(v_D, table_VxD, "euclidean")
      order = np.argsort(distances_V, kind="stable")[:5]
      # Whatever the metric of the text, tokens are listed by Euclidean distance.
      texts, distances = zip(*tokens, strict=True)
      np.testing.assert_allclose(distances, distances_V[order], atol=1e-4)
      ids = lm.tokenizer.convert_tokens_to_ids(lm.tokenizer.convert_ids_to_tokens(order.tolist()))
      assert list(texts) == [token_text(lm, token) for token in ids]


def token_text(lm, token: int) -> str:
  text = lm.tokenizer.decode([token])
  return lm.tokenizer.convert_ids_to_tokens(token) if "\N{REPLACEMENT CHARACTER}" in text else text


def test_readings_together_are_those_of_each_alone(lm, prompts):
  for prompt, together in zip(prompts, nearest.read(lm, prompts), strict=True):
    (alone,) = nearest.read(lm, [prompt])
    chex.assert_trees_all_equal(dataclasses.asdict(together), dataclasses.asdict(alone))


def test_no_prompts_no_readings(lm):
  assert nearest.read(lm, []) == []
  assert nearest.project(lm, [], "dot") == []


def test_a_text_reads_as_itself(lm, prompts):
  reading = nearest.read(lm, prompts)[2]
  assert reading.text == TARGET.text
  assert reading.texts["cosine"] == TARGET.text
  assert (reading.prompt_f1, reading.token_match, reading.c_dist) == (1.0, 1.0, 0.0)
  assert [tokens[0] for tokens in reading.nearest] == [(char, 0.0) for char in TARGET.text]
  assert reading.target_tokens == list(TARGET.text)


def test_a_prompt_is_compared_with_what_it_is_to_read_as(lm, prompts):
  reading = nearest.read(lm, prompts)[1]
  target = text_prompt(lm, TARGET).vectors_PxD
  expected = c_dist(prompts[1].vectors_PxD, target, np.ones(7, np.float32))
  assert reading.c_dist == float(expected) > 0.05
  target_ids = lm.tokenizer(TARGET.text)["input_ids"]
  assert reading.token_match == np.mean(reading.ids_P == target_ids)
  assert 0 < reading.prompt_f1 <= 1
  by_dot = nearest.read(lm, prompts, Context(metric="dot"))[
    1
  ]  # whose scores are those of its own text
  assert by_dot.text != reading.text
  assert by_dot.token_match == np.mean(by_dot.ids_P == target_ids) != reading.token_match
  assert by_dot.prompt_f1 == prompt_f1(by_dot.text, TARGET.text) != reading.prompt_f1


def test_a_prompt_that_was_found_is_compared_with_nothing(lm, prompts):
  reading = nearest.read(lm, prompts)[0]
  assert reading.text
  assert (reading.prompt_f1, reading.prompt_f1_lemma) == (None, None)
  assert (reading.token_match, reading.c_dist, reading.target_tokens) == (None, None, [])


def test_a_prompt_of_another_length_has_an_f1_alone(lm, prompts):
  reading = nearest.read(lm, prompts)[3]
  assert reading.prompt_f1 is not None
  assert (reading.token_match, reading.c_dist) == (None, None)
  assert reading.target_tokens == list(TARGET.text)


def test_parts_of_characters_are_told_apart(lm):
  prompt = text_prompt(lm, "é")  # two bytes, and so two tokens
  reading = nearest.read(lm, [prompt])[0]
  assert reading.text == "é"
  assert reading.target_tokens == ["Ã", "©"]


def test_projected_ids_are_those_of_the_reading(lm, prompts):
  for metric in METRICS:
    ids = nearest.project(lm, prompts, metric)
    readings = nearest.read(lm, prompts, Context(metric=metric))
    chex.assert_trees_all_equal(ids, [reading.ids_P for reading in readings])


def test_a_broken_prompt_is_read_without_raising(lm):
  broken = np.full((2, tiny.CONFIG.n_embd), np.float32(3e38))
  (reading,) = nearest.read(lm, [SoftPrompt(broken, lm.name, Target("text", "t", "ab"))])
  assert math.isinf(reading.c_dist)
  assert [distance for _, distance in reading.nearest[0]] == [None] * 5


def test_prompts_of_another_width_are_refused(lm):
  other = SoftPrompt(np.ones((2, 4)), "other")
  for prompts in ([other], [text_prompt(lm, TARGET), other], other):
    with pytest.raises(WayjaxError):
      nearest.read(lm, prompts)


def test_an_unknown_metric_is_refused(lm):
  with pytest.raises(WayjaxError, match="metric must be one of euclidean, dot, cosine"):
    nearest.read(lm, [text_prompt(lm, TARGET)], Context(metric="manhattan"))


def test_it_is_the_reader_named_nearest():
  assert READERS["nearest"] is nearest.read


def test_a_hole_in_the_vocabulary_is_never_read(lm, monkeypatch):
  """A prompt that lies on an unused row reads as the next token, not as nothing."""
  vocab = {token: i for token, i in lm.tokenizer.get_vocab().items() if i not in range(100, 140)}
  tokenizer = copy.copy(lm.tokenizer)
  monkeypatch.setattr(tokenizer, "get_vocab", lambda: vocab, raising=False)
  holed = dataclasses.replace(lm, tokenizer=tokenizer)
  assert holed.unused_U.tolist() == list(range(100, 140))
  prompt = SoftPrompt(np.asarray(lm.table_VxD)[95:145], lm.name)
  for metric in METRICS:
    (whole,) = nearest.read(lm, [prompt], Context(metric=metric))
    (found,) = nearest.read(holed, [prompt], Context(metric=metric))
    assert not set(found.ids_P.tolist()) & set(range(100, 140))
    np.testing.assert_array_equal(found.ids_P, nearest.project(holed, [prompt], metric)[0])
    if metric == "euclidean":
      assert whole.ids_P.tolist() == list(range(95, 145))
      assert found.ids_P[:5].tolist() == list(range(95, 100))
