"""python tests/results/races.py FOLDER: pairs of processes that begin, or resume, one run folder.

It prints a JSON object a pair: what each of the two was told, "" for the one that got the folder.
"""

import json
import multiprocessing
import sys
from pathlib import Path

from wayjax.errors import WayjaxError
from wayjax.results.writer import RunWriter

PAIRS = 10


def attempt(begin, folder: Path, start, end, told) -> None:
  start.wait()
  try:
    with begin(folder) as writer:
      if begin == RunWriter.begin:
        writer.write_config({})
      told.put("")
      end.wait()  # it is held until the other one has been told
  except WayjaxError as error:
    told.put(str(error))
    end.wait()


def race(fork, begin, folder: Path) -> list[str]:
  start, end, told = fork.Barrier(2), fork.Barrier(2), fork.Queue()
  pair = [
    fork.Process(target=attempt, args=(begin, folder, start, end, told), daemon=True)
    for _ in range(2)
  ]
  for process in pair:
    process.start()
  for process in pair:
    process.join()
  return sorted(told.get() for _ in pair)


def main(folder: Path) -> None:
  fork = multiprocessing.get_context("fork")
  for number in range(PAIRS):
    run = folder / f"{number}"
    record = {"begun": race(fork, RunWriter.begin, run)}
    record["resumed"] = race(fork, RunWriter.resume, run)
    print(json.dumps(record))


if __name__ == "__main__":
  main(Path(sys.argv[1]))
