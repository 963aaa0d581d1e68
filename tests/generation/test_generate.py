"""`wayjax.generate`: batched as alone, cached as from the beginning, and all that can be wrong."""

import copy
import dataclasses

import numpy as np
import pytest
import tiny
from flax import nnx

import wayjax
from wayjax import generate
from wayjax.data.encoding import token_ids
from wayjax.data.frame import make_frame
from wayjax.errors import WayjaxError
from wayjax.generation.generate import _read
from wayjax.generation.generator import Generator
from wayjax.generation.sampling import Sampling
from wayjax.models import load_lm
from wayjax.prompts import SoftPrompt

NEW = 6
TEXTS = ["a", "some longer text", "the third"]


def prompts_of(rng, sizes, **details):
  return [SoftPrompt(rng.normal(0, 0.3, (size, 32)), "tiny", **details) for size in sizes]


def ids_of(found):
  return [[generation.ids.tolist() for generation in row] for row in found]


def uncached(lm, prompt, ids, frame) -> list[int]:
  """What a plain loop generates."""
  vectors_PxD = np.zeros((0, 32), np.float32) if prompt is None else prompt.vectors_PxD
  return tiny.greedy(lm, vectors_PxD, ids, NEW, frame)


@pytest.mark.parametrize("model_type", tiny.CONFIGS)
def test_the_cache_changes_nothing(model_type, rng, tmp_path):
  folder = tiny.save_model(tmp_path, tiny.CONFIGS[model_type])
  lm = tiny.over(load_lm(str(folder), precision="float32"), 1)
  prompts = [None, *prompts_of(rng, (3, 10))]
  found = generate(lm, prompts, TEXTS, max_new_tokens=NEW, before="<", after=" >>")
  frame = make_frame(lm.tokenizer, "<", " >>")
  for prompt, row in zip(prompts, found, strict=True):
    for ids, generation in zip(token_ids(lm.tokenizer, TEXTS), row, strict=True):
      assert generation.ids.tolist() == uncached(lm, prompt, ids, frame)
      assert generation.ids.dtype == np.int32


def test_a_prompt_stands_in_what_it_was_tuned_in(lm, rng):
  frame = make_frame(lm.tokenizer, "<u>", ">", "</u><m>")
  (prompt,) = prompts_of(rng, (3,), before="<u>", after=">", reply="</u><m>")
  (row,) = generate(lm, [prompt], TEXTS, max_new_tokens=NEW)
  for ids, generation in zip(token_ids(lm.tokenizer, TEXTS), row, strict=True):
    assert generation.ids.tolist() == uncached(lm, prompt, [*ids, *frame.reply_ids], frame)
  (other,) = generate(lm, [prompt], TEXTS, max_new_tokens=NEW, before="", after="")
  bare = make_frame(lm.tokenizer, "", "")
  ids = [*token_ids(lm.tokenizer, TEXTS)[0], *frame.reply_ids]
  assert other[0].ids.tolist() == uncached(lm, prompt, ids, bare)


def test_in_a_chat_an_input_is_the_users_turn(lm, rng):
  lm = dataclasses.replace(lm, tokenizer=copy.deepcopy(lm.tokenizer))
  lm.tokenizer.chat_template = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}<model>"
  )
  (prompt,) = prompts_of(rng, (3,), before="tuned otherwise", after="", reply="")
  found = generate(lm, [None, prompt], ["hello"], max_new_tokens=NEW, chat=True, system="Be.")
  frame = make_frame(lm.tokenizer, "<system>Be.</><user>", "", "</><model>")
  ids = [*token_ids(lm.tokenizer, ["hello"])[0], *frame.reply_ids]
  for one, (generation,) in zip([None, prompt], found, strict=True):
    assert generation.ids.tolist() == uncached(lm, one, ids, frame)


def test_another_seed_is_no_other_program(lm, monkeypatch):
  first = Generator(lm, max_new_tokens=2, sampling=Sampling(1.0, seed=1))
  first([None], [np.arange(3)])
  second = Generator(lm, max_new_tokens=2, sampling=Sampling(1.0, seed=2))
  assert second._sampling == first._sampling
  assert second._seed != first._seed


