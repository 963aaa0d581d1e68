"""The attack on the readers themselves: prompts that solve a task A while a reader says B.

Claim: nearest tokens can be made to say any text, and so can readers that the gradient goes
through, as far as the sentences below its table bear that out.
Each of `inspect`, `logit_lens` and `verbalise` is attacked by adding to the loss how unlikely it is
to say the text that the prompt is held to (--fool), a true description of another task B.
Paper: it shows it of nearest tokens alone; of these readers nobody has been found who tried.
Command: python -m experiments.fooled_readers --model gpt2-large --out runs/paper
A part: python -m experiments.fooled_readers --datasets sst2 trec --fool logit_lens
The prompts that fool nobody are those of readers_bench, in the same folder.
Time: not measured on an accelerator; 2 minutes 20 seconds with --demo on two cores.
"""

import dataclasses
import sys
from pathlib import Path

import jax

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from experiments.readings.asking import Progress, make_asker, prompts_to_read
from experiments.readings.cases import (
  require_prompts,
  sound,
  true_descriptions,
  tuned,
  tuned_prompts,
)
from experiments.readings.fooled import (
  NOBODY,
  READ_BY,
  Tuned,
  lines_of,
  scores_of,
  to_figure,
  to_table,
  verdicts,
)
from experiments.readings.kept import Kept
from experiments.readings.scoring import Scorer
from wayjax.config import C_DIST, CELL, FOOLED, RunConfig
from wayjax.data.targets import OTHER
from wayjax.data.tasks import TASKS
from wayjax.devices.compilation import keep_programs
from wayjax.report import gather, paper
from wayjax.run.prepare import load_model

GAMMA = (0.0, paper.GAMMA)


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Has readers read the prompts of a folder that were to fool them, and those that were not."""
  first = configs[0]
  runs = gather.merge(gather.find_runs([str(out)]))
  found = {
    fooled or NOBODY: tuned_prompts(
      [dataclasses.replace(config, fool=fooled) for config in configs], runs, out
    )
    for fooled in (None, *FOOLED)
  }
  require_prompts({name: results for name, results in found.items() if results}, first.model, out)
  diverged = sum(
    row["status"] != "done"
    for of_task in found.values()
    for results in of_task.values()
    for row in results.rows
  )
  prompts = [
    Tuned(fooled, case, row["seed"], row["accuracy"])
    for fooled, of_task in found.items()
    for task, results in of_task.items()
    for row, case in zip(sound(results), tuned(task, results), strict=True)
    if case.told is not None
  ]
  keep_programs()
  lm = load_model(first)
  descriptions, kept = true_descriptions(first), Kept(out, first.shard)
  scorer = Scorer(descriptions, lm.tokenizer)
  own = {
    config.dataset: [p for p in prompts if p.case.task == config.dataset] for config in configs
  }
  show = Progress(len(READ_BY) * sum(map(bool, own.values())))
  scored, missing = [], 0
  for config in (config for config in configs if own[config.dataset]):
    asker = make_asker(lm, config, descriptions, kept)
    mine = prompts_to_read(asker, [each.case for each in own[config.dataset]], config.shard)
    for reader in READ_BY:
      asker.read(reader, mine, show)
    for each in own[config.dataset]:
      records = {name: kept[asker.key(each.case.prompt, name)] for name in READ_BY}
      if not all("text" in record for record in records.values()):
        missing += 1
        continue
      scores = {
        name: scores_of(scorer, each.case, name, record) for name, record in records.items()
      }
      scored.append((each, scores))
    jax.clear_caches()  # compiled programs take memory maps, and a process has so many
  lines = lines_of(scored)
  sentences = verdicts(lines)
  notes = []
  if diverged:
    notes.append(f"Prompts left out because they diverged: {diverged:,}.")
  if missing:
    notes.append(f"Prompts whose readings are not there yet: {missing:,}.")
  return {
    "table": to_table(lines, notes + sentences),
    "numbers": [dataclasses.asdict(line) for line in lines],
    "verdicts": sentences,
    **to_figure(lines),
  }


EXPERIMENT = Experiment(
  "fooled_readers",
  (
    Sweep(tuple(TASKS), (OTHER,), GAMMA, (C_DIST, CELL)),
    *(
      Sweep(
        *(tuple(TASKS), (OTHER,), GAMMA, (C_DIST, CELL)),
        settings={"fool": reader, "fool_weight": RunConfig.fool_weight},
      )
      for reader in FOOLED
    ),
  ),
  measure=measure,
  measured_on=tuple(TASKS),
  in_demo={"datasets": ("trec",), "max_targets": (2,), "seeds": (1,)},
)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
