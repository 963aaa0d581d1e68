"""Kinds of target texts, by which tables and figures choose their rows."""

import re

from wayjax import demo

_LENGTH = re.compile(r"(?:pile|demo)-(\d+)")
_TRUE_GROUPS = ("true", "demo-true")


def length_of(group: str) -> int | None:
  """The prompt length that a group of targets stands for; None for other groups."""
  match = _LENGTH.fullmatch(group)
  return int(match[1]) if match else None


def has_set_length(row: dict) -> bool:
  """Whether a row's target is of a group of one length."""
  return length_of(row["target_group"]) is not None


def describes_task(row: dict) -> bool:
  """Whether a row's target is a true description of its task."""
  group, name = row["target_group"], row["target_name"]
  return group in _TRUE_GROUPS or (group, name) == (demo.NAME, "true")


def is_any_text(row: dict) -> bool:
  """Whether a row's target is a text like any other: no description, and of no set length."""
  return not describes_task(row) and not has_set_length(row)
