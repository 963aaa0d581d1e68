"""Which members train together, in what order, and that those of one program read alike rows."""

import dataclasses

import numpy as np
import pytest
import tiny
from tuning.sweeps import LONG, SHORT, TOKEN, examples, members_of

from wayjax.data import packing
from wayjax.tuning import groups
from wayjax.tuning.batches import RowSize
from wayjax.tuning.decisions import Decision, Decisions
from wayjax.tuning.groups import by_length, make_groups
from wayjax.tuning.settings import TrainSettings

SETTINGS = TrainSettings(steps=45, batch_size=4)


def make(members, settings=SETTINGS, decisions=None, rows=None):
  rows = rows or examples()
  tokens = packing.training_tokens(rows)
  return make_groups(members, rows, tokens, settings, decisions or Decisions(), "cpu")


def held_by(members, constraint):
  return [dataclasses.replace(member, constraint=constraint) for member in members]


def test_shorter_prompts_come_first_and_constraints_apart(lm):
  long, short = members_of(lm, (LONG,)), members_of(lm, (SHORT, TOKEN))
  members = [*long, *held_by(long, "ball"), *held_by(short, "ball"), *short]
  lengths = by_length(members)
  assert list(lengths) == [(8, "ball"), (8, "c-dist"), (24, "c-dist"), (24, "ball")]
  assert sum(map(len, lengths.values())) == len(members)
  for (padded, constraint), alike in lengths.items():
    assert {(packing.round_up(m.prompt_tokens, 8), m.constraint) for m in alike} == {
      (padded, constraint)
    }
  found = make(members)
  assert [(group.padded, group.constraint) for group in found] == [
    *[(8, "ball")] * 2,  # four members of each seed
    *[(8, "c-dist")] * 2,
    (24, "c-dist"),  # two members of each seed
    (24, "ball"),
  ]


def test_every_member_is_in_one_group_and_knows_how_many_come_before(lm):
  members = members_of(lm, (LONG, SHORT, TOKEN), seeds=(1, 2, 3))
  found = make(members)
  assert sorted(member.key for group in found for member in group.members) == sorted(
    member.key for member in members
  )
  before = 0
  for group in found:
    assert group.before == before
    before += len(group.members)


def test_seeds_with_many_members_train_on_their_own(lm):
  many, few = members_of(lm, (SHORT, TOKEN)), members_of(lm, (LONG,))
  *alone, together = make([*many, *few])
  assert [group.schedule.seeds for group in alone] == [(1,), (2,)]
  assert [{member.seed for member in group.members} for group in alone] == [{1}, {2}]
  assert together.schedule.seeds == (1, 2)
  assert {member.seed for member in together.members} == {1, 2}


def test_groups_of_one_length_have_one_program(lm):
  rows = tiny.examples(np.random.default_rng(0), range(1, 40))
  members = members_of(lm, (SHORT, TOKEN), gammas=(0.0, 0.1, 0.3), seeds=(1, 2))[:-1]
  found = make(members, TrainSettings(steps=200, batch_size=4), rows=rows)
  assert [len(group.members) for group in found] == [6, 5]
  assert [group.largest for group in found] == [6, 6]
  assert len({group.schedule.sizes for group in found}) == 1
  assert len(found[0].schedule.sizes) > 1
  assert len({group.schedule.per_dispatch for group in found}) == 1
  assert np.any(found[0].schedule.batches_TxNxB != found[1].schedule.batches_TxNxB)


def test_sizes_that_were_decided_before_stay(lm):
  sizes = (RowSize(24, 12, 16), RowSize(40, 12, 16))
  decided = Decisions([Decision(8, 0, 2, False, sizes), Decision(24, 0, 2, False, sizes, "ball")])
  short, long = make(members_of(lm, (LONG, SHORT)), decisions=decided)
  assert [size.text for size in short.schedule.sizes] == [24, 40]
  assert [size.text for size in long.schedule.sizes] != [24, 40]  # decided for another constraint


@pytest.mark.parametrize(
  ("steps", "eval_every", "per_dispatch"), [(45, 0, 20), (7, 0, 7), (45, 10, 10), (45, 30, 20)]
)
def test_a_dispatch_is_as_long_as_is_useful(lm, steps, eval_every, per_dispatch):
  settings = TrainSettings(steps=steps, batch_size=4, eval_every=eval_every)
  (group,) = make(members_of(lm), settings)
  assert groups.STEPS_PER_DISPATCH == 20
  assert group.schedule.per_dispatch == per_dispatch
