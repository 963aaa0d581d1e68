"""Table 1: the five tasks, their templates and label words, and how many rows there are.

Claim: none; it says what the other items are about.
Paper: the same tasks; rows from the Hub may differ in number from the paper's files.
Command: python -m experiments.table1_tasks --out runs/paper
Time: seconds, and the download of the data.
"""

import dataclasses
import sys
from pathlib import Path

from experiments.experiment import Item, main
from wayjax.config import RunConfig
from wayjax.data.tasks import TASKS, get_task
from wayjax.metrics import majority
from wayjax.run.pipeline import load_rows

_LONGEST = 100  # characters of an example


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Counts the rows of tasks, and takes the first training text that is short as an example."""
  tasks = []
  for config in configs:
    task = get_task(config.dataset)
    data = load_rows(dataclasses.replace(config, split="test"), task)
    short = (text for text in data.train.texts if len(text) <= _LONGEST)
    tasks.append(
      {
        "task": task.name,
        "example": next(short, data.train.texts[0]),
        "template": task.template.replace("%s", "…"),
        "label_words": task.label_words,
        "train": len(data.train),
        "dev": len(data.dev),
        "test": len(data.evaluation),
        "majority": majority(data.evaluation.labels),
      }
    )
  return {"tasks": tasks}


ITEM = Item("table1_tasks", measure=measure, measured_on=tuple(TASKS))

if __name__ == "__main__":
  sys.exit(main(ITEM, __doc__))
