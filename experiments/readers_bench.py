"""What readers see of wayward prompts: which task they name, and whether what they say does it.

Claim: prompts solve a task A and read as a text of another task B, or of none; the table says which
readers name A all the same, which name B, and what controls have by the same scores. It claims
nothing beforehand: the sentences below it are what its numbers bear out.
Paper: it reads by nearest tokens alone; InSPEcT (arXiv 2410.11660) is motivated by it, and no
trial of it on wayward prompts is known.
Command: python -m experiments.readers_bench --model gpt2-large --out runs/paper
A part: python -m experiments.readers_bench --datasets sst2 trec --readers nearest inspect
--readers names who reads, else all but slow ones do; what was read is never read again.
Time: not measured on an accelerator; 5 minutes 30 seconds with --demo, which has two tasks, three
texts of each kind and one seed, on two busy cores.
"""

import dataclasses
import sys
from pathlib import Path

import jax

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from experiments.readings.asking import Asker, Progress, make_asker, prompts_to_read
from experiments.readings.cases import (
  TUNED,
  Case,
  cases,
  require_prompts,
  true_descriptions,
  tuned_prompts,
)
from experiments.readings.kept import Kept
from experiments.readings.scoring import Scorer, lines_of
from experiments.readings.table import to_figure, to_table, verdicts
from wayjax.audit.measure import SLOW, Trial
from wayjax.config import C_DIST, CELL, RunConfig
from wayjax.data.targets import OTHER
from wayjax.data.tasks import TASKS
from wayjax.devices.compilation import keep_programs
from wayjax.errors import WayjaxError
from wayjax.prompts import SoftPrompt
from wayjax.readers import READERS, SEQUENCES
from wayjax.report import gather, paper
from wayjax.run.prepare import load_model

GAMMA = (0.0, paper.GAMMA)


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Has readers read the prompts that a folder holds, and controls, and scores what they say."""
  first = configs[0]
  found = tuned_prompts(configs, gather.merge(gather.find_runs([str(out)])), out)
  require_prompts(found, first.model, out)
  descriptions = true_descriptions(first)
  keep_programs()
  lm = load_model(first)
  kept, scorer = Kept(out, first.shard), Scorer(descriptions, lm.tokenizer)
  readers = [name for name in READERS if name in (first.readers or set(READERS) - set(SLOW))]
  show = Progress(len(found) * (len(readers) + len(set(readers) & set(SEQUENCES)) + 1))
  made = cases(lm, found, descriptions)
  scored, not_asked, missing, too_long = [], {}, 0, 0
  for config in (config for config in configs if config.dataset in found):
    own = [case for case in made if case.task == config.dataset]
    asker = make_asker(lm, config, descriptions, kept)
    refused = _ask(
      asker, readers, prompts_to_read(asker, own, config.shard), show, bool(first.readers)
    )
    not_asked |= {f"{reader} of {config.dataset}": why for reader, why in refused.items()}
    for reader in (reader for reader in readers if reader not in refused):
      for case in own:
        record = kept[asker.key(case.prompt, reader)]
        if not {"text", "behaviour"} <= record.keys():
          missing += 1
          continue
        too_long += record["behaviour"] is None
        scored.append((reader, case, *scorer(case, record)))
    jax.clear_caches()  # compiled programs take memory maps, and a process has so many
  lines = lines_of(scored)
  sentences = verdicts(lines)
  notes = _notes(found, made, Trial.rows) + _left_out(found, not_asked, missing, too_long)
  return {
    "table": to_table(lines, notes + sentences),
    "numbers": [dataclasses.asdict(line) for line in lines],
    "verdicts": sentences,
    **to_figure(lines),
  }


def _ask(
  asker: Asker, readers: list[str], prompts: list[SoftPrompt], show: Progress, named: bool
) -> dict[str, str]:
  """Has readers read prompts; returns why some cannot, which is an error where they are named."""
  refused = {}
  for reader in readers:
    try:
      asker.read(reader, prompts, show)
    except WayjaxError as error:
      if named:
        raise
      refused[reader] = str(error)
      continue
    if reader in SEQUENCES:
      asker.compare(reader, prompts, show)
  asker.try_out([reader for reader in readers if reader not in refused], prompts, show)
  return refused


def _notes(found: dict[str, gather.Results], made: list[Case], rows: int) -> list[str]:
  """What was read."""
  tuned = sum(case.arm in TUNED.values() for case in made)
  return [
    f"Read: {tuned:,} tuned prompts of {', '.join(found)}, and {len(made) - tuned:,} controls; "
    f"what readings do is measured on up to {rows} rows that no reader saw."
  ]


def _left_out(
  found: dict[str, gather.Results], not_asked: dict[str, str], missing: int, too_long: int
) -> list[str]:
  """What was not, and why."""
  sentences = []
  if diverged := sum(row["status"] != "done" for each in found.values() for row in each.rows):
    sentences.append(f"Prompts left out because they diverged: {diverged:,}.")
  if not_asked:
    reasons = "; ".join(f"{reader} ({why})" for reader, why in not_asked.items())
    sentences.append(f"Readers that could not be asked: {reasons}.")
  if missing:
    sentences.append(f"Readings that are not there yet: {missing:,}.")
  if too_long:
    sentences.append(f"Readings too long for the model to be tried: {too_long:,}.")
  return sentences


EXPERIMENT = Experiment(
  "readers_bench",
  (Sweep(tuple(TASKS), (OTHER, "pile"), GAMMA, (C_DIST, CELL)),),
  measure=measure,
  measured_on=tuple(TASKS),
  takes_readers=True,
  in_demo={"datasets": ("trec", "subj"), "max_targets": (3,), "seeds": (1,), "eval_rows": (100,)},
)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
