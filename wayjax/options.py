"""What an option is: a field of RunConfig with a role, a line in `--help` and a rule for its value.

Whatever lists options derives the list from their roles: what a report never averages over, what
its page shows, what the runs of an experiment share, what may change when a run is resumed, and
the command shown beside a table.
"""

import argparse
import dataclasses
import enum
import math
import numbers
import os
from collections.abc import Iterable

from wayjax.errors import WayjaxError

LARGEST = 2**63 - 1  # whole numbers with many more digits would be written, and could not be read


class Role(enum.Enum):
  """What an option decides.

  SETTING: the numbers of a member; members that differ in one are never averaged.
  AXIS: which members a sweep has.
  PLACE: where and how the work is done; no number depends on it.
  """

  SETTING = "setting"
  AXIS = "axis"
  PLACE = "place"


SETTING, AXIS, PLACE = Role


def option(
  default,
  group: str,
  role: Role,
  help: str,
  *,
  recorded: tuple[str, ...] | None = None,
  may_change: bool | None = None,
  in_command: bool | None = None,
  **details,
):
  """A dataclass field that is also a command-line option.

  Args:
    default: its default.
    group: its heading in `--help`.
    role: what it decides.
    help: its description in `--help`.
    recorded: the names under which a run folder records what a setting resolved to, where they
      differ from the option's own; a report groups by these.
    may_change: whether a resumed run may have another value; None means only if it is a place.
    in_command: whether the command beside a table names it; None means unless it is a place.
    **details: `choices`, `least` and `most` restrict its value; `unset` describes a default of None
      in `--help`; `absent` is the value of run folders written before the option existed; `to_word`
      writes a value as the command line reads it. The rest goes to argparse.
  """
  metadata = {
    "group": group,
    "role": role,
    "help": help,
    "recorded": recorded,
    "may_change": role is PLACE if may_change is None else may_change,
    "in_command": role is not PLACE if in_command is None else in_command,
    **details,
  }
  return dataclasses.field(default=default, metadata=metadata)


def flag(field: dataclasses.Field) -> str:
  """A field's name on the command line."""
  return "--" + field.name.replace("_", "-")


def path(text: str) -> str:
  """A path of a command line; a shell leaves the `~` of `--out=~/runs` to the program.

  Raises:
    argparse.ArgumentTypeError: an empty path, or a home folder that is not known; taken as they
      are, they would name the current folder and a folder `~`.
  """
  if not text:  # as of a shell's variable that is not set
    raise argparse.ArgumentTypeError("it is empty: name a file or folder, or leave the option out")
  expanded = os.path.expanduser(text)
  if expanded.startswith("~"):
    home = expanded.split("/")[0]
    raise argparse.ArgumentTypeError(
      f"there is no home folder {home} here: write ./{home} for a file of that name"
    )
  return expanded


def recorded_names(field: dataclasses.Field) -> tuple[str, ...]:
  """The names under which a run folder records what a setting resolved to."""
  names = field.metadata["recorded"]
  return (field.name,) if names is None else names


def require_choice(name: str, value, choices: tuple) -> None:
  """Raises WayjaxError where a value is not one of its choices."""
  if value not in choices:
    raise WayjaxError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def require_kind(name: str, value, kind: type, what: str) -> None:
  """Raises WayjaxError where an argument is not of its class, or `what` that is for users."""
  if not isinstance(value, kind):
    raise WayjaxError(f"{name} must be {what}, not a value of type {type(value).__name__}")


_DEFAULT = object()


def check_value(field: dataclasses.Field, value, name: str | None = None, *, unless=_DEFAULT):
  """Checks a value, or each of several, against its option's rule.

  Args:
    field: the option.
    value: its value.
    name: what to call it; None means its name on the command line.
    unless: a value that needs no check, such as None; the option's default unless given.

  Returns:
    The value, numbers of NumPy and JAX as Python's; several as a tuple.

  Raises:
    WayjaxError: the value is not one of the choices, or is out of range.
  """
  name, rule = name or flag(field), field.metadata
  several = isinstance(field.default, tuple)
  if several and (isinstance(value, str) or not isinstance(value, Iterable)):
    raise WayjaxError(f"{name} must be a list of values, not {value!r}")
  values = tuple(map(_plain, value if several else (value,)))
  if not several and values[0] == (field.default if unless is _DEFAULT else unless):
    return values[0]
  for item in values:
    if choices := rule.get("choices"):
      require_choice(name, item, choices)
    if (least := rule.get("least")) is None:
      continue
    whole = rule.get("type") is not float
    numeric = isinstance(item, numbers.Integral if whole else numbers.Real)
    if not numeric or not item >= least or item == math.inf:  # also where it is NaN
      kind = ("whole " if whole else "") + ("numbers" if several else "number")
      article = "" if several else "a "
      raise WayjaxError(f"{name} must be {article}{kind} of at least {least}, not {item}")
    most = rule.get("most", LARGEST if whole else math.inf)
    if item > most:
      raise WayjaxError(f"{name} must be at most {most:,}, not {item:,}")
  return values if several else values[0]


def _plain(value):
  """A number of NumPy or JAX as Python's own; anything else as it is."""
  return value.item() if getattr(value, "shape", None) == () else value
