"""The contextual reader against a search one by one, and texts against a bank that has them."""

import dataclasses

import numpy as np
import pytest
import tiny

from wayjax.data.frame import NO_FRAME, Frame
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.generation.requests import Request
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import Context, contextual
from wayjax.readers.nearest import token_texts
from wayjax.readers.states import hidden_states, prompt_states

TEXTS = ("read me, don't sing", "a well-known film", "no rain so far", "the né 12 ...", "")


@pytest.fixture
def prompts(lm) -> list[SoftPrompt]:
  """Of several lengths and far from all tokens; the last was tuned after another text."""
  rng = np.random.default_rng(7)  # another seed than that of the tiny model's table
  soft = [SoftPrompt(rng.normal(0, 0.2, (size, 32)), lm.name) for size in (6, 3, 4)]
  return [*soft[:2], dataclasses.replace(soft[2], before="so ")]


def by_hand(lm, prompt, texts, layer, frame) -> list[tuple[str, int, float]]:
  """The nearest state's text, position there, and cosine, one text and one position at a time."""
  places, bank = [], []
  for text in texts:
    ids_T = np.array(lm.tokenizer(text)["input_ids"], np.int32)
    before = Frame(before_ids=frame.before_ids)  # what stands after a prompt is not seen by it
    (states_1xSxI,) = hidden_states(lm, [Request(0, 0, None, before, ids_T)], [layer])
    bank += list(states_1xSxI[0, len(frame.before_ids) :].astype(np.float64))
    places += [(text, i) for i in range(len(ids_T))]
  mean_I, deviation_I = np.mean(bank, axis=0), np.std(bank, axis=0)
  (states_1xPxI,) = prompt_states(lm, [prompt], Context(frame=frame), [layer])
  found = []
  for state_I in states_1xPxI[0].astype(np.float64):
    cosines = []
    for other_I in bank:
      a, b = (state_I - mean_I) / deviation_I, (other_I - mean_I) / deviation_I
      cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
    best = int(np.argmax(cosines))
    found.append((*places[best], cosines[best]))
  return found


@pytest.mark.parametrize("frame", [NO_FRAME, tiny.frame_of(2, 3)])
def test_the_nearest_states_are_those_of_a_search_one_by_one(lm, prompts, frame):
  context = Context(texts=TEXTS, frame=frame)
  for prompt, reading in zip(prompts, contextual.read(lm, prompts, context), strict=True):
    assert reading.layer == 1
    expected = by_hand(lm, prompt, TEXTS[:-1], 1, frame)
    for one, (text, i, cosine) in zip(reading.nearest, expected, strict=True):
      ids = lm.tokenizer(text)["input_ids"]
      assert (one.source, one.token) == (text, token_texts(lm, ids[i : i + 1])[0])
      assert one.similarity == pytest.approx(cosine, abs=1e-4)
      assert one.word == one.source[one.start : one.start + len(one.word)]
      assert one.token.strip() in one.word or one.token in "Ã©"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_text_in_the_bank_reads_as_itself(lm, layer):
  prompt = text_prompt(lm, Target("text", "t", TEXTS[0]))
  for frame in (None, tiny.frame_of(2, 3)):
    context = Context(texts=TEXTS, frame=frame)
    (reading,) = contextual.read(lm, [prompt], context, layer=layer)
    assert reading.text == "read me , don't sing"
    assert reading.prompt_f1 == 1
    for one, char in zip(reading.nearest, TEXTS[0], strict=True):
      assert (one.token, one.source) == (char, TEXTS[0])
      assert one.similarity == pytest.approx(1, abs=1e-4)


def test_readings_together_are_those_of_each_alone(lm, prompts):
  """Also of prompts that were tuned after other texts, each with a bank of its own."""
  context = Context(texts=TEXTS)
  for prompt, together in zip(prompts, contextual.read(lm, prompts, context), strict=True):
    (alone,) = contextual.read(lm, [prompt], context)
    assert together.text == alone.text
    for one, other in zip(together.nearest, alone.nearest, strict=True):
      assert dataclasses.replace(one, similarity=0) == dataclasses.replace(other, similarity=0)
      assert one.similarity == pytest.approx(other.similarity, abs=1e-5)
  tuned = text_prompt(lm, Target("text", "t", TEXTS[2]))
  tuned = dataclasses.replace(tuned, before="so ")
  reading = contextual.read(lm, [*prompts, tuned], context)[-1]
  assert min(one.similarity for one in reading.nearest) > 1 - 1e-4
  assert contextual.read(lm, [], context) == []


@pytest.mark.parametrize(
  ("parts", "words"),
  [
    ("read| me|,| now", ["read", "me", ","]),
    ("don|'t| go", ["don't", "don't", "go"]),
    ("a| well|-known| (film|)", ["a", "well-known", "well-known", "film", ")"]),
    ("re|ad| |me", ["read", "read", "", "me"]),
    ("the| the", ["the", "the"]),
    ("…|é| x", ["…", "é", "x"]),
  ],
)
def test_the_word_around_a_token(parts, words):
  parts = parts.split("|")
  text, starts = "".join(parts), []
  for i, word in enumerate(words):
    before, through = "".join(parts[:i]), "".join(parts[: i + 1])
    found, start = contextual.word_at(text, before, through)
    assert found == word == text[start : start + len(word)]
    starts.append(start)
  assert starts == sorted(starts)


