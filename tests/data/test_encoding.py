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


NLI = Task("nli", "{a} so {b} ? {label}", ("yes", "no"), ("yes", "no"))
QA = Task("qa", "{q} A: {gold} !", (), (), answer="gold")


def test_columns_stand_where_the_template_names_them(lm):
  encoded = encode(lm.tokenizer, NLI, Examples((("it {rains}", "it %s"),), (1,)))
  assert decode(lm, encoded.prefixes[0]) == "it {rains} so it %s ? "
  assert [decode(lm, ids) for ids in encoded.candidates] == ["yes<|endoftext|>", "no<|endoftext|>"]


def test_of_several_columns_the_longest_is_cut(lm):
  long, short = "0123456789" * 4, "short"
  for values, expected in (
    ((long, short), "01234567890 so short ?"),
    ((short, long), "short so 01234567890 ?"),
    ((long, long), "01234567 so 01234567 ?"),
  ):
    encoded = encode(lm.tokenizer, NLI, Examples((values,), (0,)), 16 + 22)
    assert decode(lm, encoded.prefixes[0]) == expected + " "
  for room in (4, len(" so  ?")):  # nothing would be left of the columns
    with pytest.raises(WayjaxError, match=f"the fixed texts of task 'nli' take .* to {room}: "):
      encode(lm.tokenizer, NLI, Examples(((long, short),), (0,)), 16 + room)


def test_a_column_that_stands_twice_is_cut_no_further_than_it_must(lm):
  task = Task("twice", "{a} so {b}, {a} ? {label}", ("yes", "no"), ("yes", "no"))
  encoded = encode(lm.tokenizer, task, Examples((("0123456789" * 4, "short"),), (0,)), 16 + 32)
  assert decode(lm, encoded.prefixes[0]) == "012345678 so short, 012345678 ? "


def test_every_example_has_its_own_answer(lm):
  rows = Examples((("one?",), ("two?",), ("three?",)), ("1", "22", "1"))
  encoded = encode(lm.tokenizer, QA, rows)
  assert [decode(lm, ids) for ids in encoded.prefixes] == ["one? A:", "two? A:", "three? A:"]
  assert encoded.answers == ("1", "22")
  assert encoded.labels.tolist() == [0, 1, 0]
  assert [decode(lm, ids) for ids in encoded.candidates] == [
    " 1 !<|endoftext|>",
    " 22 !<|endoftext|>",
  ]
  assert [len(encoded.scored(i)) for i in range(3)] == [1, 1, 1]
  assert encoded.scored(1)[0] is encoded.candidates[1]
  assert encoded.tail == " !"
  # In the first form what stands before the answer is not scored either.
  plain = Task("qa", "The answer: %s", (), (), answer="gold")
  encoded = encode(lm.tokenizer, plain, Examples(("one?",), ("1",)))
  assert decode(lm, encoded.prefixes[0]) == "one? The answer:"
  assert decode(lm, encoded.candidates[0]) == " 1<|endoftext|>"


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


@pytest.mark.parametrize(
  ("task", "values", "label", "message"),
  [
    (NLI, ("a", "b", "c"), 0, "row 1 of task 'nli' is not a tuple of the texts of a, b: make it"),
    (NLI, "ab", 0, "row 1 of task 'nli' is not a tuple"),
    (NLI, ("a", None), 0, "row 1 of task 'nli' is not a tuple"),
    (TASKS["sst2"], ("a",), 0, "row 1 of task 'sst2' is not a text"),
    (NLI, ("a", "b"), 2, "the label of row 1 is 2: it must be the number of a class, below 2"),
    (NLI, ("a", "b"), "yes", "the label of row 1 is 'yes'"),
    (QA, ("a",), 1, "the answer of row 1 must be a text, not a value of type int"),
  ],
)
def test_rows_that_are_not_of_the_task_are_refused(lm, task, values, label, message):
  with pytest.raises(WayjaxError, match=message):
    encode(lm.tokenizer, task, Examples((values,), (label,)))


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
