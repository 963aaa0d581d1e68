"""Soft to hard against a plain loop, one example a row; and texts whose behaviour is known."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from wayjax.data.packing import left_mask, pad_left
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.evaluation import evaluate
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import coordinate_gradient, divergence, hard
from wayjax.readers.coordinate_gradient import Sizes, step, survives, whole_tokens
from wayjax.readers.divergence import Divergence, aims, drawn_rows, scored_rows
from wayjax.readers.reading import Context

PADDED, TOP_K, WIDTH = 8, 20, 48
OVER = ("classes", "vocabulary")
SMALL = {"width": WIDTH, "top_k": TOP_K}


@pytest.fixture(scope="module")
def encoded():
  return tiny.examples(np.random.default_rng(3), lengths=(3, 7, 1, 5), frame=tiny.frame_of(1, 2))


def soft_prompt(lm, seed=5, size=5) -> SoftPrompt:
  rng = np.random.default_rng(seed)
  return SoftPrompt(rng.normal(0, 0.5, (size, lm.width)).astype(np.float32), lm.name)


def letters(seed, size=5) -> np.ndarray:
  """Tokens of ASCII letters."""
  return np.random.default_rng(seed).integers(34, 90, size).astype(np.int32)


def plain_log_probs(vectors_PxD, encoded, over) -> list:
  """Of every example the classes' log-probabilities (1, C), or the next tokens' (positions, V)."""
  found = []
  for i, prefix in enumerate(encoded.prefixes):
    of_classes, of_tokens = [], []
    for c, candidate in enumerate(encoded.scored(i)):
      log_RxV = distributions(vectors_PxD, prefix, candidate, encoded.frame)
      of_classes.append(log_RxV[np.arange(len(candidate)), candidate].mean())
      of_tokens += list(log_RxV[c > 0 :])  # all classes share the first position
    found.append(np.stack(of_tokens if over == "vocabulary" else [log_softmax(of_classes)]))
  return found


def log_softmax(x_C) -> np.ndarray:
  return np.array(x_C) - np.log(np.sum(np.exp(x_C)))


def distributions(vectors_PxD, prefix, candidate, frame) -> np.ndarray:
  """The next token's log-probabilities at every position that predicts a token of a candidate."""
  table_VxD = np.asarray(tiny.random_model().embedding_table())
  rest = [*frame.after_ids, *prefix, *candidate[:-1]]
  x_SxD = np.concatenate([table_VxD[list(frame.before_ids)], vectors_PxD, table_VxD[rest]])
  padded_SxD = np.pad(x_SxD, ((0, tiny.LONGEST - len(x_SxD)), (0, 0)))
  return np.asarray(_log_probs(padded_SxD))[len(x_SxD) - len(candidate) : len(x_SxD)]


@jax.jit
def _log_probs(x_SxD):
  model, size = tiny.random_model(), tiny.LONGEST
  return jax.nn.log_softmax(model.lm_head(model.hidden(x_SxD, jnp.arange(size), tiny.causal(size))))


def plain_kl(soft_PxD, hard_PxD, encoded, over) -> float:
  """The mean over rows of the mean over what is compared in each."""
  both = (plain_log_probs(vectors, encoded, over) for vectors in (soft_PxD, hard_PxD))
  rows = [np.mean(np.sum(np.exp(p) * (p - q), axis=-1)) for p, q in zip(*both, strict=True)]
  return float(np.mean(rows))


def plain_gradient(soft_PxD, ids_P, encoded) -> np.ndarray:
  """The gradient over classes at the one-hot vectors of tokens, by autodiff of the plain loop."""
  table_VxD, aim = (
    tiny.random_model().embedding_table(),
    plain_log_probs(soft_PxD, encoded, "classes"),
  )

  def kl_of(one_hot_PxV):
    total = 0.0
    for prefix, (log_p_C,) in zip(encoded.prefixes, aim, strict=True):
      means = []
      for candidate in encoded.candidates:
        ids, scored = tiny._row(prefix, candidate)
        losses = tiny._row_losses(one_hot_PxV @ table_VxD, ids, "gpt2", encoded.frame)
        means.append(-jnp.sum(losses * scored) / jnp.sum(scored))
      log_q_C = jax.nn.log_softmax(jnp.stack(means))
      total += jnp.sum(jnp.exp(log_p_C) * (log_p_C - log_q_C))
    return total / len(encoded)

  return np.array(jax.grad(kl_of)(jax.nn.one_hot(ids_P, len(table_VxD))))


