"""Free-text answers: generated greedily, and compared with the true ones after normalisation."""

import dataclasses

import numpy as np

from wayjax.data.encoding import EncodedExamples
from wayjax.generation.generate import tokens_with
from wayjax.generation.generator import Generator
from wayjax.metrics import exact_match, rouge_scorer
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt

_LINE_END = "\n"


class Answerer:
  """Examples of a task with free-text answers, ready to be answered under any prompts.

  An answer ends at the end of sequence, at the end of its line unless true ones have several lines,
  or where it is longer than every true one.

  Args:
    lm: the frozen language model.
    examples: encoded examples with their true answers.
  """

  def __init__(self, lm: LanguageModel, examples: EncodedExamples):
    self._lm, self._examples = lm, examples
    self._one_line = not any(_LINE_END in answer for answer in examples.answers)
    self._generator = Generator(
      lm,
      max_new_tokens=max(map(len, examples.candidates)),
      end_ids=tokens_with(lm, [_LINE_END]) if self._one_line else (),
    )

  def __call__(self, prompts: list[SoftPrompt]) -> list[tuple[str, ...]]:
    """The answers of every prompt to all examples."""
    # What ends a turn is part of the prefixes.
    frame = dataclasses.replace(self._examples.frame, reply="", reply_ids=())
    found = self._generator(prompts, list(self._examples.prefixes), frame)
    return [tuple(map(self._answer, ids)) for ids in found]

  def forget_programs(self) -> None:
    """Lets go of the compiled program; it is compiled again when it is needed."""
    self._generator.forget_programs()

  def _answer(self, ids: np.ndarray) -> str:
    end = self._lm.tokenizer.eos_token_id
    text = self._lm.tokenizer.decode(ids[ids != end])
    if self._one_line:
      text = text.lstrip(_LINE_END).split(_LINE_END)[0]
    return text.strip().removesuffix(self._examples.tail.strip()).strip()


def matches(answers: tuple[str, ...], examples: EncodedExamples) -> np.ndarray:
  """Which answers are right, (N,), bool."""
  true = [examples.answers[label] for label in examples.labels]
  return np.array([exact_match(answer, right) for answer, right in zip(answers, true, strict=True)])


def rouge_l(answers: tuple[str, ...], examples: EncodedExamples) -> float | None:
  """ROUGE-L (Lin, 2004), the mean F1 of stemmed words; None where rouge-score is not installed."""
  score = rouge_scorer("rougeL")
  if score is None:
    return None
  true = [examples.answers[label] for label in examples.labels]
  return float(np.mean([score(right, answer) for right, answer in zip(true, answers, strict=True)]))
