"""What a run folder's files hold: the types of dataclasses, checked when the files are read.

A folder outlives a version of wayjax, so a field may be missing, and there may be others. Whoever
cannot do without a field asks for it by `need`.
"""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Iterable

from wayjax.config import RunConfig
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError, shortened
from wayjax.visible import is_unicode

_LARGEST = 1e300  # sums of such numbers are still finite
_SHOWN = 60  # characters of a value in a message
_hints = functools.cache(typing.get_type_hints)  # a file has many lines of one type


class Resolved(typing.TypedDict, total=False):
  """What a configuration was resolved to, as far as it is read back."""

  targets: list[str]
  target_texts: list[str]
  max_length: int
  before: str
  after: str
  reply: str
  precision: str
  device: str
  parameters: int
  model_revision: str | None
  model_sha256: str
  weights_sha256: str
  tokenizer_sha256: str
  data_revision: str | None
  data_sha256: str
  train_rows: int
  dev_rows: int
  evaluation_rows: int
  majority: float
  versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
  """A run folder's configuration: the options, and what they were resolved to."""

  task: Task | None = None
  resolved: Resolved | None = None


class CurvePoint(typing.TypedDict, total=False):
  """A point of a member's training curve."""

  prompt_key: str
  step: int
  cross_entropy: float | None
  c_dist: float | None
  reader_nll: float | None
  dev_accuracy: float | None


class Wall(typing.TypedDict, total=False):
  """The nearest wall of the cell that a position is to be in: the token behind it, and how far."""

  token: str | None
  distance: float | None
  relative: float | None


class NearestTokens(typing.TypedDict, total=False):
  """A member's target tokens, and of every position the nearest tokens and the nearest wall."""

  prompt_key: str
  target_tokens: list[str]
  nearest: list[list[tuple[str, float | None]]]
  walls: list[Wall] | None


class Decided(typing.TypedDict):
  """What was decided by measuring; `tuning.decisions.Decision` is what each of it is."""

  decisions: list[dict]


def parse(content: bytes, kind: type, where: str) -> dict:
  """Reads a JSON object.

  Args:
    content: its bytes.
    kind: a dataclass or typed dictionary, of whose fields it has any.
    where: what to call it.

  Raises:
    WayjaxError: it is not a JSON object, or a field is of another type.
  """
  try:
    record = json.loads(content.decode("utf-8"), parse_constant=_refuse)
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"{where} is damaged: {error}") from error
  if not isinstance(record, dict):
    raise WayjaxError(f"{where} is damaged: it is not a JSON object")
  return check(record, kind, where)


def check(record: dict, kind: type, where: str) -> dict:
  """Returns a record whose fields have the types of a dataclass or typed dictionary.

  Raises:
    WayjaxError: naming the field that has not.
  """
  for name, hint in _hints(kind).items():
    if name not in record or _fits(record[name], hint):
      continue
    if isinstance(record[name], dict) and (inner := _record_in(hint)):
      check(record[name], inner, where)  # it names the field within
    shown = shortened(json.dumps(record[name]), _SHOWN)
    raise WayjaxError(f"{where} is damaged: {name} cannot be {shown}")
  return record


def need(record: dict, names: Iterable[str], where: str) -> dict:
  """Returns a record that has some fields; raises WayjaxError where one is missing."""
  for name in names:
    if name not in record:
      raise WayjaxError(f"{where} is damaged: it lacks {name}")
  return record


def _refuse(constant: str):
  raise ValueError(f"{constant} is not JSON")


def _is_record(hint) -> bool:
  """Whether a type has named fields: a dataclass, a typed dictionary or a named tuple."""
  return dataclasses.is_dataclass(hint) or typing.is_typeddict(hint) or hasattr(hint, "_fields")


def _record_in(hint) -> type | None:
  return next((part for part in (hint, *typing.get_args(hint)) if _is_record(part)), None)


def _fits(value, hint) -> bool:
  """Whether a value that was read from JSON has a type."""
  origin, inner = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return any(_fits(value, part) for part in inner)
  if origin is dict:
    return isinstance(value, dict) and all(
      _fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items()
    )
  if origin is list or (origin is tuple and inner[-1] is Ellipsis):
    return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
  if origin is tuple:
    alike = isinstance(value, list | tuple) and len(value) == len(inner)
    return alike and all(map(_fits, value, inner))
  if _is_record(hint):
    hints = _hints(hint)
    return isinstance(value, dict) and all(
      _fits(item, hints[name]) for name, item in value.items() if name in hints
    )
  if hint is float:
    return type(value) in (int, float) and abs(value) < _LARGEST  # so it is no NaN either
  if hint is int:
    return type(value) is int and abs(value) < 2**63
  if hint is str:
    return isinstance(value, str) and is_unicode(value)
  return isinstance(value, hint)
