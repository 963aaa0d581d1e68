"""SIGTERM, Ctrl-C and a terminal that is closed: a run stops where nothing is lost."""

import logging
import os
import signal
import threading
from pathlib import Path

_log = logging.getLogger("wayjax")

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, _HANGUP) if number is not None]


class RunStopped(Exception):
  """A run stopped because it was asked to; its state has been saved.

  Attributes:
    folder: the run folder.
    signal: what asked for it.
  """

  def __init__(self, folder: Path | str, number: int):
    super().__init__(folder, number)
    self.folder, self.signal = folder, number


class StopRequest:
  """Turns SIGTERM, SIGHUP and the first Ctrl-C into a request; a second Ctrl-C interrupts at once.

  A SIGHUP that is ignored, as under `nohup`, stays ignored.

  Attributes:
    signal: which of them came; None while none has.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self._before: dict[signal.Signals, object] = {}
    self._terminals: list[int] = []

  def __bool__(self) -> bool:
    return self.signal is not None

  def __enter__(self) -> "StopRequest":
    if threading.current_thread() is threading.main_thread():
      self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
      for number in _SIGNALS:
        if number != _HANGUP or signal.getsignal(number) != signal.SIG_IGN:
          self._before[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *exception) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _receive(self, number: int, _) -> None:
    if self.signal is not None and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.signal = signal.Signals(number)
    self._leave_closed_terminals()
    _log.info("stopping when these steps are done and saved; Ctrl-C stops at once")

  def _leave_closed_terminals(self) -> None:
    """Turns output to a terminal that was closed away: writing there fails, and saving must not."""
    closed = [stream for stream in self._terminals if not os.isatty(stream)]
    for stream in closed:
      nowhere = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nowhere, stream)
      os.close(nowhere)
