"""The attack on the readers themselves: prompts that solve a task A while a reader says B.

Claim: nearest tokens can be made to say any text; so can readers that the gradient goes through.
Each of `inspect`, `logit_lens` and `verbalise` is attacked by adding to the loss how unlikely it is
to say the text that the prompt is held to (--fool), a true description of another task B.
Paper: it shows it of nearest tokens alone; of these readers nobody has been found who tried.
Command: python -m experiments.fooled_readers --model gpt2-large --out runs/paper
A part: python -m experiments.fooled_readers --datasets sst2 trec --fool logit_lens
The prompts that fool nobody are those of readers_bench, in the same folder.
Time: not measured on an accelerator.
"""

import collections
import dataclasses
import sys
from pathlib import Path

import jax

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from experiments.readings.asking import Asker, Progress, prompts_to_read
from experiments.readings.cases import (
  TUNED,
  Case,
  require_prompts,
  sound,
  true_descriptions,
  tuned,
  tuned_prompts,
)
from experiments.readings.kept import Kept
from experiments.readings.scoring import Scorer, mean_over_texts
from experiments.readings.table import ENOUGH
from wayjax.audit.measure import Trial
from wayjax.config import C_DIST, CELL, FOOLED, RunConfig
from wayjax.data.targets import OTHER
from wayjax.data.tasks import TASKS
from wayjax.devices.compilation import keep_programs
from wayjax.metrics import delta
from wayjax.models import load_lm
from wayjax.report import paper
from wayjax.report.statistics import Estimate
from wayjax.results.summary import UNKNOWN, percent
from wayjax.run.prepare import load_rows

GAMMA = (0.0, paper.GAMMA)
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
  """

  fooled: str
  arm: str
  texts: int
  accuracy: Estimate | None
  delta: Estimate | None
  f1: dict[str, Estimate | None]
  names_a: dict[str, Estimate | None]
  names_b: dict[str, Estimate | None]


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Has readers read the prompts of a folder that were to fool them, and those that were not."""
  first = configs[0]
  found = {
    fooled or NOBODY: tuned_prompts(
      [dataclasses.replace(config, fool=fooled) for config in configs], out
    )
    for fooled in (None, *FOOLED)
  }
  require_prompts({name: results for name, results in found.items() if results}, first.model, out)
  prompts = [
    Tuned(fooled, case, row["seed"], row["accuracy"])
    for fooled, of_task in found.items()
    for task, results in of_task.items()
    for row, case in zip(sound(results), tuned(task, results), strict=True)
    if case.told is not None
  ]
  keep_programs()
  lm = load_lm(
    first.model,
    revision=first.revision,
    precision=first.precision,
    model_parallel=first.model_parallel,
  )
  descriptions, kept = true_descriptions(first), Kept(out, first.shard)
  scorer = Scorer(descriptions, lm.tokenizer)
  own = {
    config.dataset: [p for p in prompts if p.case.task == config.dataset] for config in configs
  }
  show = Progress(len(READ_BY) * sum(map(bool, own.values())))
  scored, missing = [], 0
  for config in (config for config in configs if own[config.dataset]):
    trial = Trial(
      TASKS[config.dataset],
      load_rows(config, TASKS[config.dataset]),
      config.split,
      max_length=config.max_length,
    )
    asker = Asker(lm, trial, descriptions, config.projection, kept)
    mine = prompts_to_read(asker, [each.case for each in own[config.dataset]], config.shard)
    for reader in READ_BY:
      asker.read(reader, mine, show)
    for each in own[config.dataset]:
      records = {name: kept[asker.key(each.case.prompt, name)] for name in READ_BY}
      if not all(records.values()):
        missing += 1
        continue
      # Of what the reader settles on alone: the attack is on that, and has no best of many.
      texts = {name: record | {"texts": [record["text"]]} for name, record in records.items()}
      scored.append((each, {name: scorer(each.case, record)[0] for name, record in texts.items()}))
    jax.clear_caches()  # compiled programs take memory maps, and a process has so many
  lines = lines_of(scored)
  sentences = verdicts(lines)
  notes = [f"Prompts whose readings are not there yet: {missing:,}."] if missing else []
  return {
    "table": to_table(lines, notes + sentences),
    "numbers": [dataclasses.asdict(line) for line in lines],
    "verdicts": sentences,
  }


