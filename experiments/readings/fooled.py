"""Readings of prompts that fool a reader, and of those that do not -> lines, table, sentences."""

import collections
import dataclasses

from experiments.readings.cases import TUNED, Case
from experiments.readings.kept import Record
from experiments.readings.scoring import Scorer, mean_over_texts
from experiments.readings.table import ENOUGH, dot
from wayjax.config import FOOLED
from wayjax.metrics import delta
from wayjax.readers.fooling import sayable
from wayjax.report.statistics import Estimate, interval_percent, mean_percent
from wayjax.results.summary import percent

READ_BY = ("nearest", *FOOLED)
NOBODY = "nobody"


@dataclasses.dataclass(frozen=True)
class Tuned:
  """A prompt and what it does.

  Attributes:
    fooled: the reader that it was tuned to fool, or NOBODY.
    case: the prompt, its task and its text.
    seed: its seed.
    accuracy: on its task.
  """

  fooled: str
  case: Case
  seed: int
  accuracy: float


@dataclasses.dataclass(frozen=True)
class Line:
  """What readers say of the prompts of one arm that were tuned to fool one of them, or nobody.

  Attributes:
    fooled: the reader, or NOBODY.
    arm: how the prompts are held to their texts.
    texts: how many texts.
    accuracy: on the task A.
    delta: the relative drop from the prompts of the same arm that fool nobody.
    f1: by reader, word overlap of what it says with the text.
    names_a: by reader, the share of its readings that name A.
    names_b: by reader, the share that name B.
    before: of the prompts that fool nobody, and are otherwise these, the share of the fooled
      reader's readings that name B; None for those themselves.
  """

  fooled: str
  arm: str
  texts: int
  accuracy: Estimate | None
  delta: Estimate | None
  f1: dict[str, Estimate | None]
  names_a: dict[str, Estimate | None]
  names_b: dict[str, Estimate | None]
  before: Estimate | None = None


def scores_of(scorer: Scorer, case: Case, reader: str, record: Record) -> dict:
  """The scores of the text that a reader settles on, beside what it could say of the case's text.

  Of several texts there is no best: each is one that the attack is on.
  """
  case = case._replace(text=sayable(reader, case.text))
  return scorer(case, record | {"texts": [record["text"]]})[0]


def lines_of(scored: list[tuple[Tuned, dict[str, dict]]]) -> list[Line]:
  """Means over texts of means over tasks of means over seeds.

  Prompts that fool a reader count where there are those that fool nobody to compare with.

  Args:
    scored: prompts, and by reader what a Scorer returns of its reading.
  """
  free = {_member(each): (each, scores) for each, scores in scored if each.fooled == NOBODY}
  groups = collections.defaultdict(list)
  for each, scores in scored:
    if _member(each) in free:
      groups[each.fooled, each.case.arm].append((each, scores))
  return [
    _line(fooled, arm, group, [free[_member(each)] for each, _ in group])
    for fooled in (NOBODY, *FOOLED)
    for arm in TUNED.values()
    if (group := groups.get((fooled, arm)))
  ]


def _member(each: Tuned) -> tuple:
  return each.case.task, each.case.text, each.case.arm, each.seed


def _line(fooled: str, arm: str, group: list, free: list) -> Line:
  """The line of a group of prompts, each beside that which fools nobody."""

  def of_readers(name: str) -> dict[str, Estimate | None]:
    return {
      reader: mean_over_texts((each.case, scores[reader][name]) for each, scores in group)
      for reader in READ_BY
    }

  drop = before = None
  if fooled != NOBODY:
    drop = mean_over_texts(
      (each.case, delta(other.accuracy, each.accuracy))
      for (each, _), (other, _) in zip(group, free, strict=True)
    )
    before = mean_over_texts((other.case, scores[fooled]["names_b"]) for other, scores in free)
  return Line(
    fooled,
    arm,
    texts=len({each.case.text for each, _ in group}),
    accuracy=mean_over_texts((each.case, each.accuracy) for each, _ in group),
    delta=drop,
    f1=of_readers("f1"),
    names_a=of_readers("names_a"),
    names_b=of_readers("names_b"),
    before=before,
  )


