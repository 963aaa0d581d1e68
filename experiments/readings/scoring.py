"""Readings -> scores -> means with intervals, a line for each reader, kind of text and arm."""

import collections
import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from experiments.readings.cases import ANY_OTHER, ARMS, OF_TASK, Case
from experiments.readings.kept import Record
from wayjax.data.encoding import as_read
from wayjax.data.tasks import TASKS
from wayjax.metrics import prompt_f1
from wayjax.readers import READERS
from wayjax.readers.scores import class_rate, faithfulness, rouge_1
from wayjax.report.statistics import Estimate, estimate

LEAST_ROUGE = 0.2  # at which a text names a task
LEAST_GAIN = 0.1  # of accuracy over no prompt, at which there is something to be faithful to
OF_TEXTS = ("names_a", "names_b", "neither", "class_rate", "f1")  # of every text of a reading
OTHERS = ("faithfulness", "kl", "agreement", "says_a")
FIELDS = (*OF_TEXTS, *OTHERS)


@dataclasses.dataclass(frozen=True)
class Line:
  """What a reader says of the prompts of one arm, held to texts of one kind.

  Attributes:
    reader: the reader.
    kind: the kind of text.
    arm: one of ARMS.
    texts: how many texts.
    means: by name in FIELDS; None where nothing has such a score.
    most: the same of the largest score over all texts of a reading, of those in OF_TEXTS; empty
      where readings have one text.
  """

  reader: str
  kind: str
  arm: str
  texts: int
  means: dict[str, Estimate | None]
  most: dict[str, Estimate | None]


class Scorer:
  """Scores readings; a text is compared with a task's descriptions once.

  Args:
    descriptions: true descriptions by task.
    tokenizer: the model's; what prompts are held to is compared as that gives it back.
  """

  def __init__(self, descriptions: dict[str, tuple[str, ...]], tokenizer):
    self._descriptions, self._tokenizer = descriptions, tokenizer
    self._rouge: dict[tuple[str, str], float | None] = {}

  def __call__(self, case: Case, record: Record) -> tuple[dict, dict]:
    """The scores of a reading by name in FIELDS, and the largest over its texts; None for none."""
    of_texts = [self._of_text(case, text) for text in record["texts"]]
    known = {name: [of[name] for of in of_texts if of[name] is not None] for name in OF_TEXTS}
    means = {name: float(np.mean(values)) if values else None for name, values in known.items()}
    most = {}
    if len(of_texts) > 1:
      most = {name: max(values) if values else None for name, values in known.items()}
    return means | _of_behaviour(record.get("behaviour")) | _of_choice(case, record), most

  def _of_text(self, case: Case, text: str) -> dict[str, float | None]:
    to_a = self._likeness(text, case.task)
    to_b = None if case.told is None else self._likeness(text, case.told)
    a = b = neither = None
    if to_a is not None:
      a = float(to_a >= LEAST_ROUGE and to_a > (to_b or 0))
      # A text that is like both descriptions to the same degree tells neither.
      b = None if to_b is None else float(to_b >= LEAST_ROUGE and to_b > to_a)
      neither = 1.0 - a - (b or 0)
    return {
      "names_a": a,
      "names_b": b,
      "neither": neither,
      "class_rate": class_rate(text, TASKS[case.task]),
      "f1": prompt_f1(text, as_read(self._tokenizer, case.text)),
    }

  def _likeness(self, text: str, task: str) -> float | None:
    """ROUGE-1 with the most similar of a task's descriptions."""
    if (text, task) not in self._rouge:
      self._rouge[text, task] = rouge_1(text, list(self._descriptions[task]))
    return self._rouge[text, task]


def _of_behaviour(found: dict | None) -> dict[str, float | None]:
  if found is None:
    return dict.fromkeys(("faithfulness", "kl", "agreement"))
  gains = found["prompt"] - found["nothing"] >= LEAST_GAIN
  accuracies = found["text"], found["prompt"], found["nothing"]
  return {
    "faithfulness": faithfulness(*accuracies) if gains else None,
    "kl": found["kl"],
    "agreement": found["agreement"],
  }


def _of_choice(case: Case, record: Record) -> dict[str, float | None]:
  log_p = record.get("log_p")
  if log_p is None or case.told is None:
    return {"says_a": None}
  return {"says_a": float(log_p[case.task] > log_p[case.told])}


def lines_of(scored: Iterable[tuple[str, Case, dict, dict]]) -> list[Line]:
  """Means over texts of means over tasks of means over seeds.

  Args:
    scored: readers, cases, and what a Scorer returns of them.
  """
  groups = collections.defaultdict(list)
  for reader, case, means, most in scored:
    groups[reader, case.kind, case.arm].append((case, means, most))
  order = [
    (reader, kind, arm) for reader in READERS for kind in (OF_TASK, ANY_OTHER) for arm in ARMS
  ]
  return [
    Line(
      *group,
      texts=len({case.unit for case, _, _ in groups[group]}),
      means={
        name: mean_over_texts((case, of.get(name)) for case, of, _ in groups[group])
        for name in FIELDS
      },
      most={
        name: mean_over_texts((case, of.get(name)) for case, _, of in groups[group])
        for name in OF_TEXTS
        if any(of for _, _, of in groups[group])
      },
    )
    for group in order
    if group in groups
  ]


def mean_over_texts(values: Iterable[tuple[Case, float | None]]) -> Estimate | None:
  """The mean over texts; its interval resamples them, because tasks share them.

  Args:
    values: cases with a value each, of which those without one are left out.
  """
  of_text = collections.defaultdict(lambda: collections.defaultdict(list))
  for case, value in values:
    if value is not None and math.isfinite(value):
      of_text[case.unit][case.task].append(value)
  return estimate(
    [np.mean([np.mean(own) for own in of_task.values()]) for of_task in of_text.values()]
  )
