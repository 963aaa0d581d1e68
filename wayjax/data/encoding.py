"""Text -> token ids: inputs, templates, and the tokens that are scored."""

import dataclasses

import numpy as np

from wayjax.config import options
from wayjax.data.examples import Examples
from wayjax.data.frame import NO_FRAME, Frame, make_frame
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.options import check_value, require_kind

TEMPLATE_ROOM = 16  # tokens of max_length that the released code keeps for the template


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
  """Examples as token ids: `[x][template up to the label]`, then a continuation that is scored.

  Attributes:
    prefixes: for each example, its input and the part of the template that all classes share.
    candidates: for each class, its scored tokens: from the first token at which the classes'
      filled templates differ, to the end-of-sequence token. For free text, of each different
      answer.
    labels: which of the candidates is the true one of each example.
    answers: the texts of the candidates, where they are free text; None for classes.
    tail: the template's text after an answer.
    frame: what stands around the prompt.
  """

  prefixes: tuple[np.ndarray, ...]
  candidates: tuple[np.ndarray, ...]
  labels: np.ndarray
  answers: tuple[str, ...] | None = None
  tail: str = ""
  frame: Frame = NO_FRAME

  def __len__(self) -> int:
    return len(self.prefixes)

  def scored(self, i: int) -> tuple[np.ndarray, ...]:
    """The continuations of example i that are scored: of every class, or its own answer."""
    return self.candidates if self.answers is None else (self.candidates[self.labels[i]],)

  def longest(self) -> int:
    """Positions that the longest example takes with its longest continuation, and the frame."""
    # The last scored token is predicted, never read, so it takes no position.
    return self.frame.size + max(map(len, self.prefixes)) + max(map(len, self.candidates)) - 1

  def require_fit(self, lm) -> None:
    """Raises WayjaxError where a model has no embedding for a token, or no room for the frame.

    A token without an embedding would get another one's in XLA.
    """
    if self.frame.size >= lm.max_positions:
      raise WayjaxError(
        f"--before and --after take {self.frame.size:,} tokens, and the model has "
        f"{lm.room}: shorten them"
      )
    what = "a label" if self.answers is None else "an answer"
    around = [np.array(ids, np.int32) for ids in (self.frame.before_ids, self.frame.after_ids)]
    for ids, owner in (
      (self.candidates, what),
      (self.prefixes, "an example"),
      (around, "the text around the prompt"),
    ):
      require_embeddings(lm, np.concatenate([np.zeros(0, np.int32), *ids]), owner)


def encode(
  tokenizer,
  task: Task,
  examples: Examples,
  max_length: int | None = None,
  *,
  frame: Frame | None = None,
) -> EncodedExamples:
  """Tokenises examples as the released code does.

  Input and filled template are tokenised separately: the input unchanged, the template after a
  space. The only special tokens are the frame's, and the end-of-sequence token at the end.

  Args:
    tokenizer: a Hugging Face tokenizer.
    task: template, and label words or the column of the answers.
    examples: texts and classes or answers.
    max_length: inputs are cut to `max_length - 16` tokens; None means the task's `max_length`.
    frame: what stands around the prompt; None means what `make_frame` chooses.

  Returns:
    The encoded examples, in the same order.

  Raises:
    WayjaxError: a wrong `max_length`, what is not labelled examples, two classes with the same
      tokens, or a template that leaves no room for the input.
  """
  require_kind("task", task, Task, "what get_task returns")
  require_kind("examples", examples, Examples, "a part of what load_data returns")
  if not len(examples):
    raise WayjaxError("there are no examples to encode: give at least one")
  _require_rows(task, examples)
  rules = {field.name: field for field in options()}
  length = task.max_length if max_length is None else max_length
  most = check_value(rules["max_length"], length, "max_length") - TEMPLATE_ROOM
  frame = make_frame(tokenizer) if frame is None else frame
  require_kind("frame", frame, Frame, "what make_frame returns")
  inputs = _inputs(tokenizer, task, examples.texts, most)
  answers, labels = None, examples.labels
  if task.answer is not None:
    answers = tuple(dict.fromkeys(examples.labels))
    numbers = {answer: number for number, answer in enumerate(answers)}
    labels = [numbers[answer] for answer in examples.labels]
  shared, candidates = encode_template(tokenizer, task, frame, answers or ())
  return EncodedExamples(
    tuple(np.array([*ids, *shared], np.int32) for ids in inputs),
    candidates,
    np.array(labels, np.int32),
    answers,
    task.layout.tail,
    frame,
  )


