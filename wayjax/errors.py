"""The one error that wayjax raises for a wrong input."""


class WayjaxError(Exception):
  """A wrong input, said in one sentence: what is wrong, where, and what to do.

  The command line prints it without a traceback and exits with code 2.
  """