def one_step(lm, soft, ids_P, encoded, number=0, over="classes"):
  """A step of one prompt, as arrays."""
  rows, objective = scored_rows(encoded, 8), Divergence(over)
  aims_M = np.stack(aims(lm, objective, rows, [soft]))
  arrays = lm.params, rows, whole_tokens(lm), aims_M, pad_left(ids_P, PADDED)[None]
  mask_MxP = left_mask(len(ids_P), PADDED)[None]
  numbers = np.uint32(0), np.uint32(number)
  ranked = step(objective, Sizes(WIDTH, TOP_K, 16), lm.graphdef, *arrays, mask_MxP, *numbers)
  return jax.tree.map(lambda x: np.asarray(x[0]), ranked)


def replaced(ids_P, ranked, i) -> np.ndarray:
  changed_P = ids_P.copy()
  changed_P[ranked.places_W[i] - (PADDED - len(ids_P))] = ranked.tokens_W[i]
  return changed_P


def check_aims(lm, encoded, rows, over):
  """Compares what a soft prompt does with the plain loop."""
  soft = soft_prompt(lm)
  (aim,) = aims(lm, Divergence(over), rows, [soft])
  weights = rows.weights_E if over == "classes" else rows.weights_Q
  expected = plain_log_probs(soft.vectors_PxD, encoded, over)
  found = aim[weights > 0]
  assert weights.sum() == pytest.approx(1)
  each = [len(rows) for rows in expected]
  np.testing.assert_allclose(
    weights[weights > 0], np.repeat(1 / (len(each) * np.array(each)), each)
  )
  order = sorted_rows(found), sorted_rows(np.concatenate(expected))
  np.testing.assert_allclose(*order, rtol=1e-4, atol=1e-4)


def sorted_rows(x) -> np.ndarray:
  """Rows in an order of their own: positions of an example come in any."""
  return x[np.argsort(x[:, 0], kind="stable")]


@pytest.mark.parametrize("over", OVER)
def test_several_packed_rows_hold_what_one_example_a_row_does(lm, encoded, over, monkeypatch):
  monkeypatch.setattr(divergence, "ROW_POSITIONS", 16)
  rows = scored_rows(encoded, 8)
  assert len(rows.weights_E) == 2
  check_aims(lm, encoded, rows, over)


def test_an_example_without_text_is_compared_after_the_prompt(lm):
  encoded = tiny.examples(np.random.default_rng(4), lengths=(0, 2, 0), classes=2)
  check_aims(lm, encoded, scored_rows(encoded, 8), "classes")


def test_of_free_text_the_own_answers_tokens_are_compared(lm, encoded):
  free = dataclasses.replace(encoded, answers=("x", "y", "z"))
  check_aims(lm, free, scored_rows(free, 8), "vocabulary")


def test_the_kl_of_next_tokens_is_that_of_a_plain_loop(lm, encoded):
  start_P, soft = letters(2), soft_prompt(lm)
  ranked = one_step(lm, soft, start_P, encoded, over="vocabulary")
  ids = [start_P, *(replaced(start_P, ranked, i) for i in (0, 7))]
  table_VxD = np.asarray(lm.table_VxD)
  expected = [plain_kl(soft.vectors_PxD, table_VxD[each], encoded, "vocabulary") for each in ids]
  np.testing.assert_allclose([ranked.loss, *ranked.losses_W[[0, 7]]], expected, rtol=1e-3)


def test_replacements_are_drawn_from_the_steepest_tokens(lm, encoded):
  soft, ids_P = soft_prompt(lm), letters(2)
  ranked = one_step(lm, soft, ids_P, encoded)
  slopes_PxV = plain_gradient(soft.vectors_PxD, ids_P, encoded)
  slopes_PxV[np.arange(len(ids_P)), ids_P] = np.inf  # no replacement
  slopes_PxV[:, ~whole_tokens(lm)] = np.inf
  steepest_PxK = np.argsort(slopes_PxV, axis=1)[:, :TOP_K]
  pairs = list(zip(ranked.places_W - (PADDED - len(ids_P)), ranked.tokens_W, strict=True))
  assert len(set(pairs)) == WIDTH
  assert all(token in steepest_PxK[place] for place, token in pairs)
  assert {place for place, _ in pairs} == set(range(len(ids_P)))
  other = one_step(lm, soft, ids_P, encoded, number=1)
  assert set(pairs) != set(zip(other.places_W - (PADDED - len(ids_P)), other.tokens_W))


