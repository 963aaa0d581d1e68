"""Which members train together, in what order, and that those of one program read alike rows."""

import dataclasses
import itertools

import numpy as np
import pytest
import tiny
from tuning.sweeps import LONG, SHORT, TOKEN, examples, members_of

from wayjax.data import packing
from wayjax.errors import WayjaxError
from wayjax.tuning import groups
from wayjax.tuning.batches import RowSize
from wayjax.tuning.decisions import Decision, Decisions
from wayjax.tuning.groups import by_length, choose_paddings, make_groups
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
  lengths = by_length(members, (8, 24))
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


class TestPaddings:
  """As many lengths as are worth a program each, and those of an earlier run where it has some."""

  @pytest.fixture
  def members(self, lm):
    one = members_of(lm, (SHORT,), gammas=(0.0,), seeds=(1,))[0]
    return [
      dataclasses.replace(one, init_PxD=np.zeros((size, 32), np.float32))
      for size in (5, 6, 7, 8, 9, 16, 17, 30, 31, 100)
    ]

  def test_a_program_is_worth_what_it_saves(self, members, monkeypatch):
    def paddings(cost, steps=10, of=members):
      monkeypatch.setitem(groups.PROGRAM_POSITIONS, "cpu", cost)
      return choose_paddings(of, steps, "cpu", Decisions())

    assert paddings(0) == (8, 16, 24, 32, 104)
    # By 24 only one prompt saves 8 positions in each of 10 steps.
    assert paddings(80) == paddings(81) == (8, 16, 32, 104)
    assert paddings(79) == (8, 16, 24, 32, 104)
    assert paddings(79 * 5, steps=50) == (8, 16, 24, 32, 104)
    assert paddings(10**9) == (104,)
    # Each constraint has programs of its own.
    both = [*members, *held_by(members[:1], "ball")]
    assert paddings(40, of=both) == (8, 16, 32, 104)

  def test_no_choice_computes_less(self, members, monkeypatch):
    needs = np.array([packing.round_up(member.prompt_tokens, 8) for member in members])
    for cost in (30, 200, 700, 3000):
      monkeypatch.setitem(groups.PROGRAM_POSITIONS, "cpu", cost)
      chosen = choose_paddings(members, 10, "cpu", Decisions())

      def total(paddings, cost=cost):
        padded = [next(size for size in paddings if size >= need) for need in needs]
        return 10 * sum(padded) + cost * len(paddings)

      others = [
        (*some, 104)
        for count in range(5)
        for some in itertools.combinations((8, 16, 24, 32), count)
      ]
      assert total(chosen) == min(map(total, others))

  def test_what_was_decided_stays(self, members):
    def paddings(*decided):
      known = [Decision(8, 0, 1, False, (RowSize(8, 4, 0),), paddings=decided)]
      return choose_paddings(members, 10, "cpu", Decisions(known))

    assert paddings(16, 104) == (16, 104)
    assert paddings() == (8, 16, 24, 32, 104)  # of a version that always took multiples
    for wrong in ((16, 32), (16, 104, 10**9), (20, 104)):
      with pytest.raises(WayjaxError, match=r"do not suit its members: .* damaged"):
        paddings(*wrong)

  def test_groups_and_what_is_decided_of_them_have_them(self, members, monkeypatch):
    monkeypatch.setitem(groups.PROGRAM_POSITIONS, "cpu", 10**9)
    (group,) = make(members)
    assert (group.padded, group.paddings, len(group.members)) == (104, (104,), 10)
