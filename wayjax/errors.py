"""The one error that wayjax raises for a wrong input."""


class WayjaxError(Exception):
  """A wrong input, described in one sentence: what is wrong, where, and what to do.

  The command line prints it without a traceback and exits with code 2. It is a single line whatever
  the files it quotes contain: unprintable characters appear as Python escapes them.
  """

  def __init__(self, message: str):
    super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


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


def shortened(text: str, longest: int = 200) -> str:
  """A text for a sentence that quotes it, cut where it is longer than that many characters."""
  return text if len(text) <= longest else text[: longest - 1] + "…"
