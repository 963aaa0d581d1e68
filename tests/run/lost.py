"""python tests/run/lost.py FOLDER OPTIONS...: two processes, of which the second is killed.

It prints the exit code of the first, and the seconds that it took to end; what the two showed is in
FOLDER/run-0 and FOLDER/run-1.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pairs

from wayjax.results.folder import METRICS


def main(folder: Path, options: list[str]) -> None:
  out = folder / "run"
  first, second = pairs.start([*options, "--out", str(out)], out)
  while not (out / METRICS).exists() and os.waitpid(first, os.WNOHANG) == (0, 0):
    time.sleep(0.05)
  os.kill(second, signal.SIGKILL)
  killed = time.monotonic()
  os.waitpid(second, 0)
  _, status = os.waitpid(first, 0)
  print(os.waitstatus_to_exitcode(status), time.monotonic() - killed)


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2:])
