"""Table 1: the five tasks, their templates and label words, and how many rows there are.

Claim: none; it describes what the other experiments are about.
Paper: the same tasks; rows from the Hub may differ in number from the paper's files.
Command: python -m experiments.table1_tasks --out runs/paper
Time: seconds, and the download of the data.
"""

import dataclasses
import sys
from pathlib import Path

from experiments.experiment import Experiment, main
from wayjax.config import RunConfig
from wayjax.data.tasks import TASKS, get_task
from wayjax.metrics import majority
from wayjax.results.summary import percent
from wayjax.run.prepare import load_rows

_LONGEST = 100  # characters of an example


_COLUMNS = ("task", "example", "template", "label words", "train", "dev", "test", "majority %")


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Counts the rows of tasks, and takes the first training text that is short as an example."""
  lines = []
  for config in configs:
    task = get_task(config.dataset)
    data = load_rows(dataclasses.replace(config, split="test"), task)
    short = (text for text in data.train.texts if len(text) <= _LONGEST)
    counts = (len(data.train), len(data.dev), len(data.evaluation))
    lines.append(
      (task.name, next(short, data.train.texts[0]), task.template.replace("%s", "…"))
      + (", ".join(task.label_words), *(f"{count:,}" for count in counts))
      + (percent(majority(data.evaluation.labels)),)
    )
  return {
    "table": {
      "name": "table1",
      "title": "Table 1: tasks",
      "caption": "Templates, label words and rows. The last column is the share of the most "
      "frequent class in the test rows, in per cent.",
      "columns": _COLUMNS,
      "lines": lines,
    }
  }


EXPERIMENT = Experiment("table1_tasks", measure=measure, measured_on=tuple(TASKS))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
