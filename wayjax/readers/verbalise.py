"""The model is asked what a soft prompt says: the prompt stands in a question about itself."""

import dataclasses

import numpy as np

from wayjax.data.encoding import token_ids
from wayjax.data.frame import Frame, make_frame, own_beginning
from wayjax.errors import WayjaxError
from wayjax.generation.generate import frame_of
from wayjax.generation.generator import Generator
from wayjax.generation.requests import Request
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target
from wayjax.visible import is_unicode

DEFAULT_QUESTION = "What did I just ask you to do? Answer in one short sentence."
MAX_NEW_TOKENS = 40
_ASK, _ANSWER = "Q:", "\nA:"  # around prompt and question, where there is no chat


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  question: str = DEFAULT_QUESTION,
  framed: bool | None = None,
  max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[Reading]:
  """Asks a model what prompts say: `[before][soft prompt][after]`, question, `[reply]`, answer.

  A reading's text is the first line of the answer that is not empty, up to a special token such as
  the end of sequence; tokens are the most probable ones.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its frame may stand around them.
    question: what follows a prompt on a line of its own.
    framed: whether prompts stand in a frame, the context's or else what each was tuned in, with the
      question before its reply. If not, they stand in a user's turn of the chat template, or, where
      the tokenizer has none, in `Q: … A:`. None means a frame where the context gives one or the
      prompt was tuned in a chat.
    max_new_tokens: the most tokens generated for an answer.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: a wrong argument, a chat template that fails, or a prompt that does not fit the
      model.
  """
  requests = sequences(lm, prompts, context, question=question, framed=framed)
  generator = Generator(lm, max_new_tokens=max_new_tokens, end_ids=_special_ids(lm))
  readings = []
  for prompt, ids_N in zip(prompts, generator.go_on(requests), strict=True):
    answer = lm.tokenizer.decode(
      ids_N.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    text = first_line(answer)
    readings.append(Reading(text=text, **f1_with_target(text, prompt.reads_as, lm.tokenizer)))
  return readings


def sequences(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  question: str = DEFAULT_QUESTION,
  framed: bool | None = None,
) -> list[Request]:
  """What the model goes on from: of each prompt the sequence that ends where the answer begins.

  For arguments and errors see `read`.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_kind("question", question, str, "a text")
  if not question.strip():
    raise WayjaxError("question is empty: ask what the prompt says")
  if not is_unicode(question):
    raise WayjaxError("question is not valid Unicode: give another")
  require_kind("framed", framed, bool | None, "True, False or None")
  frames = _frames(lm, prompts, context, framed)
  nothing = np.zeros(0, np.int32)
  return [
    Request(i, 0, prompt, asked(lm, frame, question), nothing)
    for i, (prompt, frame) in enumerate(zip(prompts, frames, strict=True))
  ]


def lead(frame: Frame) -> str:
  """What an answer begins with: nothing on a line of its own, as in a chat, else a space."""
  return "" if frame.reply[-1:].isspace() else " "


def first_line(answer: str) -> str:
  """The first line of an answer that is not empty, without space around it."""
  lines = answer.strip().splitlines()
  return lines[0].strip() if lines else ""


def _special_ids(lm: LanguageModel) -> tuple[int, ...]:
  """Special tokens that the model has: the one that ends a turn may not be the end of sequence."""
  added = lm.tokenizer.added_tokens_decoder
  return tuple(i for i, token in added.items() if token.special and i < lm.vocab_size)


def _frames(
  lm: LanguageModel, prompts: list[SoftPrompt], context: Context, framed: bool | None
) -> list[Frame]:
  """The text around each prompt, yet without the question."""
  if framed is None:
    kept = [context.frame is not None or bool(prompt.reply) for prompt in prompts]
  else:
    kept = [framed] * len(prompts)
  # A chat template that fails is nobody's concern where it is not needed.
  other = None if all(kept) else own_frame(lm)
  return [
    (context.frame or frame_of(lm, prompt)) if keep else other
    for prompt, keep in zip(prompts, kept, strict=True)
  ]


def own_frame(lm: LanguageModel) -> Frame:
  """A user's turn of a chat, or what stands for one, yet without the question.

  Raises:
    WayjaxError: a chat template that fails.
  """
  if getattr(lm.tokenizer, "chat_template", None):
    return make_frame(lm.tokenizer, chat=True)
  return make_frame(lm.tokenizer, own_beginning(lm.tokenizer) + _ASK, "", _ANSWER)


def asked(lm: LanguageModel, frame: Frame, question: str = DEFAULT_QUESTION) -> Frame:
  """A frame with the question after the prompt, and a place for the answer."""
  line = "\n" + question
  line_ids, answer_ids = map(tuple, token_ids(lm.tokenizer, [line, _ANSWER]))
  return dataclasses.replace(
    frame,
    after=frame.after + line,
    after_ids=frame.after_ids + line_ids,
    reply=frame.reply or _ANSWER,
    reply_ids=frame.reply_ids or answer_ids,
  )
