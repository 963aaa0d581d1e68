"""Decisions are found again by those they hold for, and come back from a run folder."""

import json

import pytest
from forall import JSON, forall, outcome
from hypothesis import example
from hypothesis import strategies as st

from wayjax.errors import WayjaxError
from wayjax.tuning.batches import RowSize
from wayjax.tuning.decisions import Decision, Decisions

SIZES = (RowSize(24, 10, 10), RowSize(32, 10, 12))
FIRST = Decision(8, 0, 4, False, SIZES)
# As version 0.1.0 wrote it before there were constraints.
EARLIER = {
  "padded": 24,
  "after": 6,
  "members_at_once": 2,
  "checkpointed": True,
  "sizes": [{"text": 24, "scored": 10, "reach": 10}],
}


def test_the_newest_decision_that_holds_is_found():
  decisions = Decisions([FIRST])
  halved = Decision(8, 4, 2, False, SIZES)
  ball = Decision(8, 0, 3, True, SIZES, "ball")
  decisions.add(halved)
  decisions.add(ball)
  assert decisions.find(8, "c-dist", 0) is FIRST
  assert decisions.find(8, "c-dist", 3) is FIRST
  assert decisions.find(8, "c-dist", 4) is halved
  assert decisions.find(8, "ball", 9) is ball
  assert decisions.find(16, "c-dist", 9) is None
  assert Decisions([halved]).find(8, "c-dist", 3) is None


def test_a_decision_for_the_same_members_replaces_the_one_before():
  decisions = Decisions([FIRST])
  fewer = Decision(8, 0, 2, False, SIZES)
  decisions.add(fewer)
  assert decisions.find(8, "c-dist", 0) is fewer


def test_all_decisions_are_told_after_each_new_one():
  told = []
  known = [FIRST]
  decisions = Decisions(known, lambda every: told.append(list(every)))
  new = Decision(24, 4, 2, False, SIZES)
  decisions.add(new)
  assert told == [[FIRST, new]]
  assert known == [FIRST]  # what was handed in stays as it was


PADDED = Decision(16, 0, 4, False, SIZES, paddings=(16, 40))


@pytest.mark.parametrize("decision", [FIRST, Decision(24, 9, 1, True, SIZES[:1], "ball"), PADDED])
def test_a_decision_comes_back_from_json(decision):
  assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


def test_a_folder_of_an_earlier_version_is_read():
  decision = Decision.from_json(EARLIER)
  assert decision == Decision(24, 6, 2, True, (RowSize(24, 10, 10),), "c-dist")
  assert decision.to_json() == {**EARLIER, "constraint": "c-dist"}  # which reads it in its turn


@pytest.mark.parametrize(
  "stored",
  [
    None,
    [],
    "text",
    {},
    {k: v for k, v in EARLIER.items() if k != "checkpointed"},
    {k: v for k, v in EARLIER.items() if k != "sizes"},
    {k: v for k, v in EARLIER.items() if k != "after"},
    {**EARLIER, "other": 1},
    {**EARLIER, "remat": True},
    {**EARLIER, "sizes": None},
    {**EARLIER, "sizes": [{"text": 24}]},
    {**EARLIER, "sizes": [24, 10, 10]},
    {**EARLIER, "sizes": "abc"},
    {**EARLIER, "paddings": None},
    {**EARLIER, "paddings": [16, "24"]},
    {**EARLIER, "paddings": [24, 16]},
    {**EARLIER, "paddings": [24, 24]},
    {**EARLIER, "paddings": [0, 24]},
  ],
)
def test_damage_is_one_sentence(stored):
  with pytest.raises(WayjaxError, match="decision is damaged"):
    Decision.from_json(stored)


@forall(60, name=st.sampled_from([*EARLIER, "constraint", "paddings", "other"]), value=JSON)
@example(name="members_at_once", value="2")
@example(name="members_at_once", value=0)
@example(name="sizes", value=[])
@example(name="sizes", value=[{"text": "24", "scored": 10, "reach": 10}])
@example(name="constraint", value=["c-dist"])
def test_a_decision_of_any_value(name, value):
  decision = outcome(Decision.from_json, {**EARLIER, name: value})
  if decision is not None:
    assert decision.members_at_once >= 1
    assert isinstance(decision.remat, bool)
    assert isinstance(decision.constraint, str)
    assert decision.sizes
    assert all(number >= 0 for size in decision.sizes for number in size)
    assert list(decision.paddings) == sorted(set(decision.paddings))


def test_the_paddings_of_a_sweep_are_those_decided_on_first():
  assert Decisions().paddings is None
  assert Decisions([FIRST, PADDED]).paddings == ()
  assert Decisions([PADDED]).paddings == (16, 40)