def to_table(lines: list[Line], notes: list[str]) -> dict:
  """The table.

  Args:
    lines: its lines.
    notes: sentences of the caption after those of what the columns are.
  """
  caption = (
    "Prompts that were tuned for a task A, held to a true description of another task B, and, in "
    "the lines that name one, to fool a reader as well: the loss has the mean negative "
    "log-likelihood of that text by the reader, too. Accuracy is on A; Δ̂ the relative drop from "
    "the prompts of the same task, text, arm and seed that fool nobody, without which a prompt is "
    "left out. By reader: word-overlap F1 of what it says with the text, as far as it could say it "
    "(verbalise its first line, inspect a sentence of it), and, after a slash, the share of "
    "readings that name B and those that name A, by ROUGE-1 as in the table of what readers see; "
    "of a reader with many texts, the one that it settles on. All in per cent; means over texts of "
    "means over tasks and seeds; in square brackets 95 % bootstrap intervals that resample texts."
  )
  return {
    "name": "fooled",
    "title": "Readers that are fooled",
    "caption": " ".join([caption, *notes]),
    "columns": ("fooled", "prompt", "texts", "accuracy", "Δ̂", *(f"{r}: F1 / B A" for r in READ_BY)),
    "lines": [
      (
        line.fooled,
        line.arm,
        str(line.texts),
        interval_percent(line.accuracy),
        interval_percent(line.delta),
        *(
          f"{interval_percent(line.f1[reader])} / {mean_percent(line.names_b[reader])} "
          f"{mean_percent(line.names_a[reader])}"
          for reader in READ_BY
        ),
      )
      for line in lines
    ],
  }


def to_figure(lines: list[Line]) -> dict:
  """How often each reader names B where it was attacked, and where not; or nothing."""
  shown = [line for line in lines if line.before and line.names_b[line.fooled] and line.accuracy]
  if not shown:
    return {}
  panels = {
    "attacked: names B, as they read, %": lambda line: line.names_b[line.fooled],
    "not attacked: names B, %": lambda line: line.before,
    "attacked: accuracy on A, %": lambda line: line.accuracy,
  }
  return {
    "figure": "dots",
    "name": "fooled-named",
    "title": "Readers that are fooled",
    "caption": "By reader: of prompts that were tuned for a task A, held to a description of "
    "another task B and tuned to have this reader say it, too, how often it names B; the same of "
    "prompts that fool nobody; and what the former do on A: see the table. Lines are the "
    "intervals.",
    "rows": list(dict.fromkeys(line.fooled for line in shown)),
    "labels": list(dict.fromkeys(line.arm for line in shown)),
    "panels": [
      {"x_label": label, "dots": [dot(line.fooled, line.arm, of(line)) for line in shown]}
      for label, of in panels.items()
    ],
  }


def verdicts(lines: list[Line]) -> list[str]:
  """What each reader says where it was attacked and where not, at what cost, and who is fooled."""
  shown = [line for line in lines if line.names_b.get(line.fooled) and line.before and line.delta]
  sentences = []
  for reader in dict.fromkeys(line.fooled for line in shown):
    parts = [
      f"{line.arm} {percent(line.names_b[reader].mean)} % and {percent(line.before.mean)} %, at Δ̂ "
      f"{percent(line.delta.mean)} %"
      for line in shown
      if line.fooled == reader
    ]
    sentences.append(
      f"How often {reader} names B of the prompts that are to fool it, and of those that are to "
      f"fool nobody: {'; '.join(parts)}."
    )
  told = [line for line in shown if _texts(line) >= ENOUGH]
  if len(told) < len(shown):
    sentences.append(f"Of fewer than {ENOUGH} texts intervals tell nothing apart.")
  if told:
    fooled = [
      f"{line.fooled} ({line.arm})"
      for line in told
      if line.names_b[line.fooled].low > line.before.high
    ]
    sentences.append(
      f"Fooled, by intervals that do not overlap: {', '.join(fooled) or 'no reader'}."
    )
  return sentences


def _texts(line: Line) -> int:
  """The fewest texts that a share in a sentence is of."""
  return min(line.names_b[line.fooled].targets, line.before.targets)
