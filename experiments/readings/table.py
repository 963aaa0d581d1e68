"""Lines -> the table of a report: cells, caption, and sentences that its numbers bear out."""

from experiments.readings.cases import (
  ARMS,
  ELSEWHERE,
  OF_TASK,
  PLAIN,
  RANDOM,
  TRUE,
  TUNED,
)
from experiments.readings.scoring import FIELDS, LEAST_GAIN, LEAST_ROUGE, Line
from wayjax.report.statistics import Estimate
from wayjax.results.summary import UNKNOWN, percent

COLUMNS = {
  "names_a": "names A %",
  "names_b": "names B %",
  "neither": "neither %",
  "class_rate": "classes %",
  "f1": "F1 %",
  "faithfulness": "faithful %",
  "kl": "KL",
  "agreement": "agree %",
  "says_a": "A before B %",
}
_WITH_INTERVALS = ("names_a", "names_b", "faithfulness", "says_a")
_WORKS = 0.5  # share of true descriptions whose task a reader that works names
ENOUGH = 10  # texts, of fewer of which intervals are too narrow to tell anything apart

CAPTION = (
  "What readers see of prompts that were tuned for a task A and held to a text: a true description "
  "of another task B, or any other text. Unconstrained prompts start from the text "
  "and go anywhere; those with γ = 0.01 are penalised by c-dist, those in the cell read as it by "
  f'construction. Controls, scored alike, of each text: "{RANDOM}", as many as it has; '
  f'"{ELSEWHERE}", the unconstrained one of the same text where there is one; "{PLAIN}"; and '
  f'"{TRUE}", the embeddings of a description of A, whose task a reader that works ought to name. '
  "A reading names the task to whose true descriptions it is more alike by ROUGE-1 of stemmed "
  f"words without stop words, if that is {LEAST_ROUGE:g} or more for one of them; neither, if it "
  "is like none, or like both as much. Classes: the share of A's classes that it names. F1: word "
  "overlap with the text that prompts are held to. Faithful: how much of the prompt's gain of "
  "accuracy over no prompt the reading has as a plain prompt, of prompts that gain "
  f"{100 * LEAST_GAIN:.0f} percentage points or more. KL: of the classes' probabilities under the "
  "prompt from those under the reading, nats. Agree: the share of rows for which both predict the "
  "same. A before B: the share of prompts after which the model finds A's descriptions more "
  "probable, by the mean log-probability of a token, than B's, where the reader lets it speak. "
  "Means over texts of means over tasks and seeds; in square brackets 95 % bootstrap intervals "
  "that resample texts. For readers that come up with several texts, names, classes and F1 are "
  "means over all of them, with those of the best in round brackets, and the rest is of the text "
  "that they settle on."
)


def to_table(lines: list[Line], notes: list[str]) -> dict:
  """The table.

  Args:
    lines: its lines.
    notes: sentences of the caption after those of what the columns are.
  """
  return {
    "name": "readers",
    "title": "What readers see of wayward prompts",
    "caption": " ".join([CAPTION, *notes]),
    "columns": ("reader", "text", "prompt", "texts", *COLUMNS.values()),
    "lines": [
      (line.reader, line.kind, line.arm, str(line.texts), *(_cell(line, name) for name in FIELDS))
      for line in lines
    ],
  }


def _cell(line: Line, name: str) -> str:
  found, most = line.means[name], line.most.get(name)
  if found is None:
    return UNKNOWN
  if name == "kl":
    return f"{found.mean:.2f}"
  text = percent(found.mean)
  if most is not None and name != "neither":
    text += f" ({percent(most.mean)})"
  if name in _WITH_INTERVALS and found.targets > 1:
    text += f" [{percent(found.low)}, {percent(found.high)}]"
  return text


def to_figure(lines: list[Line]) -> dict:
  """How often readers name A, and B, of prompts that read as a description of B; or nothing."""
  shown = [line for line in lines if line.kind == OF_TASK and line.means["names_a"] is not None]
  if not shown:
    return {}
  panels = {
    "names_a": "name A, the task that prompts solve, %",
    "names_b": "name B, as they read, %",
  }
  return {
    "figure": "dots",
    "name": "readers-named",
    "title": "Which task readers name",
    "caption": "Of prompts that were tuned for a task A and held to a description of another task "
    "B, and of the controls of these texts: see the table. Lines are the intervals.",
    "rows": list(dict.fromkeys(line.reader for line in shown)),
    "labels": [arm for arm in ARMS if any(line.arm == arm for line in shown)],
    "panels": [
      {
        "x_label": label,
        "dots": [dot(line.reader, line.arm, line.means[name]) for line in shown],
      }
      for name, label in panels.items()
    ],
  }


def dot(row: str, label: str, found: Estimate) -> dict:
  """A share with its interval, as the report draws it."""
  return {"row": row, "label": label} | {
    end: getattr(found, end) for end in ("mean", "low", "high")
  }


def verdicts(lines: list[Line]) -> list[str]:
  """Which readers name the task of prompts that read as another task's description."""
  share = {(line.reader, line.arm): line.means["names_a"] for line in lines if line.kind == OF_TASK}
  sentences = [sentence for arm in TUNED.values() if (sentence := _of_arm(share, arm)) is not None]
  failing = [
    f"{reader} ({percent(found.mean)} %)"
    for (reader, arm), found in share.items()
    if arm == TRUE and found is not None and found.mean < _WORKS
  ]
  if failing:
    sentences.append(
      "Readers that name the task of fewer than half of its true descriptions, so that what they "
      f"do not see shows nothing: {', '.join(failing)}."
    )
  return sentences


def _of_arm(share: dict[tuple[str, str], Estimate | None], arm: str) -> str | None:
  """Who names the tasks of an arm's prompts most often, and who does beyond both controls."""
  own = {reader: found for (reader, of), found in share.items() if of == arm and found is not None}
  if not own:
    return None
  best, *others = sorted(own, key=lambda reader: -own[reader].mean)
  sentence = f"Held to another task's description, {arm}: {best} names A of "
  sentence += f"{percent(own[best].mean)} %"
  if (random := share.get((best, RANDOM))) is not None:
    sentence += f" (of random tokens, {percent(random.mean)} %"
    if (elsewhere := share.get((best, ELSEWHERE))) is not None:
      sentence += f", of prompts of other tasks {percent(elsewhere.mean)} %"
    sentence += ")"
  if others:
    sentence += f", no other reader of more than {percent(own[others[0]].mean)} %"
  if min(found.targets for found in own.values()) < ENOUGH:
    return f"{sentence}; of fewer than {ENOUGH} texts intervals tell nothing apart."

  def is_beyond(reader: str) -> bool:
    controls = [control for of in (RANDOM, ELSEWHERE) if (control := share.get((reader, of)))]
    return bool(controls) and all(own[reader].low > control.high for control in controls)

  beyond = ", ".join(filter(is_beyond, own)) or "none"
  return (
    f"{sentence}; more often than of these controls, by intervals that do not overlap: {beyond}."
  )
