"""Which members of a sweep train together: those of one prompt length that read the same rows."""

import collections

from wayjax.data.encoding import EncodedExamples
from wayjax.data.packing import PROMPT_MULTIPLE, TrainingTokens, round_up
from wayjax.tuning.batches import choose_seeds, make_schedules
from wayjax.tuning.decisions import Decisions
from wayjax.tuning.members import Member
from wayjax.tuning.program import Group
from wayjax.tuning.settings import TrainSettings

STEPS_PER_DISPATCH = 20


def make_groups(
  members: list[Member],
  examples: EncodedExamples,
  tokens: TrainingTokens,
  settings: TrainSettings,
  decisions: Decisions,
) -> list[Group]:
  """Divides a sweep into groups; a function of its arguments alone.

  Args:
    members: the whole sweep.
    examples: encoded training examples.
    tokens: the same, laid out.
    settings: what all members share.
    decisions: what earlier runs of the sweep decided, the row sizes among it.

  Returns:
    Groups in the order in which they train, shortest prompts first. Those of one length and
    constraint follow each other, have the same row sizes, and so the same program.
  """
  per_dispatch = min(STEPS_PER_DISPATCH, settings.steps, settings.eval_every or settings.steps)
  groups, before = [], 0
  for (padded, constraint), alike in by_length(members).items():
    decision = decisions.find(padded, constraint, before)
    schedules = make_schedules(
      examples,
      tokens,
      settings.batch_size,
      choose_seeds(collections.Counter(member.seed for member in alike)),
      settings.steps,
      per_dispatch=per_dispatch,
      sizes=decision and decision.sizes,
    )
    parts = [
      [member for member in alike if member.seed in schedule.seeds] for schedule in schedules
    ]
    largest = max(map(len, parts))
    for part, schedule in zip(parts, schedules, strict=True):
      groups.append(Group(part, padded, schedule, before, largest, examples.frame))
      before += len(part)
  return groups


def by_length(members: list[Member]) -> dict[tuple[int, str], list[Member]]:
  """Members by padded prompt length, shortest first, and by constraint."""
  found = collections.defaultdict(list)
  for member in members:
    found[round_up(member.prompt_tokens, PROMPT_MULTIPLE), member.constraint].append(member)
  return dict(sorted(found.items(), key=lambda item: item[0][0]))
