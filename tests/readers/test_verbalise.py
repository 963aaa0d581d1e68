"""What stands around prompt and question, against a plain loop, and what is kept of an answer."""

import copy
import dataclasses

import numpy as np
import pytest
import tiny
from tokenizers.processors import TemplateProcessing

from wayjax.data.frame import make_frame
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.metrics import prompt_f1
from wayjax.models import load_lm
from wayjax.prompts import SoftPrompt
from wayjax.readers import verbalise
from wayjax.readers.reading import Context

OPTIONS = {"question": "why", "max_new_tokens": 6}
SIZES = (3, 10)  # with all frames here the sequences take 24 positions: tests share a program


@pytest.fixture(scope="module")
def chat_lm(lm):
  """The same model with a chat template."""
  return with_tokenizer(lm, chat_template="<u>{{ messages[-1]['content'] }}</u>")


def with_tokenizer(lm, **attributes):
  tokenizer = copy.deepcopy(lm.tokenizer)
  for name, value in attributes.items():
    setattr(tokenizer, name, value)
  return dataclasses.replace(lm, tokenizer=tokenizer)


def prompts_of(lm, sizes=SIZES, **details):
  """Prompts of these lengths, each of them the same whatever the others."""
  rngs = [np.random.default_rng(size) for size in sizes]
  return [
    SoftPrompt(rng.normal(0, 0.3, (size, lm.width)), lm.name, **details)
    for rng, size in zip(rngs, sizes)
  ]


def by_hand(lm, prompt, before, after) -> str:
  """What a plain loop answers to `[before][soft prompt][after]`."""
  frame, count = make_frame(lm.tokenizer, before, after), OPTIONS["max_new_tokens"]
  ids = tiny.greedy(lm, prompt.vectors_PxD, [], count, frame)
  return verbalise.first_line(lm.tokenizer.decode(ids, skip_special_tokens=True))


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma3_text"])
def test_without_a_chat_template_it_is_a_question_to_answer(model_type, lm, tmp_path):
  if model_type != "gpt2":
    folder = tiny.save_model(tmp_path, tiny.CONFIGS[model_type])
    lm = tiny.over(load_lm(str(folder), precision="float32"), 1)
  prompts = prompts_of(lm, before="tuned", after="otherwise")
  readings = verbalise.read(lm, prompts, **OPTIONS)
  for prompt, reading in zip(prompts, readings, strict=True):
    assert reading.text == by_hand(lm, prompt, "Q:", "\nwhy\nA:")
    assert reading.prompt_f1 is None
  assert len({reading.text for reading in readings}) == len(prompts)


def test_its_sequences_are_those_that_answers_go_on_from(lm):
  prompts = prompts_of(lm)
  requests = verbalise.sequences(lm, prompts, question="why")
  for request, prompt in zip(requests, prompts, strict=True):
    assert request.prompt is prompt
    frame = request.frame
    assert (frame.before, frame.after + frame.reply) == ("Q:", "\nwhy\nA:")
    assert not len(request.ids)


def test_the_question_begins_as_the_tokenizer_begins_a_text(lm):
  begun = with_tokenizer(lm, bos_token="!")
  begun.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
    single="! $A", special_tokens=[("!", begun.tokenizer.bos_token_id)]
  )
  (reading, _) = verbalise.read(begun, prompts_of(lm), **OPTIONS)
  assert reading.text == by_hand(begun, prompts_of(lm)[0], "!Q:", "\nwhy\nA:")


TUNED = {"before": "<", "after": ">"}
IN_CHAT = {"before": "user:", "after": "", "reply": "bot:"}
PLAIN, CHAT = ("Q:", "\nwhy\nA:"), ("<u>", "\nwhy</u>")


@pytest.mark.parametrize(
  ("chat", "tuned", "given", "framed", "around"),
  [
    (True, {}, None, None, CHAT),
    (True, TUNED, None, None, CHAT),
    (True, IN_CHAT, None, None, ("user:", "\nwhybot:")),
    (False, IN_CHAT, None, None, ("user:", "\nwhybot:")),
    (False, IN_CHAT, None, False, PLAIN),
    (True, IN_CHAT, None, False, CHAT),
    (True, TUNED, None, True, ("<", ">\nwhy\nA:")),
    (False, {}, None, True, ("", "\nwhy\nA:")),
    (True, TUNED, ("(", ")"), None, ("(", ")\nwhy\nA:")),
    (True, {}, ("(", ")", "."), True, ("(", ")\nwhy.")),
    (True, {}, ("(", ")"), False, CHAT),
  ],
)
def test_what_stands_around_prompt_and_question(lm, chat_lm, chat, tuned, given, framed, around):
  lm = chat_lm if chat else lm
  context = Context(frame=make_frame(lm.tokenizer, *given) if given else None)
  prompts = prompts_of(lm, **tuned)
  readings = verbalise.read(lm, prompts, context, framed=framed, **OPTIONS)
  for prompt, reading in zip(prompts, readings, strict=True):
    assert reading.text == by_hand(lm, prompt, *around)


