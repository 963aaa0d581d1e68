"""python tests/run/pairs.py FOLDER OPTIONS...: a sweep by two processes of one device each.

It leaves FOLDER/both, which nothing cut off, and FOLDER/cut, where a process was killed and two
others resumed the run; what each process showed is in FOLDER/both-0 and so on.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import forks

from wayjax.results.folder import METRICS, read_run


def start(arguments: list[str], logs: Path) -> list[int]:
  """The same command in two processes."""
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    _, port = listener.getsockname()
  where = ["--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
  return [
    forks.start([*arguments, *where, "--process-id", str(i)], logs.with_name(f"{logs.name}-{i}"))
    for i in range(2)
  ]


def wait(children: list[int]) -> None:
  for child in children:
    _, status = os.waitpid(child, 0)
    assert status == 0


def main(folder: Path, options: list[str]) -> None:
  wait(start([*options, "--out", str(folder / "both")], folder / "both"))
  cut = folder / "cut"
  first, second = start([*options, "--out", str(cut)], cut)
  while not (cut / METRICS).exists() and os.waitpid(first, os.WNOHANG) == (0, 0):
    time.sleep(0.005)
  for child in (second, first):  # the first would wait until it misses the second's heartbeat
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
  rows = [len(read_run(path).rows) for path in (cut, folder / "both")]
  assert rows[0] < rows[1], "it ended before it was killed"
  wait(start(["--resume", str(cut)], folder / "resumed"))


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2:])
