"""The frame: fixed text around a soft prompt, `[before][soft prompt][after][x₁ y₁][x₂ y₂]…`.

All examples share it, so a packed row holds it once and only its middle is trained. It gives a
beginning of sequence to models that need one, and the header of a chat to instruction models; in a
chat the input is the user's, so what ends the user's turn stands after it.
"""

import dataclasses

from wayjax.config import AUTO
from wayjax.errors import WayjaxError, in_one_sentence, in_time
from wayjax.options import require_kind
from wayjax.visible import is_unicode


@dataclasses.dataclass(frozen=True)
class Frame:
  """Fixed text around a soft prompt: `[before][soft prompt][after][input][reply][answer]`.

  Attributes:
    before: the text before it; special tokens by their names.
    after: the text between it and the input.
    reply: the text between the input and the answer; of a chat, what ends the user's turn and
      begins the model's.
    before_ids: token ids of `before`.
    after_ids: token ids of `after`.
    reply_ids: token ids of `reply`.
  """

  before: str = ""
  after: str = ""
  reply: str = ""
  before_ids: tuple[int, ...] = ()
  after_ids: tuple[int, ...] = ()
  reply_ids: tuple[int, ...] = ()

  @property
  def size(self) -> int:
    """How many positions it takes around the prompt."""
    return len(self.before_ids) + len(self.after_ids)


NO_FRAME = Frame()
_CONTENT = "wayjax·content"  # stands in a chat for prompt and input
_SECONDS = 30  # that a chat template may take; any takes milliseconds


def make_frame(
  tokenizer,
  before: str | None = AUTO,
  after: str | None = AUTO,
  reply: str | None = AUTO,
  *,
  chat: bool = False,
  system: str | None = None,
) -> Frame:
  """A frame of texts.

  Args:
    tokenizer: a Hugging Face tokenizer.
    before: the text before the prompt, its special tokens by their names; `auto` or None means the
      beginning of sequence where the tokenizer adds one to a text by itself, else nothing; in a
      chat the header of the user's turn.
    after: the text after the prompt; `auto` or None means nothing.
    reply: the text after an input; `auto` or None means nothing, and in a chat what ends the user's
      turn and begins the reply.
    chat: whether prompt and input are a user's turn of the tokenizer's chat template, to which the
      label or answer is the reply.
    system: the text of the system's turn before it; None leaves it to the template.

  Raises:
    WayjaxError: what is not text, a tokenizer that fails, or one whose chat template is missing or
      does not keep to this form.
  """
  if not hasattr(tokenizer, "bos_token_id"):
    raise WayjaxError(
      f"tokenizer must be a model's, not a value of type {type(tokenizer).__name__}"
    )
  if system is not None and not chat:
    raise WayjaxError("system is the system's text of a chat: it goes with chat=True")
  header, turn_end = _chat(tokenizer, system) if chat else ("", "")
  if before in (AUTO, None):
    before = header if chat else own_beginning(tokenizer)
  texts = (
    before,
    "" if after in (AUTO, None) else after,
    turn_end if reply in (AUTO, None) else reply,
  )
  return encode_frame(tokenizer, *texts)


def encode_frame(tokenizer, before: str, after: str, reply: str) -> Frame:
  """A frame of exactly these texts; for errors see `make_frame`."""
  texts = before, after, reply
  for name, text in zip(("before", "after", "reply"), texts):
    require_kind(name, text, str, "a text")
    if not is_unicode(text):
      raise WayjaxError(f"the text {name} is not valid Unicode: give another")
  with in_one_sentence("the model's tokenizer cannot encode the text around the prompt"):
    ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
  return Frame(*texts, *map(tuple, ids))


def own_beginning(tokenizer) -> str:
  """The beginning of sequence where a tokenizer puts one before a text by itself, else nothing."""
  if tokenizer.bos_token_id is None:
    return ""
  with in_one_sentence("the model's tokenizer cannot encode a text"):
    added, plain = (
      tokenizer("a", add_special_tokens=special, verbose=False)["input_ids"]
      for special in (True, False)
    )
  return tokenizer.bos_token if added[:1] == [tokenizer.bos_token_id] != plain[:1] else ""


def _chat(tokenizer, system: str | None) -> tuple[str, str]:
  """What a chat template has before a user's text, and between it and the model's reply."""
  if not getattr(tokenizer, "chat_template", None):
    raise WayjaxError(
      "the model's tokenizer has no chat template: leave --chat out, or take the model's "
      "instruction-tuned version"
    )
  turns = [{"role": "user", "content": _CONTENT}]
  if system is not None:
    turns.insert(0, {"role": "system", "content": system})
  # Templates are programs of other people, run by transformers in a sandbox; they raise anything.
  with in_one_sentence("the tokenizer's chat template cannot be filled"):
    text = in_time(
      _SECONDS,
      lambda: tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True),
      f"the tokenizer's chat template takes more than {_SECONDS} seconds, as if it never ended: "
      "leave --chat out, and give its parts as --before and --after",
    )
  if text.count(_CONTENT) != 1:
    raise WayjaxError(
      "the tokenizer's chat template does not hold the user's text once, as it is: leave --chat "
      "out, and give its parts as --before and --after"
    )
  if system and system not in text:
    raise WayjaxError(
      "the tokenizer's chat template leaves the system's text out: give it as a part of --before"
    )
  header, reply = text.split(_CONTENT)
  return header, reply
