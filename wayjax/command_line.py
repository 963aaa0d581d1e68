"""The command line: its options are the fields of RunConfig."""

import argparse
import contextlib
import dataclasses
import shlex

from wayjax import demo
from wayjax.config import AUTO, RunConfig, make_config, options
from wayjax.errors import WayjaxError, reason
from wayjax.options import flag


class Parser(argparse.ArgumentParser):
  """A parser whose errors are sentences; without abbreviations, which other options may break."""

  def __init__(self, **details):
    super().__init__(allow_abbrev=False, **details)

  def error(self, message: str):
    raise WayjaxError(message + " (see --help)")


def parse_args(argv: list[str] | None = None) -> RunConfig:
  """Reads the command line of a new run.

  Args:
    argv: arguments; None means the process's own.

  Returns:
    A valid configuration.

  Raises:
    WayjaxError: an unknown option, or a wrong value.
  """
  return new_config(parse_options(argv))


def parse_options(argv: list[str] | None = None) -> dict:
  """The options that a command line names, and nothing that it does not.

  Args:
    argv: arguments; None means the process's own.

  Returns:
    Values by field name.

  Raises:
    WayjaxError: an unknown option, or a value of the wrong type.
  """
  parser = Parser(
    prog="python -m wayjax.run",
    description="Finds soft prompts that solve a task and read as texts of your choice.",
  )
  groups = {}
  for field in options():
    group = field.metadata["group"]
    if group not in groups:
      groups[group] = parser.add_argument_group(group)
    details = {name: field.metadata[name] for name in _ARGPARSE if name in field.metadata}
    if choices := field.metadata.get("choices"):
      details["metavar"] = "{" + ",".join(choices) + "}"
    groups[group].add_argument(flag(field), help=_help(field), default=argparse.SUPPRESS, **details)
  return _with_tuples(vars(parser.parse_args(argv)))


_ARGPARSE = ("action", "metavar", "nargs", "type")


def _help(field: dataclasses.Field) -> str:
  default = field.metadata.get("unset") or field.default
  if isinstance(default, tuple):
    default = " ".join(map(str, default))
  if default is None or field.metadata.get("action") == "store_true":
    return field.metadata["help"]
  return f"{field.metadata['help']} [{default}]"


def new_config(given: dict) -> RunConfig:
  """The configuration of a new run.

  Args:
    given: the options that were named, by field name.

  Raises:
    WayjaxError: a wrong value.
  """
  return make_config((demo.DEFAULTS if given.get("demo") else {}) | given)


def resumed_config(given: dict, stored: dict) -> RunConfig:
  """The configuration of a run that is resumed: what its folder holds, and what may change.

  Args:
    given: the options that were named, `resume` among them, by field name.
    stored: the folder's `config.json`.

  Raises:
    WayjaxError: an option would change the run's numbers, or the folder lacks one.
  """
  folder = given["resume"]
  before = _stored_values(folder, stored)
  for field in options():
    if field.name not in given or field.metadata["may_change"]:
      continue
    if given[field.name] != before[field.name]:
      raise WayjaxError(
        f"{flag(field)} cannot change when a run is resumed: it is {_words(before[field.name])} in "
        f"{folder}, not {_words(given[field.name])}"
      )
  values = {**before, **given, "out": folder}
  with _undamaged(folder):
    if values["precision"] == AUTO:  # on another device it may be another, and rows would be mixed
      values["precision"] = stored.get("resolved", {}).get("precision", AUTO)
    return make_config(values)


def stored_config(folder: str, stored: dict) -> RunConfig:
  """The configuration that a run folder holds, as it was asked for.

  Args:
    folder: the folder.
    stored: its `config.json`.

  Raises:
    WayjaxError: the folder lacks an option, or a value is wrong.
  """
  values = _stored_values(folder, stored)
  with _undamaged(folder):
    return make_config(values)


def _stored_values(folder: str, stored: dict) -> dict:
  """The values of options in a run folder; what it lacks has its default, where that is right."""
  values = {}
  for field in options():
    if field.name in stored:
      values[field.name] = stored[field.name]
    elif "absent" in field.metadata:
      values[field.name] = field.metadata["absent"]
    elif not field.metadata["may_change"]:
      raise WayjaxError(
        f"{folder} was written by a version of wayjax without {flag(field)}: it cannot be resumed"
      )
  return _with_tuples(values)


@contextlib.contextmanager
def _undamaged(folder: str):
  """Values that are not from a command line may be anything, and fail in any way."""
  try:
    yield
  except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
    raise WayjaxError(f"{folder}/config.json is damaged: {reason(error)}") from error


def to_command(config: dict) -> str:
  """The command line of a configuration, without the places where the work was done.

  Args:
    config: values of RunConfig's fields by name, as a run folder holds them; other keys are
      ignored.
  """
  usual = {field.name: field.default for field in options()}
  if config.get("demo"):
    usual |= demo.DEFAULTS
  words = ["python -m wayjax.run"]
  for field in options():
    value = config.get(field.name, field.default)
    if isinstance(value, list):
      value = tuple(value)
    if value == usual[field.name] or not field.metadata["in_command"]:
      continue
    if to_word := field.metadata.get("to_word"):
      value = to_word(value)
    if field.metadata.get("action") == "store_true":
      words.append(flag(field))
    elif field.metadata.get("action") == "append":
      # With an equals sign, because a text may begin with a dash.
      words += [f"{flag(field)}={shlex.quote(text)}" for text in value]
    else:
      values = value if isinstance(value, tuple) else (value,)
      if isinstance(value, str) and value.startswith("-"):
        words.append(f"{flag(field)}={shlex.quote(value)}")
        continue
      texts = (str(item).removesuffix(".0" if isinstance(item, float) else "") for item in values)
      words.append(" ".join([flag(field), *map(shlex.quote, texts)]))
  return " ".join(words)


def _with_tuples(values: dict) -> dict:
  """JSON and argparse have lists where RunConfig has tuples."""
  return {
    name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
  }


def _words(value) -> str:
  return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
