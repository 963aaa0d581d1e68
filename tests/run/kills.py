"""python tests/run/kills.py FOLDER KILLS OPTIONS...: a run that is killed so often, and then ends.

The first kill comes before anything was saved, the others after the first row and the first
checkpoint were written. At last the terminal of the run is closed, which stops it, and it is
resumed to its end. The run is left in FOLDER; the last line names the moments of the kills.
"""

import fcntl
import os
import pty
import random
import select
import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import forks

from wayjax.results.folder import CHECKPOINTS, CONFIG, ROWS
from wayjax.results.writer import RunWriter
from wayjax.run import measure
from wayjax.tuning import chunk, groups, program
from wayjax.tuning.checkpoint import FILES, Checkpoints

MOMENTS = {
  "compile": (program, "compile_group"),
  "step": (chunk, "_next_stop"),  # called right before each dispatch
  "checkpoint": (Checkpoints, "save"),
  "evaluation": (measure.Measure, "__call__"),
  "row writing": (RunWriter, "append_rows"),
}
ANY_TIME = "any time"
groups.PROGRAM_POSITIONS["cpu"] = 0  # as in `conftest.py`
LONGEST = dict.fromkeys(MOMENTS, 0.05) | {ANY_TIME: 1.5}  # seconds from it to the kill


def start(
  arguments: list[str], moment: str, prepare: Callable[[], None] = lambda: None
) -> tuple[int, int]:
  """Runs wayjax in a process of its own; returns its id, and a pipe that tells of the moment."""
  told, tell = os.pipe()

  def announce_and_prepare():
    for name, owner in MOMENTS.items():
      announce(*owner, tell, moment in (name, ANY_TIME))
    prepare()

  child = forks.start(arguments, prepare=announce_and_prepare)
  os.close(tell)
  return child, told


def announce(owner, name: str, pipe: int, wanted: bool) -> None:
  """Makes a function say when it begins."""
  original = getattr(owner, name)

  def announced(*args, **kwargs):
    if wanted:
      os.write(pipe, b"!")
    return original(*args, **kwargs)

  setattr(owner, name, announced)


def wait_for(moment: str, told: int, ready: Callable[[], bool]) -> None:
  """Returns when the moment comes for the first time after a condition holds."""
  while True:
    is_ready = ready()
    if select.select([told], [], [], 0 if not is_ready else None)[0]:
      assert os.read(told, 1) == b"!", f"it ended before: {moment}"
      if is_ready:
        return
    else:
      time.sleep(0.001)


def kill(arguments: list[str], moment: str, delay: float, ready: Callable[[], bool]) -> None:
  """Runs wayjax, and kills it so long after the moment has begun."""
  child, told = start(arguments, moment)
  wait_for(moment, told, ready)
  time.sleep(delay)
  os.kill(child, signal.SIGKILL)
  _, status = os.waitpid(child, 0)
  os.close(told)
  assert os.WIFSIGNALED(status), f"it ended during: {moment}"


def close_terminal(arguments: list[str], moment: str) -> int:
  """Runs wayjax in a terminal, closes that at the moment, and returns its exit code."""
  master, terminal = pty.openpty()

  def take_terminal():
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for stream in range(3):
      os.dup2(terminal, stream)
    os.close(terminal)
    os.close(master)

  child, told = start(arguments, moment, take_terminal)
  os.close(terminal)
  shown = b""
  while not select.select([told], [], [], 0)[0]:  # what it shows must be read, or it would wait
    if select.select([master], [], [], 0.01)[0]:
      shown += os.read(master, 2**16)
  assert os.read(told, 1) == b"!", f"it ended before: {moment}"
  assert shown
  os.close(master)
  _, status = os.waitpid(child, 0)
  os.close(told)
  return os.waitstatus_to_exitcode(status)


def main(folder: Path, kills: int, options: list[str]) -> None:
  def begun() -> bool:
    files = [folder / CHECKPOINTS / file for file in FILES]
    rows = folder / ROWS
    return rows.exists() and b"\n" in rows.read_bytes() and any(map(Path.exists, files))

  rng = random.Random(0)
  moments = [*MOMENTS, *MOMENTS, *[ANY_TIME] * (kills - 2 * len(MOMENTS))]
  rng.shuffle(moments)
  resume = ["--resume", str(folder)]
  for number, moment in enumerate(moments):
    arguments = resume if (folder / CONFIG).exists() else [*options, "--out", str(folder)]
    delay = rng.uniform(0, LONGEST[moment])
    kill(arguments, moment, delay, begun if number else lambda: True)
  assert close_terminal(resume, "step") == 128 + signal.SIGHUP
  _, status = os.waitpid(forks.start(resume), 0)
  assert status == 0, "the last leg failed"
  print("killed during", ", ".join(moments))


if __name__ == "__main__":
  main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
