"""What one soft prompt says to one reader, and what readers may ask for to find out."""

import dataclasses

from wayjax.data.encoding import EncodedExamples, as_read, encode
from wayjax.data.examples import Examples
from wayjax.data.frame import Frame
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError
from wayjax.metrics import prompt_f1, prompt_f1_lemma

_TEXTS, _ROWS = 2000, 256  # training inputs and rows that readers may draw from


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Context:
  """What a reader may ask for besides the model and the prompts; each takes what it needs.

  Attributes:
    metric: `euclidean`, `dot` or `cosine`: which tokens are nearest.
    frame: the text around the prompts; None means what each was tuned in.
    examples: a task's rows, on which what prompts do is compared.
    texts: real text, such as the inputs of these rows.
    candidates: texts that a prompt may be a mixture of.
    seed: of whatever is drawn.
  """

  metric: str = "euclidean"
  frame: Frame | None = None
  examples: EncodedExamples | None = None
  texts: tuple[str, ...] = ()
  candidates: tuple[str, ...] = ()
  seed: int = 0

  def require(self, reader: str, name: str, why: str):
    """What a reader cannot do without.

    Args:
      reader: the reader's name.
      name: of the attribute.
      why: what it is for and how it is given, as the end of a sentence.

    Raises:
      WayjaxError: it is not there.
    """
    value = getattr(self, name)
    if value is None or value == ():
      raise WayjaxError(f"the reader {reader} needs {why}")
    return value


DEFAULT = Context()


def task_context(
  tokenizer,
  task: Task,
  train: Examples,
  frame: Frame,
  *,
  max_length: int | None = None,
  candidates: tuple[str, ...] = (),
) -> Context:
  """What readers of a task's prompts may ask for: never the rows that prompts are evaluated on.

  Args:
    tokenizer: the model's.
    task: the task.
    train: its training rows.
    frame: the text around the prompts.
    max_length: inputs are cut to `max_length - 16` tokens; None means the task's own.
    candidates: texts that a prompt may be a mixture of.
  """
  return Context(
    examples=encode(tokenizer, task, train.drawn(_ROWS), max_length, frame=frame),
    texts=task.inputs(train.drawn(_TEXTS).texts),
    candidates=candidates,
  )


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

  @property
  def all_texts(self) -> tuple[str, ...]:
    """Every text that the reader came up with; `text` is the one that it settles on."""
    return (self.text,)

  def to_json(self) -> dict:
    """As a row holds it under `readings`."""
    return {name: getattr(self, name) for name in ("text", "prompt_f1", "prompt_f1_lemma")}


def f1_with_target(text: str, reads_as: Target | None, tokenizer) -> dict:
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
