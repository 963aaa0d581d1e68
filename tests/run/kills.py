"""python tests/kills.py FOLDER OPTIONS...: one run undisturbed, and one killed ten times.

Each leg is a fork, for it need not import anything again; nothing may compute before. What is left
is FOLDER/undisturbed and FOLDER/killed; the last line tells what the kills fell into.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import jax

from wayjax import run
from wayjax.results import folder
from wayjax.run import measure
from wayjax.tuning import batches, program
from wayjax.tuning.checkpoint import Checkpoints

MOMENTS = {
  "compile": (program, "compile_group"),
  "step": (batches.Schedule, "dispatch"),
  "checkpoint": (Checkpoints, "save"),
  "evaluation": (measure.Measure, "__call__"),
  "row writing": (folder.RunWriter, "append_rows"),
}
LONGEST = 0.05  # seconds from the beginning of a moment to the kill


def leg(arguments: list[str], moment: str | None = None, delay: float = 0.0) -> bool:
  """Runs wayjax in a process of its own; tells whether it was killed at that moment."""
  begun, begin = os.pipe()
  child = os.fork()
  if not child:
    if moment:
      announce(*MOMENTS[moment], begin)
    os._exit(run.main(arguments))
  os.close(begin)
  killed = os.read(begun, 1) == b"!"  # nothing, where it ends before
  if killed:
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
  _, status = os.waitpid(child, 0)
  os.close(begun)
  assert killed == os.WIFSIGNALED(status), f"{moment}: {status}"
  assert killed or os.WEXITSTATUS(status) == 0, f"{moment}: exit code {os.WEXITSTATUS(status)}"
  return killed


def announce(owner, name: str, pipe: int) -> None:
  """Makes a function say when it begins."""
  original = getattr(owner, name)

  def announced(*args, **kwargs):
    os.write(pipe, b"!")
    return original(*args, **kwargs)

  setattr(owner, name, announced)


def main(folder: Path, options: list[str]) -> None:
  jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
  leg([*options, "--out", str(folder / "undisturbed")])
  killed, rng = folder / "killed", random.Random(0)
  moments = list(MOMENTS) * 2
  rng.shuffle(moments)
  for moment in moments:
    begun = (killed / folder.CONFIG).exists()
    arguments = ["--resume", str(killed)] if begun else [*options, "--out", str(killed)]
    assert leg(arguments, moment, rng.uniform(0, LONGEST)), f"it ended before: {moment}"
  leg(["--resume", str(killed)])
  print("killed during", ", ".join(moments))


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2:])
