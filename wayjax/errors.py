"""The one error that wayjax raises for a wrong input."""


class WayjaxError(Exception):
  """A wrong input, said in one sentence: what is wrong, where, and what to do.

  The command line prints it without a traceback and exits with code 2. It is one line whatever the
  files that it quotes hold: characters that cannot be printed stand in it as Python escapes them.
  """

  def __init__(self, message: str):
    super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))
