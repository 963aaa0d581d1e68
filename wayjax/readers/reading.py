"""What one soft prompt says to one reader."""

import dataclasses

from wayjax.data.encoding import as_read
from wayjax.data.targets import Target
from wayjax.metrics import prompt_f1, prompt_f1_lemma


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
  """A text that was read from a soft prompt.

  Attributes:
    text: the text.
    prompt_f1: its word-overlap F1 with what the prompt is to read as (Eq. 8); None for a prompt
      that is not to read as anything, or as a text without words.
    prompt_f1_lemma: the same on WordNet's noun lemmas; None where WordNet is not installed, too.
  """

  text: str
  prompt_f1: float | None
  prompt_f1_lemma: float | None

  def to_json(self) -> dict:
    """As a row holds it under `readings`."""
    return {name: getattr(self, name) for name in ("text", "prompt_f1", "prompt_f1_lemma")}


def scores(text: str, reads_as: Target | None, tokenizer) -> dict:
  """The scores of a text that was read, as fields of `Reading`.

  Args:
    text: what was read.
    reads_as: what the prompt is to read as, if anything.
    tokenizer: the model's; a target is compared as that gives it back.
  """
  if reads_as is None:
    return {"prompt_f1": None, "prompt_f1_lemma": None}
  target = as_read(tokenizer, reads_as.text)
  return {"prompt_f1": prompt_f1(text, target), "prompt_f1_lemma": prompt_f1_lemma(text, target)}
