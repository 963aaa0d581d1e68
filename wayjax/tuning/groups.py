"""Which members of a sweep train together: those of one padded length that read the same rows."""

import collections
from typing import NamedTuple

import numpy as np

from wayjax.data.encoding import EncodedExamples
from wayjax.data.frame import NO_FRAME, Frame
from wayjax.data.packing import PROMPT_MULTIPLE, TrainingTokens, counted, round_up, row_multiple
from wayjax.errors import WayjaxError
from wayjax.readers.fooling import Fooling
from wayjax.tuning.batches import Schedule, choose_seeds, choose_sizes, make_schedules
from wayjax.tuning.decisions import Decisions
from wayjax.tuning.members import Member
from wayjax.tuning.settings import TrainSettings

STEPS_PER_DISPATCH = 20
# Positions that are trained in the time that a program takes to compile: GPT-2 small on two cores,
# GPT-2 large on an H100 and on a TPU v5e.
PROGRAM_POSITIONS = {"cpu": 20_000, "gpu": 10_000_000, "tpu": 3_000_000}


class Group(NamedTuple):
  """Members that one program can train at once, or a chunk of them.

  Attributes:
    members: the members, all of one constraint.
    padded: P that their prompts are padded to.
    schedule: what their steps read.
    before: members of the whole sweep that come before them.
    largest: members of the largest group that shares their program.
    frame: what stands around their prompts.
    paddings: what the prompts of the whole sweep are padded to.
  """

  members: list[Member]
  padded: int
  schedule: Schedule
  before: int = 0
  largest: int = 1
  frame: Frame = NO_FRAME
  paddings: tuple[int, ...] = ()

  @property
  def constraint(self) -> str:
    """How the members' prompts are held to their targets."""
    return self.members[0].constraint

  @property
  def fooling(self) -> Fooling | None:
    """The reader that they are to fool."""
    return self.members[0].fooling

  @property
  def keys(self) -> list[str]:
    """The members' names in a run folder."""
    return [member.key for member in self.members]

  def chunk(self, start: int, size: int) -> "Group":
    """At most `size` of the members, from number `start` on."""
    return self._replace(members=self.members[start : start + size], before=self.before + start)


def make_groups(
  members: list[Member],
  examples: EncodedExamples,
  tokens: TrainingTokens,
  settings: TrainSettings,
  decisions: Decisions,
  platform: str,
) -> list[Group]:
  """Divides a sweep into groups; a function of its arguments alone.

  Args:
    members: the whole sweep.
    examples: encoded training examples.
    tokens: the same, laid out.
    settings: what all members share.
    decisions: what earlier runs of the sweep decided, the row sizes among it.
    platform: what they train on, whose row sizes theirs are.

  Returns:
    Groups in the order in which they train, shortest prompts first. Those of one padded length and
    constraint follow each other, have the same row sizes, and so the same program.

  Raises:
    WayjaxError: what was decided does not suit the sweep.
  """
  paddings = choose_paddings(members, settings.steps, platform, decisions)
  per_dispatch = min(STEPS_PER_DISPATCH, settings.steps, settings.eval_every or settings.steps)
  groups, before = [], 0
  for (padded, constraint), alike in by_length(members, paddings).items():
    decision = decisions.find(padded, constraint, before)
    schedules = make_schedules(
      examples,
      tokens,
      settings.batch_size,
      choose_seeds(collections.Counter(member.seed for member in alike)),
      settings.steps,
      per_dispatch=per_dispatch,
      multiple=row_multiple(platform),
      counted=counted(platform, padded + examples.frame.size),
      sizes=decision and decision.sizes,
    )
    parts = [
      [member for member in alike if member.seed in schedule.seeds] for schedule in schedules
    ]
    largest = max(map(len, parts))
    for part, schedule in zip(parts, schedules, strict=True):
      groups.append(Group(part, padded, schedule, before, largest, examples.frame, paddings))
      before += len(part)
  return groups


def choose_paddings(
  members: list[Member], steps: int, platform: str, decisions: Decisions
) -> tuple[int, ...]:
  """What the prompts of a sweep are padded to: a further length costs a program, and saves padding.

  Args:
    members: the whole sweep.
    steps: that each of them trains.
    platform: what they train on.
    decisions: what earlier runs of the sweep decided, the paddings among it.

  Returns:
    Multiples of 8, shortest first; a prompt takes the smallest that holds it.

  Raises:
    WayjaxError: what was decided does not suit these members.
  """
  needs = np.array([round_up(member.prompt_tokens, PROMPT_MULTIPLE) for member in members])
  if decisions.paddings is None:
    programs = len({member.constraint for member in members})
    each = programs * PROGRAM_POSITIONS.get(platform, 0) / steps
    return tuple(choose_sizes(needs, len(np.unique(needs)), each=each))
  paddings = decisions.paddings or tuple(map(int, np.unique(needs)))
  if not set(paddings) <= set(needs) or paddings[-1] != needs.max():
    raise WayjaxError(
      "the lengths that the run folder decided to pad prompts to do not suit its members: its "
      "decisions.json is damaged"
    )
  return paddings


def by_length(
  members: list[Member], paddings: tuple[int, ...]
) -> dict[tuple[int, str], list[Member]]:
  """Members by padded prompt length, shortest first, and by constraint."""
  found = collections.defaultdict(list)
  for member in members:
    padded = next(padded for padded in paddings if padded >= member.prompt_tokens)
    found[padded, member.constraint].append(member)
  return dict(sorted(found.items(), key=lambda item: item[0][0]))