def test_losses_of_replacements_are_those_of_a_plain_loop_and_the_smallest_is_taken(lm, encoded):
  soft, ids_P = soft_prompt(lm), letters(2)
  ranked = one_step(lm, soft, ids_P, encoded)
  table_VxD = np.asarray(lm.table_VxD)

  def kl(ids):
    return plain_kl(soft.vectors_PxD, table_VxD[ids], encoded, "classes")

  expected_W = [kl(replaced(ids_P, ranked, i)) for i in range(WIDTH)]
  np.testing.assert_allclose(ranked.losses_W, expected_W, rtol=1e-3, atol=1e-6)
  assert float(ranked.loss) == pytest.approx(kl(ids_P), rel=1e-4)
  best_P = replaced(ids_P, ranked, int(np.argmin(expected_W)))
  rows = scored_rows(encoded, 8)
  (found,) = coordinate_gradient.search(
    lm,
    Divergence("classes"),
    rows,
    aims(lm, Divergence("classes"), rows, [soft]),
    [ids_P],
    steps=1,
    **SMALL,
  )
  assert found.ids_P.tolist() == best_P.tolist()
  assert (found.start, found.loss) == pytest.approx((kl(ids_P), min(expected_W)), rel=1e-3)
  assert found.steps == 1


def test_what_would_not_be_read_back_is_not_taken(lm, encoded, monkeypatch):
  soft, ids_P = soft_prompt(lm), letters(2)
  ranked = one_step(lm, soft, ids_P, encoded)
  refused = [replaced(ids_P, ranked, i).tolist() for i in range(2)]
  monkeypatch.setattr(coordinate_gradient, "survives", lambda _, ids: ids.tolist() not in refused)
  monkeypatch.setattr(hard, "starts", lambda *_: [ids_P])
  context = Context(examples=encoded)
  (third,) = hard.read(lm, [soft], context, rows=4, steps=1, **SMALL)
  assert third.ids_P.tolist() == replaced(ids_P, ranked, 2).tolist()
  monkeypatch.setattr(coordinate_gradient, "survives", lambda *_: False)
  (none,) = hard.read(lm, [soft], context, rows=4, steps=2, **SMALL)
  assert none.ids_P.tolist() == ids_P.tolist()
  assert none.kl_end == none.kl_start


def merging() -> PreTrainedTokenizerFast:
  """A tokenizer of a, b, ab and half of an é, which merges a and b."""
  vocab = {"<s>": 0, "a": 1, "b": 2, "ab": 3, "Ã": 4}
  tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


def test_tokens_that_merge_do_not_survive_and_are_replaced_at_the_start(lm):
  tokenizer = merging()
  assert [survives(tokenizer, ids) for ids in ([1, 2], [3], [2, 1], [3, 2], [4])] == [
    *(False, True, True, True, False)
  ]
  small = dataclasses.replace(lm, tokenizer=tokenizer)
  allowed_V = whole_tokens(small)
  assert np.flatnonzero(allowed_V).tolist() == [1, 2, 3]  # no special token, no half of a letter
  start_P = hard._surviving(small, [1, 2, 2, 1], 4, allowed_V, seed=0)
  assert survives(tokenizer, start_P)
  assert start_P[:2].tolist() == [1, 1]
  assert hard._surviving(small, [2, 1, 3, 3], 3, allowed_V, seed=0).tolist() == [2, 1, 3]
  with pytest.raises(WayjaxError, match="no text of 2 tokens can be searched"):
    hard._surviving(small, [], 2, np.arange(len(allowed_V)) == 4, seed=0)


@pytest.mark.parametrize("over", OVER)
def test_a_texts_own_behaviour_is_recovered(lm, encoded, over):
  text = text_prompt(lm, "read")
  context = Context(examples=encoded)
  options = {"over": over, "steps": 40, "rows": 4, **SMALL}
  (drawn,) = hard.read(lm, [text], context, start="random", **options)
  assert drawn.kl_start > 0.02
  assert drawn.kl_end < 0.01
  assert survives(lm.tokenizer, drawn.ids_P)
  assert text_prompt(lm, drawn.text).vectors_PxD.shape == (4, lm.width)
  (near,) = hard.read(lm, [text], context, start="nearest", **options)
  assert (near.text, near.steps) == ("read", 0)
  assert near.kl_end == near.kl_start < 1e-6
  assert near.prompt_f1 == 1
  assert json.loads(json.dumps(near.to_json()))["kl_end"] == near.kl_end


def of_any_lengths(lm) -> list[SoftPrompt]:
  return [soft_prompt(lm, 1, 3), soft_prompt(lm, 2, 11), text_prompt(lm, "done")]


def check_same(ones, others):
  for one, other in zip(ones, others, strict=True):
    assert one.ids_P.tolist() == other.ids_P.tolist()
    found = [(each.kl_start, each.kl_end) for each in (one, other)]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


def test_prompts_together_are_those_alone(lm, encoded):
  prompts, context = of_any_lengths(lm), Context(examples=encoded, seed=1)
  options = {"steps": 4, "rows": 4, **SMALL}
  together = hard.read(lm, prompts, context, **options)
  assert [len(reading.ids_P) for reading in together] == [3, 11, 4]
  assert [reading.steps for reading in together] == [4, 4, 0]
  assert all(reading.kl_end < reading.kl_start for reading in together[:2])
  # Those alone are padded to a shorter length, too.
  check_same(together[::2], [hard.read(lm, [prompts[m]], context, **options)[0] for m in (0, 2)])


