"""How a command ends: whatever a user does or gives, in a sentence and an exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable

from wayjax.errors import WayjaxError, reason

_STOPPED, _UNREAD = 128 + signal.SIGINT, 128 + signal.SIGPIPE  # as shells have it


def exit_code(name: str, command: Callable[[], int], *, stopped: str = "stopped") -> int:
  """Runs a command whose errors and interruptions are sentences on stderr.

  Args:
    name: what its sentences begin with.
    command: what it does; returns an exit code. It imports what takes time, so that a Ctrl-C
      while it does is not a traceback.
    stopped: what is said after a Ctrl-C.

  Returns:
    The command's own exit code; 2 after an error, 130 after a Ctrl-C, 141 where nobody reads the
    output any more.
  """
  write_any_text()
  _have_a_home()
  if signal.getsignal(signal.SIGINT) is _quit:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    try:
      code = command()
    except SystemExit:  # after --help
      _flush()
      raise
    _flush()
    return code
  except WayjaxError as error:
    return _end(f"{name}: error: {error}", 2)
  except (KeyboardInterrupt, ImportError) as error:
    if not _is_interruption(error):
      raise
    return _end(f"{name}: {stopped}", _STOPPED)
  except OSError:
    why = _what_ails_the_output()
    if why is None:
      raise
    if isinstance(why, BrokenPipeError):
      return _end(f"{name}: {stopped}, as nobody reads the output any more", _UNREAD)
    return _end(f"{name}: error: the output cannot be written: {reason(why)}", 2)


def write_any_text() -> None:
  """Makes stdout and stderr replace what a terminal cannot write: targets hold any characters."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="replace")


def _have_a_home() -> None:
  """Names a home for a user that has none, as Docker does: libraries fail where they find none."""
  if os.path.expanduser("~") == "~":
    os.environ["HOME"] = os.sep


def quit_on_ctrl_c() -> None:
  """Lets a Ctrl-C end the process at once until `exit_code` begins; only where Python runs `-m`.

  The first thing that a package does which is run as a command: imports take seconds.
  """
  if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _quit)


def _quit(*_) -> None:
  os._exit(_STOPPED)


def _is_interruption(error: BaseException | None) -> bool:
  """Whether a Ctrl-C is behind an error: a module in C turns it into one of its own."""
  while error is not None and not isinstance(error, KeyboardInterrupt):
    error = error.__cause__ or error.__context__
  return error is not None


def _flush() -> None:
  if sys.stdout is not None:  # as it is where a program was started without one
    sys.stdout.flush()


def _what_ails_the_output() -> OSError | None:
  """Why nothing can be written to stdout; None where something can."""
  try:
    print(flush=True)
  except OSError as error:
    _discard(sys.stdout)
    return error
  return None


def _end(sentence: str, code: int) -> int:
  try:
    print(sentence, file=sys.stderr, flush=True)
  except OSError:
    _discard(sys.stderr)
  return code


def _discard(stream) -> None:
  """Drops what a stream still holds, which Python would try to write again when it ends."""
  with contextlib.suppress(OSError, ValueError):
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