def test_each_prompt_stands_in_what_it_was_tuned_in(lm):
  prompts = [prompts_of(lm)[0], prompts_of(lm, **IN_CHAT)[1]]
  readings = verbalise.read(lm, prompts, **OPTIONS)
  assert readings[0].text == by_hand(lm, prompts[0], *PLAIN)
  assert readings[1].text == by_hand(lm, prompts[1], "user:", "\nwhybot:")


def test_together_prompts_answer_as_alone(lm):
  together = verbalise.read(lm, prompts_of(lm), **OPTIONS)
  (alone,) = verbalise.read(lm, prompts_of(lm, (3,)), **OPTIONS)
  assert alone.text == together[0].text != together[1].text
  assert verbalise.read(lm, [], **OPTIONS) == []


def test_an_answer_ends_at_any_special_token(lm):
  """As at what ends a turn, which is not always the end of sequence."""
  (_, whole) = verbalise.read(lm, prompts_of(lm), **OPTIONS)
  first, end = list(dict.fromkeys(whole.text))[:2]
  ended = with_tokenizer(lm)
  ended.tokenizer.add_special_tokens({"additional_special_tokens": [end]})
  assert len(ended.tokenizer) == len(lm.tokenizer)
  (_, found) = verbalise.read(ended, prompts_of(lm), **OPTIONS)
  assert found.text == first * whole.text.index(end) != whole.text


def test_a_special_token_beyond_the_model_is_none_of_its_ends(lm):
  tokenizer = copy.deepcopy(lm.tokenizer)
  tokenizer.add_special_tokens({"additional_special_tokens": [f"<{i}>" for i in range(9)]})
  beyond = dataclasses.replace(lm, tokenizer=tokenizer)
  assert max(tokenizer.get_vocab().values()) > lm.vocab_size
  assert verbalise.read(beyond, prompts_of(lm), **OPTIONS)


def test_what_is_said_is_scored(lm):
  prompts = prompts_of(lm, reads_as=Target("text", "t", "a b"))
  for reading in verbalise.read(lm, prompts, **OPTIONS):
    assert reading.prompt_f1 == prompt_f1(reading.text, "a b")
    assert reading.to_json().keys() == {"text", "prompt_f1", "prompt_f1_lemma"}


@pytest.mark.parametrize(
  ("answer", "line"),
  [
    (" To name the mood.\nQ: and", "To name the mood."),
    ("\n\n To name it \r\nNo", "To name it"),
    ("To name it", "To name it"),
    (" \n", ""),
    ("", ""),
  ],
)
def test_of_an_answer_the_first_line_is_read(answer, line):
  assert verbalise.first_line(answer) == line


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"question": " "}, "question is empty: ask what the prompt says"),
    ({"question": None}, "question must be a text, not a value of type NoneType"),
    ({"question": "\ud800"}, "question is not valid Unicode"),
    ({"question": "x" * 150}, "3 prompt tokens, .* 40 new tokens exceed .* 160 positions"),
    ({"framed": "chat"}, "framed must be True, False or None, not a value of type str"),
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, not 0"),
    ({"lm": "gpt2"}, "lm must be what load_lm returns"),
    ({"prompts": [SoftPrompt(np.ones((2, 4)), "x")]}, "width 4 does not fit"),
  ],
)
def test_what_is_wrong_is_named(lm, options, message):
  with pytest.raises(WayjaxError, match=message):
    verbalise.read(**{"lm": lm, "prompts": prompts_of(lm, (3,)), **options})


def test_a_chat_template_is_filled_only_where_it_is_needed(lm):
  broken = with_tokenizer(lm, chat_template="hello")
  with pytest.raises(WayjaxError, match="does not hold the user's text once"):
    verbalise.read(broken, prompts_of(lm), **OPTIONS)
  assert verbalise.read(broken, prompts_of(lm), framed=True, **OPTIONS)