def test_layers_that_are_scanned_say_the_same(lm, rng):
  prompts, inputs = prompts_of(rng, (3, 10)), [np.arange(3), np.arange(7)]
  unrolled = Generator(lm, max_new_tokens=NEW)(prompts, inputs)
  model = nnx.merge(lm.graphdef, lm.params)
  model.platform = "tpu"
  scanned_lm = dataclasses.replace(lm, graphdef=nnx.split(model)[0])
  scanned = Generator(scanned_lm, max_new_tokens=NEW)(prompts, inputs)
  np.testing.assert_equal(scanned, unrolled)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, 50, 0.9, seed=3)])
def test_batched_is_looped_however_it_is_divided(lm, rng, sampling):
  prompts, inputs = prompts_of(rng, (3, 10, 4)), [np.arange(3), np.arange(11)]
  together = Generator(lm, max_new_tokens=NEW, sampling=sampling)(prompts, inputs)
  divided = Generator(lm, max_new_tokens=NEW, sampling=sampling, sequences_at_once=4)
  np.testing.assert_equal(divided(prompts, inputs), together)
  assert len({ids.tobytes() for row in together for ids in row}) > 3
  # The first sequence has the same numbers alone, and much less padding.
  np.testing.assert_equal(divided(prompts[:1], inputs[:1])[0][0], together[0][0])


@pytest.mark.parametrize(("devices", "model_parallel"), [(4, 1), (4, 2)])
def test_several_devices_are_as_one(lm, rng, devices, model_parallel):
  prompts, inputs = prompts_of(rng, (3, 10, 4)), [np.arange(3), np.arange(9)]
  one = Generator(lm, max_new_tokens=NEW)(prompts, inputs)
  over = tiny.over(lm, devices, model_parallel)
  np.testing.assert_equal(Generator(over, max_new_tokens=NEW)(prompts, inputs), one)


def test_bfloat16_runs(model_dir, rng):
  lm = tiny.over(load_lm(str(model_dir), precision="bfloat16"), 1)
  found = generate(lm, prompts_of(rng, (3,)), TEXTS, max_new_tokens=NEW)
  assert all(len(generation.ids) for generation in found[0])


def test_a_seed_says_what_is_drawn(lm):
  options = {"max_new_tokens": 12, "temperature": 1.0}
  first, again, other = (
    ids_of(generate(lm, [], TEXTS, seed=seed, **options)) for seed in (1, 1, 2)
  )
  assert first == again != other
  assert ids_of(generate(lm, [], [TEXTS[0]] * 2, seed=1, **options))[0][0] != first[0][1]


def test_a_program_is_kept_between_calls(lm, rng, monkeypatch):
  generator = Generator(lm, max_new_tokens=3)
  first = generator(prompts_of(rng, (3,)), [np.arange(4)] * 4)
  monkeypatch.setattr(generator, "_lower", None)  # nothing more can be compiled
  assert len(generator(prompts_of(rng, (4,)), [np.arange(3)] * 2)[0]) == 2
  assert len(first[0]) == 4


def test_what_a_prompt_was_tuned_with_is_put_around_it(lm, rng):
  (prompt,) = prompts_of(rng, (3,), before="<<", after=">>")
  plain = SoftPrompt(prompt.vectors_PxD, "tiny")
  own, given, none = (
    ids_of(generate(lm, [p], TEXTS, max_new_tokens=8, **options))
    for p, options in (
      (prompt, {}),
      (plain, {"before": "<<", "after": ">>"}),
      (prompt, {"before": "", "after": ""}),
    )
  )
  assert own == given != none == ids_of(generate(lm, [plain], TEXTS, max_new_tokens=8))


def test_of_two_stop_texts_in_one_token_the_first_cuts(lm):
  class Tokenizer:
    eos_token_id = 0

    def decode(self, ids, **_):
      return "".join({1: "ab", 2: "cdef"}[i] for i in ids)

  found = _read(Tokenizer(), np.array([1, 2], np.int32), ["e", "d"])
  assert (found.text, found.stopped) == ("abc", "stop")