def _require_rows(task: Task, examples: Examples) -> None:
  """Raises WayjaxError where rows are not of a task: those made by hand may be anything."""
  count = len(task.layout.columns)
  for number, (values, label) in enumerate(zip(examples.texts, examples.labels), start=1):
    texts = (values,) if task.is_plain else values
    is_right = isinstance(texts, tuple) and len(texts) == count
    if not is_right or not all(isinstance(text, str) for text in texts):
      form = (
        "a text" if task.is_plain else f"a tuple of the texts of {', '.join(task.columns[:-1])}"
      )
      raise WayjaxError(f"row {number} of task '{task.name}' is not {form}: make it one")
    if task.answer is not None:
      require_kind(f"the answer of row {number}", label, str, "a text")
    elif label not in range(len(task.label_words)):
      raise WayjaxError(
        f"the label of row {number} is {label!r}: it must be the number of a class, below "
        f"{len(task.label_words)}"
      )


def encode_template(
  tokenizer, task: Task, frame: Frame, answers: tuple[str, ...] = ()
) -> tuple[list[int], tuple[np.ndarray, ...]]:
  """The tokens that follow every input, and those of each class or answer, with the EOS.

  Raises:
    WayjaxError: two classes have the same tokens.
  """
  if task.answer is None:
    lead, candidates = _classes(tokenizer, task, frame)
  else:
    lead, candidates = _answers(tokenizer, task, frame, answers)
  return [*frame.reply_ids, *lead], candidates


def _inputs(tokenizer, task: Task, texts, most: int) -> list[list[int]]:
  """The inputs of rows, each of at most `most` tokens; of several columns the longest are cut."""
  encoded = token_ids(tokenizer, list(task.inputs(texts)))
  if task.is_plain:
    return [ids[:most] for ids in encoded]
  return [
    ids if len(ids) <= most else _shortened(tokenizer, task, values, len(ids), most)
    for ids, values in zip(encoded, texts, strict=True)
  ]


def _shortened(tokenizer, task: Task, values: tuple[str, ...], size: int, most: int) -> list[int]:
  """The input of a row whose longest columns are cut at their ends until it fits."""
  columns = token_ids(tokenizer, list(values)) if values else []
  level = max(map(len, columns), default=0)
  sizes = dict(zip(task.layout.columns, map(len, columns)))
  placed = [sizes[column] for _, column in task.layout.head]  # some twice
  while size > most:
    # Tokens that are put together again may be others, and more.
    fixed = size - sum(min(length, level) for length in placed)
    level -= 1
    while level > 1 and fixed + sum(min(length, level) for length in placed) > most:
      level -= 1
    if level < 1:
      raise WayjaxError(
        f"the fixed texts of task '{task.name}' take {size} tokens, and inputs are cut to {most}: "
        "shorten its template, or raise --max-length"
      )
    cut = [
      value if len(ids) <= level else tokenizer.decode(ids[:level])
      for value, ids in zip(values, columns, strict=True)
    ]
    result = token_ids(tokenizer, [task.layout.input(cut)])[0]
    size = len(result)
  return result


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


def _classes(tokenizer, task: Task, frame: Frame):
  """The template tokens that all classes share, and each class's own tokens, EOS included."""
  texts = task.fill()
  filled = token_ids(tokenizer, [text.lstrip() for text in texts] if frame.reply_ids else texts)
  same = [len(set(tokens)) == 1 for tokens in zip(*filled)]
  split = same.index(False) if False in same else len(same)
  candidates = tuple(np.array([*ids[split:], tokenizer.eos_token_id], np.int32) for ids in filled)
  if len({candidate.tobytes() for candidate in candidates}) < len(candidates):
    raise WayjaxError(f"task '{task.name}': two of its label words have the same tokens")
  return filled[0][:split], candidates


def _answers(tokenizer, task: Task, frame: Frame, answers: tuple[str, ...]):
  """The template tokens before an answer, and the tokens of each answer, EOS included."""
  lead = task.layout.lead.lstrip() if frame.reply_ids else task.layout.lead
  fixed = lead.rstrip()
  space = lead[len(fixed) :]
  texts = [space + answer + task.layout.tail for answer in answers]
  filled = token_ids(tokenizer, texts) if texts else []
  return token_ids(tokenizer, [fixed])[0], tuple(
    np.array([*ids, tokenizer.eos_token_id], np.int32) for ids in filled
  )
