"""What a reading is worth: what it does in the prompt's place, and which task it names.

No score stands alone. A reader that tries many readings is scored by their mean, with the maximum
beside it, and the same scores are made of controls: no prompt, a random one, another task's.
Letters: N rows of a task, C classes.
"""

import dataclasses
import functools

import numpy as np

from wayjax.data.encoding import EncodedExamples, token_ids
from wayjax.data.tasks import Task
from wayjax.devices.sharding import fetch
from wayjax.evaluation import Evaluation, Evaluator
from wayjax.metrics import rouge_scorer, words
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt

# Words that say nothing of a task, which ROUGE-1 leaves out.
_STOP = (
  "a about after all also an and any are as at be been before being between both but by can did do "
  "does done each for from had has have he her here him his how i if in into is it its itself just "
  "me more most my no nor not of on once only or other our out over own same she should so some "
  "such than that the their them then there these they this those through to too under until up "
  "very was we were what when where which while who whom why will with would you your"
)
_STOP_WORDS = frozenset(_STOP.split())


@dataclasses.dataclass(frozen=True)
class Behaviour:
  """What a text does in a soft prompt's place.

  Attributes:
    accuracy: of the text as a hard prompt.
    faithfulness: how much of the soft prompt's gain over no prompt the text has, (accuracy of the
      text - of none) / (of the soft prompt - of none); 1 is all of it, and None stands where the
      soft prompt gains nothing.
    kl: KL(soft prompt || text) of the classes' probabilities, the mean over rows, nats; None for
      free-text answers.
    agreement: share of rows for which both predict the same.
  """

  accuracy: float
  faithfulness: float | None
  kl: float | None
  agreement: float


def behaviours(
  lm: LanguageModel, examples: EncodedExamples, prompts: list[SoftPrompt], texts: list[list[str]]
) -> list[list[Behaviour]]:
  """What texts that were read from soft prompts do in their place.

  Args:
    lm: the frozen language model.
    examples: encoded rows of a task.
    prompts: soft prompts.
    texts: of each the texts that were read from it; an empty one is no prompt.

  Returns:
    Of each prompt the behaviour of each of its texts.

  Raises:
    WayjaxError: a prompt or a text does not fit the model.
  """
  evaluator = Evaluator(lm, examples)
  distinct = {text: None for of_prompt in texts for text in of_prompt}
  hard = [None, *map(functools.partial(_as_prompt, lm, fetch(lm.table_VxD)), distinct)]
  none, *found = evaluator(hard)
  by_text = dict(zip(distinct, found, strict=True))
  return [
    [behaviour(soft, by_text[text], none) for text in of_prompt]
    for soft, of_prompt in zip(evaluator(prompts), texts, strict=True)
  ]


def _as_prompt(lm: LanguageModel, table_VxD: np.ndarray, text: str) -> SoftPrompt | None:
  (ids,) = token_ids(lm.tokenizer, [text])
  return SoftPrompt(table_VxD[ids], lm.name) if ids else None


def behaviour(soft: Evaluation, hard: Evaluation, none: Evaluation) -> Behaviour:
  """What a text does in a soft prompt's place, of evaluations of both and of no prompt."""
  return Behaviour(
    hard.accuracy,
    faithfulness(hard.accuracy, soft.accuracy, none.accuracy),
    None if soft.answers_N is not None else kl(soft, hard),
    agreement(soft, hard),
  )


def faithfulness(hard: float, soft: float, none: float) -> float | None:
  """How much of a soft prompt's gain a text has, of their accuracies and that of no prompt."""
  return (hard - none) / (soft - none) if soft > none else None


def kl(of: Evaluation, other: Evaluation) -> float:
  """KL(of || other) of softmax(-losses_NxC), the classes' probabilities: mean over rows, nats."""
  log_p_NxC, log_q_NxC = (_log_softmax(-each.losses_NxC) for each in (of, other))
  return float(np.mean(np.sum(np.exp(log_p_NxC) * (log_p_NxC - log_q_NxC), axis=1)))


def _log_softmax(x_NxC: np.ndarray) -> np.ndarray:
  shifted_NxC = x_NxC - x_NxC.max(axis=1, keepdims=True)
  return shifted_NxC - np.log(np.sum(np.exp(shifted_NxC), axis=1, keepdims=True))


def agreement(one: Evaluation, other: Evaluation) -> float:
  """Share of rows for which two prompts predict the same class, or give the same answer."""
  if one.answers_N is not None:
    return float(np.mean([a == b for a, b in zip(one.answers_N, other.answers_N, strict=True)]))
  return float(np.mean(one.predictions_N == other.predictions_N))


def class_rate(text: str, task: Task) -> float | None:
  """Share of a task's classes that a text names, by label word or name; None without classes."""
  if task.answer is not None:
    return None
  said, classes = words(text), zip(task.label_words, task.class_names, strict=True)
  return float(np.mean([any(_stands_in(words(name), said) for name in each) for each in classes]))


def _stands_in(label: list[str], said: list[str]) -> bool:
  size = len(label)
  return bool(size) and any(said[i : i + size] == label for i in range(len(said) - size + 1))


def rouge_1(text: str, references: list[str]) -> float | None:
  """ROUGE-1 F1 (Lin, 2004) of stemmed words without stop words, the largest over references.

  Returns:
    A fraction; None without references, or where rouge-score is not installed.
  """
  score = rouge_scorer("rouge1")
  if score is None or not references:
    return None
  return max(score(_told(reference), _told(text)) for reference in references)


def _told(text: str) -> str:
  return " ".join(word for word in words(text) if word not in _STOP_WORDS)