def test_text_ends_at_the_first_stop_text(lm):
  (whole,) = generate(lm, [], ["some text"], max_new_tokens=12)[0]
  assert whole.stopped == "length"
  letters = [lm.tokenizer.decode([i]) for i in whole.ids]
  for stop in (letters[4], "".join(letters[3:5]), [letters[4], letters[5]]):
    (found,) = generate(lm, [], ["some text"], max_new_tokens=12, stop=stop)[0]
    first = min(
      whole.text.find(part)
      for part in ([stop] if isinstance(stop, str) else stop)
      if part in whole.text
    )
    assert (found.text, found.stopped) == (whole.text[:first], "stop")
    np.testing.assert_array_equal(found.ids, whole.ids[: len(found.ids)])
    assert len(found.ids) < 12


def test_no_token_that_does_not_exist_is_drawn(lm):
  found = generate(lm, [], TEXTS, max_new_tokens=100, temperature=1e6)
  ids = np.concatenate([generation.ids for generation in found[0]])
  assert lm.rows_of_no_token == (257, 258, 259, 260)
  assert len(set(ids.tolist())) > 100
  assert ids.max() < 257


def test_nothing_asked_nothing_generated(lm, rng):
  assert generate(lm, prompts_of(rng, (3, 4)), []) == [[], []]
  assert len(generate(lm, prompts_of(rng, (3,)), [""], max_new_tokens=1)[0][0].ids) == 1


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, not 0"),
    ({"max_new_tokens": 2.0}, "max_new_tokens must be a whole number"),
    ({"temperature": -1.0}, "temperature must be a number of at least 0, not -1.0"),
    ({"temperature": float("nan")}, "temperature must be a number of at least 0, not nan"),
    ({"temperature": "hot"}, "temperature must be a number"),
    ({"top_k": 0}, "top_k must be a whole number of at least 1, not 0"),
    ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0"),
    ({"top_k": 3}, "say what is drawn among: give a temperature above 0"),
    ({"top_p": 0.5}, "say what is drawn among: give a temperature above 0"),
    ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
    ({"seed": -1}, "seed must be a whole number from 0"),
    ({"stop": [""]}, "a stop text is empty"),
    ({"stop": [1]}, "each of stop must be a text"),
    ({"before": 3}, "before must be a text"),
    ({"inputs": "text"}, "inputs must be a list of texts"),
    ({"inputs": [1]}, "each of inputs must be a text"),
    ({"inputs": [""]}, "there is nothing to start from"),
    ({"prompts": ["text"]}, "each of prompts must be a SoftPrompt or None"),
    ({"prompts": SoftPrompt(np.ones((2, 32)), "x")}, "prompts must be a list of SoftPrompts"),
    ({"prompts": [SoftPrompt(np.ones((2, 4)), "x")]}, "width 4 does not fit .* width is 32"),
    (
      {"inputs": ["x" * 150], "max_new_tokens": 12},
      "of 150, 0 around .* 12 new tokens exceed .* 160",
    ),
    ({"inputs": ["a\udcff"]}, r"one of inputs is not valid Unicode, 'a\\udcff': give another"),
    ({"stop": ["\udcff"]}, "one of stop is not valid Unicode"),
    ({"lm": "gpt2"}, "lm must be what load_lm returns"),
    ({"chat": True}, "no chat template"),
    ({"system": "Be brief."}, "system is the system's text of a chat"),
  ],
)
def test_what_is_wrong_is_named(lm, options, message):
  arguments = {"lm": lm, "prompts": [], "inputs": ["a text"], **options}
  with pytest.raises(WayjaxError, match=message):
    generate(**arguments)


def test_the_context_may_be_full(lm):
  assert len(generate(lm, [], ["x" * 150], max_new_tokens=11)[0][0].ids) == 11


def test_a_token_without_an_embedding_is_refused(lm):
  with pytest.raises(WayjaxError, match="an input contains the token"):
    Generator(lm)([], [np.array([300])])


def test_the_public_name_is_the_function():
  assert callable(wayjax.generate)
  assert wayjax.generate.__module__ == "wayjax.generation.generate"
