"""A made-up task of two columns, who keeps what where: its answers as free text, and as classes.

Nothing in the rows can be guessed, a model has to read them. Names, things and rooms are drawn at
random, and dev and test rows do not occur in train.
"""

import argparse
import json
import random
import sys
from pathlib import Path

from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.exits import exit_code
from wayjax.files import is_folder

NAMES = (
  *("Nora", "Omar", "Lena", "Ivan", "Mira", "Paul", "Sara", "Tom"),
  *("Ada", "Leo", "Ruth", "Max", "Ella", "Hugo", "Rosa", "Karl"),
)
THINGS = ("lamp", "key", "map", "book", "ring", "coat", "clock", "box", "letter", "flute")
ROOMS = (
  *("kitchen", "garden", "cellar", "attic", "garage"),
  *("office", "library", "hall", "barn", "tower"),
)
ROWS = {"train": 1200, "dev": 100, "test": 200}
TASKS = {
  "where": 'template = "{facts} {question} Answer: {room}"\nanswer = "room"\n',
  "room": (
    'template = "{facts} {question} Answer: {label}"\n'
    f"label_words = {json.dumps(list(ROOMS))}\n"
  ),
}


def make_rows(count: int, seed: int) -> dict[str, list[dict]]:
  """Rows of both tasks on the same facts, by task; a function of the seed."""
  rng = random.Random(seed)
  rows = {task: [] for task in TASKS}
  for _ in range(count):
    names, things, rooms = (rng.sample(words, 2) for words in (NAMES, THINGS, ROOMS))
    kept = list(zip(names, things, rooms))
    facts = " ".join(f"{name} keeps the {thing} in the {room}." for name, thing, room in kept)
    _, thing, room = rng.choice(kept)
    columns = {"facts": facts, "question": f"Where is the {thing}?"}
    rows["where"].append({**columns, "room": room})
    rows["room"].append({**columns, "label": room})
  return rows


def write(out: Path) -> None:
  """Writes a task file and rows of each task.

  Raises:
    WayjaxError: the folder is not empty, or cannot be written.
  """
  if is_folder(out) and any(out.iterdir()):
    raise WayjaxError(f"{out} is not empty: name a new folder")
  with in_one_sentence(f"{out} cannot be written"):
    for task, content in TASKS.items():
      (out / task).mkdir(parents=True)
      (out / f"{task}.toml").write_text(content)
    for seed, (split, count) in enumerate(ROWS.items()):
      for task, rows in make_rows(count, seed).items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (out / task / f"{split}.jsonl").write_text(lines)


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("things_in_rooms", lambda: _write(argv))


def _write(argv: list[str] | None) -> int:
  parser = argparse.ArgumentParser(prog="python -m experiments.things_in_rooms")
  parser.add_argument("--out", type=Path, required=True, help="folder to write, new or empty")
  out = parser.parse_args(argv).out
  write(out)
  print(f"written: {', '.join(f'{task}.toml' for task in TASKS)} and their rows in {out}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
