"""SIGTERM and Ctrl-C: a run stops where nothing is lost."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path


class Stopped(Exception):
  """A sweep stopped because it was asked to; its state has been saved.

  Attributes:
    folder: the run folder, where there is one.
    signal: what asked for it.
  """

  folder: Path | None = None
  signal: int = signal.SIGINT


class StopRequest:
  """Turns SIGTERM and the first Ctrl-C into a wish; a second Ctrl-C interrupts at once.

  Args:
    say: shows a line.

  Attributes:
    signal: which of them came; None while none has.
  """

  def __init__(self, say: Callable[[str], None]):
    self.signal: signal.Signals | None = None
    self._say = say
    self._before: dict[signal.Signals, object] = {}

  def __bool__(self) -> bool:
    return self.signal is not None

  def __enter__(self) -> "StopRequest":
    if threading.current_thread() is threading.main_thread():
      for one in (signal.SIGINT, signal.SIGTERM):
        self._before[one] = signal.signal(one, self._receive)
    return self

  def __exit__(self, *exception) -> None:
    for one, handler in self._before.items():
      signal.signal(one, handler)

  def _receive(self, number: int, _) -> None:
    if self.signal is not None and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.signal = signal.Signals(number)
    self._say("stopping when these steps are done and saved; Ctrl-C stops at once")