@pytest.mark.nightly
def test_devices_share_the_prompts(lm, encoded):
  options = {"steps": 4, "rows": 4, **SMALL}
  check_same(
    *(
      hard.read(each, of_any_lengths(lm), Context(examples=encoded), **options)
      for each in (lm, tiny.over(lm, 2))
    )
  )


@pytest.mark.nightly
def test_more_prompts_than_are_read_at_once(lm, encoded, monkeypatch):
  options = {"steps": 2, "rows": 4, **SMALL}
  prompts, context = of_any_lengths(lm), Context(examples=encoded)
  together = hard.read(lm, prompts, context, **options)
  monkeypatch.setattr(coordinate_gradient, "PROMPTS_AT_ONCE", 2)
  check_same(together, hard.read(lm, prompts, context, **options))


def test_rows_are_drawn_by_the_seed(encoded):
  drawn = [drawn_rows(encoded, 3, seed) for seed in range(8)]
  assert {len(each) for each in drawn} == {3}
  assert len({tuple(each.labels) + tuple(map(len, each.prefixes)) for each in drawn}) > 1
  (first, again) = (drawn_rows(encoded, 3, 5).prefixes for _ in range(2))
  assert [*map(tuple, first)] == [*map(tuple, again)]
  assert [*map(tuple, drawn_rows(encoded, 9, 0).prefixes)] == [*map(tuple, encoded.prefixes)]


def test_the_kl_is_that_of_the_texts_evaluation(lm, encoded):
  soft = soft_prompt(lm)
  context = Context(examples=encoded, seed=2)
  (reading,) = hard.read(lm, [soft], context, rows=4, steps=2, start="random", **SMALL)
  found = evaluate(lm, encoded, [soft, text_prompt(lm, reading.text)])
  log_p, log_q = (np.asarray(jax.nn.log_softmax(-each.losses_NxC)) for each in found)
  kl = np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))
  assert reading.kl_end == pytest.approx(kl, rel=1e-3)


def test_the_seed_decides(lm, encoded):
  options = {"steps": 1, "rows": 4, "start": "random", **SMALL}
  contexts = [Context(examples=encoded, seed=seed) for seed in (0, 0, 1)]
  first, again, other = (hard.read(lm, [soft_prompt(lm)], each, **options)[0] for each in contexts)
  assert (first.text, first.kl_end) == (again.text, again.kl_end)
  assert first.text != other.text


def test_the_search_may_start_from_the_text_that_a_prompt_is_to_read_as(lm, encoded):
  prompt = SoftPrompt(soft_prompt(lm).vectors_PxD, lm.name, Target("text", "t", "lengthy"))
  assert (
    hard.starts(lm, [prompt], "text", None, 0)[0].tolist() == (lm.tokenizer("lengt")["input_ids"])
  )
  (longer,) = hard.starts(lm, [prompt], "text", 9, 0)
  assert lm.tokenizer.decode(longer).startswith("lengthy")
  assert len(longer) == 9
  with pytest.raises(WayjaxError, match="not to read as any text"):
    hard.read(lm, [soft_prompt(lm)], Context(examples=encoded), start="text")


def test_wrong_questions_are_refused(lm, encoded):
  context = Context(examples=encoded)
  assert hard.read(lm, [], context) == []
  with pytest.raises(WayjaxError, match="the reader hard needs a task's rows"):
    hard.read(lm, [soft_prompt(lm)])
  for options in ({"over": "tokens"}, {"start": "there"}, {"steps": 0}, {"tokens": 2.0}):
    with pytest.raises(WayjaxError, match=f"{next(iter(options))} must be"):
      hard.read(lm, [soft_prompt(lm)], context, **options)
  with pytest.raises(WayjaxError, match=r"149 tokens and an example of 12 exceed .* 160"):
    hard.read(lm, [soft_prompt(lm)], context, tokens=149)
  free = dataclasses.replace(encoded, answers=("x", "y", "z"))
  with pytest.raises(WayjaxError, match="free-text answers: over='vocabulary'"):
    hard.read(lm, [soft_prompt(lm)], Context(examples=free))


def test_a_broken_prompt_is_read_without_raising(lm, encoded):
  broken = SoftPrompt(np.full((5, lm.width), np.nan), lm.name)
  (reading,) = hard.read(lm, [broken], Context(examples=encoded), steps=1, **SMALL)
  assert reading.to_json()["kl_end"] is None
