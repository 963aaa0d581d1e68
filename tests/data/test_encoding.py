"""Token ids: texts, templates, and which tokens are scored."""

import dataclasses

import numpy as np
import pytest

from wayjax.data.encoding import encode, token_ids
from wayjax.data.examples import Examples
from wayjax.data.tasks import TASKS, Task
from wayjax.errors import WayjaxError


def decode(lm, ids):
  return lm.tokenizer.decode(list(ids))


def test_text_then_template_then_what_differs_between_classes(lm):
  encoded = encode(lm.tokenizer, TASKS["sst2"], Examples(("  fun film ", "dull"), (1, 0)))
  assert decode(lm, encoded.prefixes[0]) == "  fun film  It was "
  assert decode(lm, encoded.prefixes[1]) == "dull It was "
  assert [decode(lm, ids) for ids in encoded.candidates] == [
    "terrible .<|endoftext|>",
    "great .<|endoftext|>",
  ]
  assert encoded.labels.tolist() == [1, 0]
  longest = len("  fun film  It was terrible .")
  assert encoded.longest() == longest


def test_classes_that_share_first_tokens_are_scored_from_where_they_differ(lm):
  task = Task("mine", "It is %s.", ("grand", "great", "gray"), ("a", "b", "c"))
  encoded = encode(lm.tokenizer, task, Examples(("x",), (0,)))
  assert decode(lm, encoded.prefixes[0]) == "x It is gr"
  assert [decode(lm, ids[:-1]) for ids in encoded.candidates] == ["and.", "eat.", "ay."]


def test_a_class_may_be_the_beginning_of_another(lm):
  task = Task("mine", "It is %s", ("good", "good fun"), ("a", "b"))
  encoded = encode(lm.tokenizer, task, Examples(("x",), (0,)))
  assert [decode(lm, ids) for ids in encoded.candidates] == [
    "<|endoftext|>",
    " fun<|endoftext|>",
  ]


def test_texts_are_cut_and_templates_are_not(lm):
  text = "0123456789" * 20
  for max_length in (20, 66):
    encoded = encode(lm.tokenizer, TASKS["sst2"], Examples((text,), (0,)), max_length)
    assert decode(lm, encoded.prefixes[0]) == text[: max_length - 16] + " It was "
  encoded = encode(lm.tokenizer, TASKS["sst2"], Examples((text,), (0,)))
  assert len(encoded.prefixes[0]) == 128 - 16 + len(" It was ")


@pytest.mark.parametrize("length", [16, 0, -5, 20.5, "20"])
def test_a_length_that_leaves_no_room_for_text_is_refused(lm, length):
  """A negative one cut texts from their end."""
  rows = Examples(("text",), (0,))
  with pytest.raises(WayjaxError, match="max_length must be a whole number of at least 17, not "):
    encode(lm.tokenizer, TASKS["sst2"], rows, length)
  with pytest.raises(WayjaxError, match="max_length must be a whole number of at least 17, not "):
    encode(lm.tokenizer, dataclasses.replace(TASKS["sst2"], max_length=length), rows)


def test_only_examples_of_a_task_are_encoded(lm):
  rows = Examples(("text",), (0,))
  for task, examples, message in (
    ("sst2", rows, "task must be what get_task returns, not a value of type str"),
    (
      TASKS["sst2"],
      ["text"],
      "examples must be a part of what load_data returns, not a value of type list",
    ),
    (TASKS["sst2"], Examples((), ()), "there are no examples to encode: give at least one"),
  ):
    with pytest.raises(WayjaxError, match=message):
      encode(lm.tokenizer, task, examples)


def test_label_words_with_the_same_tokens_are_refused(lm):
  same = dataclasses.replace(TASKS["sst2"], label_words=("good", "good"))
  with pytest.raises(WayjaxError, match="same tokens"):
    encode(lm.tokenizer, same, Examples(("x",), (0,)))


def test_no_special_tokens_are_added(lm):
  assert token_ids(lm.tokenizer, [""]) == [[]]
  assert lm.tokenizer.eos_token_id not in token_ids(lm.tokenizer, ["some text"])[0]


@pytest.mark.parametrize(
  ("name", "template", "candidates"),
  [
    ("sst2", " It was", [" terrible .<|endoftext|>", " great .<|endoftext|>"]),
    ("agnews", " Subject:", [" World.<|endoftext|>", " Sports.<|endoftext|>"]),
    ("trec", " Q:", [" Description :<|endoftext|>", " Entity :<|endoftext|>"]),
    ("subj", " It's all", [" subjective .<|endoftext|>", " objective .<|endoftext|>"]),
  ],
)
def test_scored_tokens_with_the_tokenizer_of_gpt2(shared, name, template, candidates):
  from transformers import GPT2Tokenizer

  folder = shared / "models" / "gpt2-tokenizer"
  tokenizer = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
  encoded = encode(tokenizer, TASKS[name], Examples(("a text",), (0,)))
  assert tokenizer.decode(encoded.prefixes[0]) == "a text" + template
  assert [tokenizer.decode(ids) for ids in encoded.candidates[:2]] == candidates
  assert np.all([ids[-1] == 50256 for ids in encoded.candidates])
