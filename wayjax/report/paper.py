"""The paper's own numbers, which stand beside ours, and the kinds of texts it tunes towards."""

import re

from wayjax import demo
from wayjax.data.targets import OTHER

MODEL = "GPT-2 large"

# Table 2, means over 62 targets and three seeds at gamma 0.01: prompt F1 and relative drop.
TABLE_2 = {
  "sst2": (0.981, 0.006),
  "sst5": (0.942, 0.020),
  "agnews": (0.974, 0.008),
  "subj": (0.959, 0.015),
  "trec": (0.861, 0.023),
}
GAMMA = 0.01

# Figure 5: of these gammas one is chosen for each text of this group.
FIGURE_5_GAMMAS = (0.01, 0.005, 0.003)
FIGURE_5_GROUP = "pile"

_LENGTH = re.compile(r"(?:pile|demo)-(\d+)")
_TRUE_GROUPS = ("true", demo.TRUE)
_OTHER_GROUPS = (OTHER, demo.OTHER)


def length_of(group: str) -> int | None:
  """The prompt length that a group of targets is for; None for other groups."""
  match = _LENGTH.fullmatch(group)
  return int(match[1]) if match else None


def has_set_length(row: dict) -> bool:
  """Whether a row's target is of a group of one length."""
  return length_of(row["target_group"]) is not None


def describes_task(row: dict) -> bool:
  """Whether a row's target is a true description of its task."""
  group, name = row["target_group"], row["target_name"]
  return group in _TRUE_GROUPS or (group, name) == (demo.NAME, "true")


def describes_other_task(row: dict) -> bool:
  """Whether a row's target is of a group of true descriptions of other tasks."""
  return row["target_group"] in _OTHER_GROUPS


def is_any_text(row: dict) -> bool:
  """Whether a row's target is a text like any other: no description, and not of a set length."""
  return not (describes_task(row) or describes_other_task(row) or has_set_length(row))
