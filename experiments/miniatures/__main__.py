"""Writes the miniatures: `python -m experiments.miniatures [--out wayjax/demo/data]`."""

import argparse
import csv
from pathlib import Path

from experiments.miniatures import GRAMMARS, rows


def write(folder: Path) -> None:
  """Writes `<task>/{train,test}.csv` with the columns `text,label`, the same bytes each time."""
  for task in GRAMMARS:
    (folder / task).mkdir(parents=True, exist_ok=True)
    for split, examples in rows(task).items():
      with (folder / task / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(examples)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--out", type=Path, default=Path("wayjax/demo/data"))
  write(parser.parse_args().out)


if __name__ == "__main__":
  main()
