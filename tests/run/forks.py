"""Runs of wayjax in forks of one process, which imports everything once and computes nothing."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# What a run imports when it needs it, all before the first fork.
import datasets  # noqa: F401
import nltk.stem  # noqa: F401
from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

from wayjax import run
from wayjax.run import display, pipeline, request  # noqa: F401


def start(
  arguments: list[str], log: Path | None = None, prepare: Callable[[], None] = lambda: None
) -> int:
  """Starts a run in a process of its own, and returns its id.

  Args:
    arguments: the command line.
    log: where its output goes; None means to the same place as this process's.
    prepare: what the new process does first.
  """
  child = os.fork()
  if child:
    return child
  code = 1
  try:
    if log:
      file = os.open(log, os.O_WRONLY | os.O_CREAT)
      os.dup2(file, sys.stdout.fileno())
      os.dup2(file, sys.stderr.fileno())
    prepare()
    code = run.main(arguments)
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    os._exit(code)  # what follows the fork is the first process's
