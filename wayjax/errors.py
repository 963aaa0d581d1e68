"""The one error that wayjax raises for a wrong input."""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_LONGEST = 2_000  # characters of a message
_Result = TypeVar("_Result")


class WayjaxError(Exception):
  """A wrong input, described in one sentence: what is wrong, where, and what to do.

  The command line prints it without a traceback and exits with code 2. It is a single line whatever
  the files it quotes contain: unprintable characters appear as Python escapes them, and a long
  message is cut in its middle, because what to do stands at its end.
  """

  def __init__(self, message: str):
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in _cut(message))
    super().__init__(_cut(shown))


def reason(error: BaseException, longest: int = 200) -> str:
  """The first line of an error's message, for a sentence that quotes it.

  Args:
    error: any exception; an `OSError` is quoted without its number and path.
    longest: characters to keep.

  Returns:
    The line, or the error's type where it has no message.
  """
  text = getattr(error, "strerror", None) or str(error)
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return (lines or [type(error).__name__])[0][:longest]


@contextlib.contextmanager
def in_one_sentence(what: str, consequence: str = ""):
  """Turns whatever another library raises into a WayjaxError.

  Args:
    what: how its sentence begins.
    consequence: how it ends.
  """
  try:
    yield
  except WayjaxError:
    raise
  except BaseException as error:
    # A panic in Rust is not an Exception.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
      raise
    why = reason(error)
    raise WayjaxError(
      f"{what} ({why}); {consequence}" if consequence else f"{what}: {why}"
    ) from error


def in_time(seconds: float, work: Callable[[], _Result], otherwise: str) -> _Result:
  """What a function of another library returns, or raises; it may never end.

  Args:
    seconds: how long it may take.
    work: the function.
    otherwise: the sentence where it takes longer.

  Raises:
    WayjaxError: it does.
  """
  found = concurrent.futures.Future()

  def run() -> None:
    try:
      found.set_result(work())
    except BaseException as error:  # raised below
      found.set_exception(error)

  # Nothing stops a thread, but a process may end without a daemon's.
  threading.Thread(target=run, daemon=True).start()
  if concurrent.futures.wait([found], seconds).not_done:
    raise WayjaxError(otherwise)
  return found.result()


def _cut(text: str) -> str:
  if len(text) <= _LONGEST:
    return text
  end = _LONGEST // 4
  start = _LONGEST - end - len(" ... ")
  return f"{text[:start]} ... {text[-end:]}"


def shortened(text: str, longest: int = 200) -> str:
  """A text for a sentence that quotes it, cut where it is longer than that many characters."""
  return text if len(text) <= longest else text[: longest - 1] + "…"