def test_the_character_around_a_part_of_it():
  for before, through in (("ab \ufffd", "ab é"), ("ab ", "ab \ufffd")):
    assert contextual.word_at("ab é c", before, through) == ("é", 3)
    assert contextual.word_at("ab 🙂 c", before, through.replace("é", "🙂")) == ("🙂", 3)


def test_a_word_counts_once_where_its_parts_follow_each_other(lm):
  def at(word, start):
    return contextual.Occurrence(word, word[:1], "red red go", start, 0.5)

  nearest = [at("red", 0), at("red", 0), None, at("", 3), at("red", 4), at("go", 8), at("red", 0)]
  prompt = text_prompt(lm, Target("text", "t", "red car"))
  reading = contextual._reading(lm, prompt, 1, nearest)
  assert reading.text == "red red go red"
  assert reading.prompt_f1 == pytest.approx(2 / 6)
  assert reading.nearest == nearest


class TestBank:
  def drawn(self, lm, bank=10_000, longest=64, **context):
    return [
      lm.tokenizer.decode(ids_T)
      for ids_T in contextual._draw(lm, Context(**context), longest, bank)
    ]

  def test_it_holds_every_text_once_where_there_is_room(self, lm):
    assert sorted(self.drawn(lm, texts=TEXTS + TEXTS)) == sorted(TEXTS[:-1])

  def test_it_is_cut_to_its_size_and_texts_to_theirs(self, lm):
    texts = tuple(f"{i} " * 9 for i in range(10, 40))  # of 27 tokens
    found = self.drawn(lm, bank=100, longest=20, texts=texts)
    assert list(map(len, found)) == [20] * 5
    assert all(any(text.startswith(part) for text in texts) for part in found)
    assert list(map(len, self.drawn(lm, bank=50, longest=20, texts=texts))) == [20, 20, 10]

  def test_the_seed_draws_the_texts(self, lm):
    texts = tuple(f"{i} " * 9 for i in range(10, 40))
    first = self.drawn(lm, bank=100, texts=texts)
    assert first == self.drawn(lm, bank=100, texts=texts, seed=0)
    assert first != self.drawn(lm, bank=100, texts=texts, seed=1)

  def test_states_are_looked_up_in_no_more_than_it_holds(self, lm, prompts):
    context = Context(texts=("ab", "cd"), seed=3)
    (first,) = self.drawn(lm, bank=2, texts=context.texts, seed=3)
    for reading in contextual.read(lm, prompts, context, bank=2):
      assert {one.source for one in reading.nearest} == {first}

  def test_texts_are_as_long_as_the_model_has_room(self, lm):
    context = Context(texts=("x" * 200,), frame=tiny.frame_of(130, 0))
    (reading,) = contextual.read(lm, [text_prompt(lm, "xx")], context)
    assert reading.nearest[0].source == "x" * 30


def test_a_broken_prompt_is_read_without_raising_and_leaves_others_alone(lm, prompts):
  context = Context(texts=TEXTS)
  broken = [SoftPrompt(np.full((2, 32), value), lm.name) for value in (np.nan, 3e38)]
  (expected,) = contextual.read(lm, prompts[:1], context)
  nan, huge, found = contextual.read(lm, [*broken, prompts[0]], context)
  assert (nan.text, nan.nearest) == ("", [None, None])
  assert len(huge.nearest) == 2
  assert found.text == expected.text


def test_what_cannot_be_read_is_refused(lm, prompts):
  context = Context(texts=TEXTS)
  with pytest.raises(WayjaxError, match="the reader contextual needs real text to compare with"):
    contextual.read(lm, prompts)
  with pytest.raises(WayjaxError, match="texts that have tokens, and all are empty"):
    contextual.read(lm, prompts, Context(texts=("",)))
  for bank in (0, 2.5, None):
    with pytest.raises(WayjaxError, match=f"bank must be a whole number of at least 1, not {bank}"):
      contextual.read(lm, prompts, context, bank=bank)
  with pytest.raises(WayjaxError, match="after 0 to 2 layers"):
    contextual.read(lm, prompts, context, layer=3)
  with pytest.raises(WayjaxError, match="161 prompt tokens and 0 of text exceed"):
    contextual.read(lm, [SoftPrompt(np.ones((161, 32)), lm.name)], context)
  with pytest.raises(WayjaxError, match="of width 4 does not fit"):
    contextual.read(lm, [SoftPrompt(np.ones((2, 4)), "other")], context)
  with pytest.raises(WayjaxError, match="context must be a Context"):
    contextual.read(lm, prompts, TEXTS)