def lines_of(scored: list[tuple[Tuned, dict[str, dict]]]) -> list[Line]:
  """Means over texts of means over tasks of means over seeds.

  Args:
    scored: prompts, and by reader what a Scorer returns of its reading.
  """
  free = {
    (each.case.task, each.case.text, each.case.arm, each.seed): each.accuracy
    for each, _ in scored
    if each.fooled == NOBODY
  }
  groups = collections.defaultdict(list)
  for each, scores in scored:
    groups[each.fooled, each.case.arm].append((each, scores))

  def drop(each: Tuned) -> float | None:
    before = free.get((each.case.task, each.case.text, each.case.arm, each.seed))
    return None if before is None else delta(before, each.accuracy)

  def of_readers(group, name: str) -> dict[str, Estimate | None]:
    return {
      reader: mean_over_texts((each.case, scores[reader][name]) for each, scores in group)
      for reader in READ_BY
    }

  return [
    Line(
      fooled,
      arm,
      texts=len({each.case.text for each, _ in group}),
      accuracy=mean_over_texts((each.case, each.accuracy) for each, _ in group),
      delta=None
      if fooled == NOBODY
      else mean_over_texts((each.case, drop(each)) for each, _ in group),
      **{name: of_readers(group, name) for name in ("f1", "names_a", "names_b")},
    )
    for fooled in (NOBODY, *FOOLED)
    for arm in TUNED.values()
    if (group := groups.get((fooled, arm)))
  ]


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
    "the prompts of the same text and arm that fool nobody. By reader: word-overlap F1 of what it "
    "says with the text, and, after a slash, the share of readings that name B and those that name "
    "A, by ROUGE-1 as in the table of what readers see; of a reader with many texts, the one that "
    "it settles on. All in per cent; means over texts of means over tasks and seeds; in square "
    "brackets 95 % bootstrap intervals that resample texts."
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
        _with_interval(line.accuracy),
        _with_interval(line.delta),
        *(
          f"{_with_interval(line.f1[reader])} / {_share(line.names_b[reader])} "
          f"{_share(line.names_a[reader])}"
          for reader in READ_BY
        ),
      )
      for line in lines
    ],
  }


def _share(found: Estimate | None) -> str:
  return UNKNOWN if found is None else percent(found.mean)


def _with_interval(found: Estimate | None) -> str:
  if found is None or found.targets < 2:
    return _share(found)
  return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"


def verdicts(lines: list[Line]) -> list[str]:
  """What each reader says where it was attacked and where not, and what that cost."""
  by = {(line.fooled, line.arm): line for line in lines}
  sentences = []
  for (fooled, arm), line in by.items():
    before = by.get((NOBODY, arm))
    if fooled == NOBODY or before is None:
      continue
    attacked, free = line.names_b[fooled], before.names_b[fooled]
    if attacked is None or free is None or line.delta is None:
      continue
    sentence = (
      f"{fooled} names B of {percent(attacked.mean)} % of the prompts ({arm}) that are to fool it, "
      f"and of {percent(free.mean)} % of those that are to fool nobody, at Δ̂ "
      f"{percent(line.delta.mean)} %"
    )
    if attacked.targets < ENOUGH:
      sentence += f"; of fewer than {ENOUGH} texts intervals tell nothing apart"
    elif attacked.low > free.high:
      sentence += ": it is fooled, by intervals that do not overlap"
    sentences.append(f"{sentence}.")
  return sentences


EXPERIMENT = Experiment(
  "fooled_readers",
  (
    Sweep(tuple(TASKS), (OTHER,), GAMMA, (C_DIST, CELL)),
    *(
      Sweep(tuple(TASKS), (OTHER,), GAMMA, (C_DIST, CELL), settings={"fool": reader})
      for reader in FOOLED
    ),
  ),
  measure=measure,
  measured_on=tuple(TASKS),
  in_demo={"datasets": ("trec",), "max_targets": (2,), "seeds": (1,)},
)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
