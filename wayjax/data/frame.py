"""The frame: fixed text around a soft prompt, `[before][soft prompt][after][x₁ y₁][x₂ y₂]…`.

All examples share it, so a packed row holds it once and only its middle is trained. It gives a
beginning of sequence to models that need one, and the header of a chat to instruction models.
"""

import dataclasses

from wayjax.config import AUTO
from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.options import require_kind
from wayjax.visible import is_unicode


@dataclasses.dataclass(frozen=True)
class Frame:
  """Fixed text before and after a soft prompt.

  Attributes:
    before: the text before it; special tokens by their names.
    after: the text between it and the example.
    before_ids: token ids of `before`.
    after_ids: token ids of `after`.
  """

  before: str = ""
  after: str = ""
  before_ids: tuple[int, ...] = ()
  after_ids: tuple[int, ...] = ()

  @property
  def size(self) -> int:
    """How many positions it takes."""
    return len(self.before_ids) + len(self.after_ids)


NO_FRAME = Frame()


def make_frame(tokenizer, before: str | None = AUTO, after: str | None = AUTO) -> Frame:
  """A frame of texts.

  Args:
    tokenizer: a Hugging Face tokenizer.
    before: the text before the prompt, its special tokens by their names; `auto` or None means the
      beginning of sequence where the tokenizer adds one to a text by itself, else nothing.
    after: the text after the prompt; `auto` or None means nothing.

  Raises:
    WayjaxError: what is not text, or the tokenizer fails.
  """
  texts = (
    own_beginning(tokenizer) if before in (AUTO, None) else before,
    "" if after in (AUTO, None) else after,
  )
  for name, text in zip(("before", "after"), texts):
    require_kind(name, text, str, "a text")
    if not is_unicode(text):
      raise WayjaxError(f"--{name} is not valid Unicode: give another text")
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
