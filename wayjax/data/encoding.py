"""Text -> token ids: inputs, templates, and the tokens that are scored."""

import dataclasses

import numpy as np

from wayjax.config import options
from wayjax.data.examples import Examples
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.options import check_value, require_kind

TEMPLATE_ROOM = 16  # tokens of max_length that the released code keeps for the template


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
  """Examples as token ids: `[x][template up to the label]`, then one of C continuations.

  Attributes:
    prefixes: for each example, its text and the part of the template that all classes share.
    candidates: for each class, its scored tokens: from the first token at which the classes'
      filled templates differ, to the end-of-sequence token.
    labels: the class number of each example.
  """

  prefixes: tuple[np.ndarray, ...]
  candidates: tuple[np.ndarray, ...]
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.prefixes)

  def longest(self) -> int:
    """Positions that the longest example takes with the longest continuation."""
    # The last scored token is predicted, never read, so it takes no position.
    return max(map(len, self.prefixes)) + max(map(len, self.candidates)) - 1

  def require_embeddings(self, lm) -> None:
    """Raises WayjaxError where a token has no embedding; in XLA it would get another one's."""
    for ids, what in ((self.candidates, "a label"), (self.prefixes, "an example")):
      require_embeddings(lm, np.concatenate([np.zeros(0, np.int32), *ids]), what)


def encode(
  tokenizer, task: Task, examples: Examples, max_length: int | None = None
) -> EncodedExamples:
  """Tokenises examples as the released code does.

  The text and the filled template are tokenised separately: the text unchanged, the template after
  a space. The only special token is the end-of-sequence token at the end.

  Args:
    tokenizer: a Hugging Face tokenizer.
    task: template and label words.
    examples: texts and classes.
    max_length: texts are cut to `max_length - 16` tokens; None means the task's `max_length`.

  Returns:
    The encoded examples, in the same order.

  Raises:
    WayjaxError: a wrong `max_length`, what is not labelled examples, or two classes with the same
      tokens.
  """
  require_kind("task", task, Task, "what get_task returns")
  require_kind("examples", examples, Examples, "a part of what load_data returns")
  if not len(examples):
    raise WayjaxError("there are no examples to encode: give at least one")
  rules = {field.name: field for field in options()}
  length = task.max_length if max_length is None else max_length
  cut = check_value(rules["max_length"], length, "max_length") - TEMPLATE_ROOM
  shared, candidates = _candidates(tokenizer, task)
  texts = token_ids(tokenizer, list(examples.texts))
  prefixes = tuple(np.array([*ids[:cut], *shared], np.int32) for ids in texts)
  return EncodedExamples(prefixes, candidates, np.array(examples.labels, np.int32))


def token_ids(tokenizer, texts: list[str]) -> list[list[int]]:
  """Token ids of texts, without special tokens.

  Raises:
    WayjaxError: the tokenizer fails.
  """
  with in_one_sentence("the model's tokenizer cannot encode the texts"):
    return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]


def target_ids(lm, target: Target) -> np.ndarray:
  """Token ids of a target, (P,), int32.

  Args:
    lm: the frozen language model.
    target: the target.

  Raises:
    WayjaxError: it contains a token that the model has no embedding for.
  """
  ids_P = np.array(token_ids(lm.tokenizer, [target.text])[0], np.int32)
  require_embeddings(lm, ids_P, f"target '{target.name}'")
  return ids_P


def require_embeddings(lm, ids_N: np.ndarray, what: str) -> None:
  """Raises WayjaxError where a token has no embedding; `what` contains it."""
  beyond = ids_N[ids_N >= lm.vocab_size]
  if len(beyond):
    token = lm.tokenizer.convert_ids_to_tokens(int(beyond[0]))
    raise WayjaxError(
      f"{what} contains the token {token!r}, number {beyond[0]}, but the model has only "
      f"{lm.vocab_size} embeddings: change the text, or use another model"
    )


def as_read(tokenizer, text: str) -> str:
  """A text as a prompt of exactly its tokens reads: a tokenizer may normalise what it is given."""
  ids = token_ids(tokenizer, [text])[0]
  # The token for what a tokenizer does not know stands for any text.
  return text if tokenizer.unk_token_id in ids else tokenizer.decode(ids)


def _candidates(tokenizer, task: Task):
  """The template tokens that all classes share, and each class's own tokens, EOS included."""
  filled = token_ids(tokenizer, task.fill())
  same = [len(set(tokens)) == 1 for tokens in zip(*filled)]
  split = same.index(False) if False in same else len(same)
  candidates = tuple(np.array([*ids[split:], tokenizer.eos_token_id], np.int32) for ids in filled)
  if len({candidate.tobytes() for candidate in candidates}) < len(candidates):
    raise WayjaxError(f"task '{task.name}': two of its label words have the same tokens")
  return filled[0][:split], candidates
