"""The frame: its texts and tokens, the beginning of sequence by itself, chats."""

import pytest
import tiny
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from wayjax.data.encoding import encode
from wayjax.data.examples import Examples
from wayjax.data.frame import NO_FRAME, Frame, make_frame, own_beginning
from wayjax.data.tasks import TASKS, Task
from wayjax.errors import WayjaxError

CHAT = (
  "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}</>"
  "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer(tmp_path):
  """Bytes, and two special tokens."""
  tiny.save_tokenizer(tmp_path)
  found = PreTrainedTokenizerFast.from_pretrained(tmp_path)
  found.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": ["</>"]})
  return found


def beginning_by_itself(tokenizer):
  """The same tokenizer, which puts <s> before every text."""
  tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
    single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
  )
  return tokenizer


def test_a_beginning_stands_there_only_where_the_tokenizer_adds_one(tokenizer):
  assert make_frame(tokenizer) == NO_FRAME
  frame = make_frame(beginning_by_itself(tokenizer))
  assert frame == Frame(before="<s>", before_ids=(tokenizer.bos_token_id,))
  assert frame.size == 1
  assert make_frame(tokenizer, "", "") == NO_FRAME  # asked for: nothing


def test_special_tokens_are_recognised_by_their_names(tokenizer):
  frame = make_frame(beginning_by_itself(tokenizer), "<s>a", "b</>")
  a, b = (tokenizer.convert_tokens_to_ids(letter) for letter in "ab")
  end = tokenizer.convert_tokens_to_ids("</>")
  assert (frame.before_ids, frame.after_ids) == ((tokenizer.bos_token_id, a), (b, end))
  assert (frame.before, frame.after, frame.reply, frame.size) == ("<s>a", "b</>", "", 4)


@pytest.mark.parametrize(
  ("system", "header"),
  [(None, "<s><user>"), ("Be brief.", "<s><system>Be brief.</><user>")],
)
def test_in_a_chat_prompt_and_input_are_the_users_turn(tokenizer, system, header):
  tokenizer.chat_template = CHAT
  frame = make_frame(tokenizer, chat=True, system=system)
  assert (frame.before, frame.after, frame.reply) == (header, "", "</><assistant>")
  assert tokenizer.decode(frame.reply_ids) == frame.reply
  assert frame.before_ids[0] == tokenizer.bos_token_id
  assert frame.size == len(frame.before_ids)  # the reply stands in every example
  assert make_frame(tokenizer, "x", "y", chat=True).before == "x"


def test_what_ends_the_turn_stands_between_the_input_and_its_label(tokenizer):
  tokenizer.chat_template = CHAT
  frame = make_frame(tokenizer, chat=True)
  for task, values, expected in (
    (TASKS["sst2"], "fine", "fine</><assistant>It was "),
    (
      Task("nli", "{a}? {b}? Say: {label}", ("yes", "no"), ("yes", "no")),
      ("x", "y"),
      "x? y? Say:</><assistant>",
    ),
    (Task("qa", "A: %s", (), (), answer="target"), "why", "why</><assistant>A:"),
  ):
    label = 1 if task.answer is None else "because"
    encoded = encode(tokenizer, task, Examples((values,), (label,)), frame=frame)
    assert tokenizer.decode(encoded.prefixes[0]) == expected
    assert encoded.frame is frame


@pytest.mark.parametrize(
  ("template", "system", "message"),
  [
    (None, None, "no chat template: leave --chat out"),
    ("{{ raise_exception('no system') }}", None, "cannot be filled: no system"),
    ("{% for %}", None, "cannot be filled"),
    ("hello", None, "does not hold the user's text once"),
    ("{{ messages[-1]['content'] }}{{ messages[-1]['content'] }}", None, "the user's text once"),
    ("{{ messages[-1]['content'] }}", "Be brief.", "leaves the system's text out"),
  ],
)
def test_a_chat_that_cannot_be_had_is_one_sentence(tokenizer, template, system, message):
  tokenizer.chat_template = template
  with pytest.raises(WayjaxError, match=message):
    make_frame(tokenizer, chat=True, system=system)


def test_a_chat_template_without_an_end_is_not_waited_for(tokenizer, monkeypatch):
  monkeypatch.setattr("wayjax.data.frame._SECONDS", 0.1)
  # It ends after a second or so, lest it runs beside the other tests.
  loops = "{% for a in range(1000) %}{% for b in range(5000) %}{% endfor %}{% endfor %}"
  tokenizer.chat_template = loops + "{{ messages[-1]['content'] }}"
  with pytest.raises(WayjaxError, match=r"more than 0\.1 seconds.*: leave --chat out"):
    make_frame(tokenizer, chat=True)


def test_a_beginning_that_is_never_left_out_is_not_put_twice(tokenizer):
  def stubborn(text, **_):
    return {"input_ids": [tokenizer.bos_token_id, *tokenizer.encode(text)]}

  stubborn.bos_token, stubborn.bos_token_id = tokenizer.bos_token, tokenizer.bos_token_id
  assert own_beginning(stubborn) == ""


def test_what_is_no_text_is_refused(tokenizer):
  with pytest.raises(WayjaxError, match="tokenizer must be a model's, not a value of type str"):
    make_frame("gpt2")
  with pytest.raises(WayjaxError, match="before must be a text, not a value of type int"):
    make_frame(tokenizer, 5)
  with pytest.raises(WayjaxError, match="the text after is not valid Unicode"):
    make_frame(tokenizer, "", "\ud800")
