"""The command line: its options are the fields of RunConfig."""

import argparse
import dataclasses
import shlex
import sys

from wayjax import demo
from wayjax.config import RunConfig, flag
from wayjax.errors import WayjaxError

# When a run goes on, what no number depends on; rows and weights are compared with what they were.
MAY_CHANGE = (
  *("model", "data_dir", "checkpoint_every", "resume", "dry_run", "log_to"),
  *("distributed", "coordinator", "processes", "process_id"),
)
_OF_NO_NUMBER = (
  "out",
  "members_at_once",
  *(name for name in MAY_CHANGE if name not in ("model", "data_dir")),
)


class _Parser(argparse.ArgumentParser):
  def error(self, message: str):
    raise WayjaxError(message + " (see --help)")


def parse_args(argv: list[str] | None = None) -> RunConfig:
  """Reads the command line.

  Args:
    argv: arguments; None means the process's own.

  Returns:
    A valid configuration.

  Raises:
    WayjaxError: an unknown option, or a wrong value.
  """
  parser = _Parser(
    prog="python -m wayjax.run",
    description="Finds soft prompts that solve a task and read as texts of your choice.",
    allow_abbrev=False,
  )
  groups = {}
  for field in dataclasses.fields(RunConfig):
    details = dict(field.metadata)
    name, help, unset = details.pop("group"), details.pop("help"), details.pop("unset", None)
    if name not in groups:
      groups[name] = parser.add_argument_group(name)
    if choices := details.pop("choices", None):
      details["metavar"] = "{" + ",".join(choices) + "}"
    default = unset or field.default
    if isinstance(default, tuple):
      default = " ".join(map(str, default))
    if default is not None and details.get("action") != "store_true":
      help = f"{help} [{default}]"
    groups[name].add_argument(flag(field), help=help, default=argparse.SUPPRESS, **details)
  values = _with_tuples(vars(parser.parse_args(argv)))
  if values.get("demo") and "resume" not in values:
    values = demo.DEFAULTS | values
  config = _resumed(**values) if values.get("resume") else RunConfig(**values)
  config.validate()
  return config


def write_any_text() -> None:
  """Lets stdout and stderr replace what a terminal cannot write: targets hold any characters."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="replace")


def to_command(config: dict) -> str:
  """The command line of a configuration that a run folder holds, without its folders.

  Args:
    config: values of RunConfig's fields by name; what stands beside them is not looked at.
  """
  usual = {field.name: field.default for field in dataclasses.fields(RunConfig)}
  if config.get("demo"):
    usual |= demo.DEFAULTS
  words = ["python -m wayjax.run"]
  for field in dataclasses.fields(RunConfig):
    value = config.get(field.name, field.default)
    if isinstance(value, list):
      value = tuple(value)
    if field.name in _OF_NO_NUMBER or value == usual[field.name]:
      continue
    if field.name == "shard":
      value = "{}/{}".format(*value)
    if field.metadata.get("action") == "store_true":
      words.append(flag(field))
    elif field.metadata.get("action") == "append":
      # With a sign of equality, for a text may begin with a dash.
      words += [f"{flag(field)}={shlex.quote(one)}" for one in value]
    else:
      values = value if isinstance(value, tuple) else (value,)
      texts = (str(one).removesuffix(".0" if isinstance(one, float) else "") for one in values)
      words.append(" ".join([flag(field), *map(shlex.quote, texts)]))
  return " ".join(words)


def _with_tuples(values: dict) -> dict:
  return {
    name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
  }


def _resumed(resume: str, **changes) -> RunConfig:
  """The configuration of a run folder, with what may change.

  Raises:
    WayjaxError: it is no run folder, or an option would change the run's numbers.
  """
  from wayjax import results  # imported here: most command lines have no use for it

  names = [field.name for field in dataclasses.fields(RunConfig)]
  stored = results.read_config(resume)
  if missing := [name for name in names if name not in stored and name not in MAY_CHANGE]:
    raise WayjaxError(
      f"{resume} was written by a wayjax that knew no --{missing[0].replace('_', '-')}: it cannot "
      "be resumed"
    )
  stored = _with_tuples({name: stored[name] for name in names if name in stored})
  for name, value in changes.items():
    if name not in MAY_CHANGE and value != stored[name]:
      raise WayjaxError(
        f"--{name.replace('_', '-')} cannot change when a run goes on: it is "
        f"{_words(stored[name])} in {resume}, not {_words(value)}"
      )
  return RunConfig(**{**stored, **changes, "out": resume, "resume": resume})


def _words(value) -> str:
  return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
