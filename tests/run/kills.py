"""python tests/run/kills.py FOLDER OPTIONS...: a run that is killed ten times, and then ends.

The run is left in FOLDER; the last line names the moments at which it was killed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import forks

from wayjax.results.folder import CONFIG
from wayjax.results.writer import RunWriter
from wayjax.run import measure
from wayjax.tuning import chunk, program
from wayjax.tuning.checkpoint import Checkpoints

MOMENTS = {
  "compile": (program, "compile_group"),
  "step": (chunk, "_next_stop"),  # called right before each dispatch
  "checkpoint": (Checkpoints, "save"),
  "evaluation": (measure.Measure, "__call__"),
  "row writing": (RunWriter, "append_rows"),
}
LONGEST = 0.05  # seconds from the beginning of a moment to the kill


def kill(arguments: list[str], moment: str, delay: float) -> None:
  """Runs wayjax in a process of its own, and kills it so long after the moment has begun."""
  begun, begin = os.pipe()
  child = forks.start(arguments, prepare=lambda: announce(*MOMENTS[moment], begin))
  os.close(begin)
  assert os.read(begun, 1) == b"!", f"it ended before: {moment}"
  time.sleep(delay)
  os.kill(child, signal.SIGKILL)
  _, status = os.waitpid(child, 0)
  os.close(begun)
  assert os.WIFSIGNALED(status), f"it ended during: {moment}"


def announce(owner, name: str, pipe: int) -> None:
  """Makes a function say when it begins."""
  original = getattr(owner, name)

  def announced(*args, **kwargs):
    os.write(pipe, b"!")
    return original(*args, **kwargs)

  setattr(owner, name, announced)


def main(folder: Path, options: list[str]) -> None:
  rng = random.Random(0)
  moments = list(MOMENTS) * 2
  rng.shuffle(moments)
  for moment in moments:
    begun = (folder / CONFIG).exists()
    arguments = ["--resume", str(folder)] if begun else [*options, "--out", str(folder)]
    kill(arguments, moment, rng.uniform(0, LONGEST))
  _, status = os.waitpid(forks.start(["--resume", str(folder)]), 0)
  assert status == 0, "the last leg failed"
  print("killed during", ", ".join(moments))


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2:])
