"""Which members a sweep has, and what each starts from."""

from unittest import mock

import numpy as np
import pytest
from forall import forall
from hypothesis import strategies as st

from wayjax.constraints import CONSTRAINTS, Constraint
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.tuning.members import initial_prompt, make_members, take_shard

TARGETS = [Target("text", "t1", "read me"), Target("ni", "t2", "or me")]


def test_members_are_targets_times_gamma_times_seeds(lm):
  members = make_members(lm, TARGETS, (0.0, 0.01), (1, 10))
  assert [member.key for member in members[:5]] == [
    "text/t1/gamma=0/seed=1",
    "text/t1/gamma=0/seed=10",
    "text/t1/gamma=0.01/seed=1",
    "text/t1/gamma=0.01/seed=10",
    "ni/t2/gamma=0/seed=1",
  ]
  assert len({member.key for member in members}) == 8


def test_constraints_stand_between_targets_and_gammas(lm, monkeypatch):
  ball = Constraint(penalty=lambda *_: 0.0, prepare=lambda ids, cells: cells.table_VxD[ids, 0])
  monkeypatch.setitem(CONSTRAINTS, "ball", ball)
  members = make_members(lm, TARGETS, (0.0, 0.01), (1,), constraints=("ball", "c-dist"))
  assert [member.key for member in members[:5]] == [
    "text/t1/gamma=0/seed=1/constraint=ball",
    "text/t1/gamma=0.01/seed=1/constraint=ball",
    "text/t1/gamma=0/seed=1",
    "text/t1/gamma=0.01/seed=1",
    "ni/t2/gamma=0/seed=1/constraint=ball",
  ]
  assert members[2].held == ()
  for member in members[:2]:
    np.testing.assert_array_equal(member.held, member.target_PxD[:, 0])
    np.testing.assert_array_equal(member.init_PxD, members[2].init_PxD)


def test_every_member_starts_at_its_target(lm):
  for member in make_members(lm, TARGETS, (0.0, 0.01), (1,)):
    assert lm.tokenizer.decode(member.target_ids.tolist()) == member.target.text
    np.testing.assert_array_equal(member.init_PxD, np.asarray(lm.table_VxD)[member.target_ids])
    np.testing.assert_array_equal(member.init_PxD, member.target_PxD)


@pytest.mark.parametrize("init", ["vocab", "random"])
def test_other_starts_depend_on_target_and_seed_but_not_on_gamma(lm, init):
  members = make_members(lm, TARGETS, (0.0, 0.01), (1, 10), init=init)
  first, other_seed, other_gamma, _, other_target, *_ = members
  np.testing.assert_array_equal(first.init_PxD, other_gamma.init_PxD)
  assert np.any(first.init_PxD != other_seed.init_PxD)
  assert np.any(first.init_PxD[:5] != other_target.init_PxD)
  assert first.init_PxD.shape == first.target_PxD.shape


def test_random_starts_have_the_tables_scale(lm):
  table = np.asarray(lm.table_VxD)
  drawn = initial_prompt(table, np.array([1]), "random", 4000, 0)
  assert drawn.std() == pytest.approx(table.std(), rel=0.02)
  assert drawn.dtype == np.float32
  rows = {row.tobytes() for row in table}
  assert all(row.tobytes() in rows for row in initial_prompt(table, np.array([1]), "vocab", 50, 0))


@forall(
  80,
  rows=st.integers(1, 3000),
  width=st.integers(1, 97),
  block=st.sampled_from([128, 1000]),  # NumPy halves no fewer numbers than the first
  seed=st.integers(0, 1000),
)
def test_random_starts_are_numpys_to_the_last_bit(rows, width, block, seed):
  table = np.random.default_rng(seed).normal(0.3, 1, (rows, width)).astype(np.float32)
  noise_PxD = np.random.default_rng([5, 1]).standard_normal((4, width))
  expected = (table.mean() + table.std() * noise_PxD).astype(np.float32)
  with mock.patch("wayjax.tuning.members._BLOCK", block):
    np.testing.assert_array_equal(initial_prompt(table, np.array([1]), "random", 4, 5), expected)


def test_another_prompt_length_needs_an_unconstrained_prompt(lm):
  (member,) = make_members(lm, TARGETS[:1], (0.0,), (1,), init="vocab", prompt_tokens=20)
  assert member.prompt_tokens == 20
  assert not member.has_c_dist
  with pytest.raises(WayjaxError, match="does not go with --init target"):
    make_members(lm, TARGETS[:1], (0.0,), (1,), prompt_tokens=20)
  with pytest.raises(WayjaxError, match="does not go with a gamma above 0"):
    make_members(lm, TARGETS[:1], (0.0, 0.1), (1,), init="vocab", prompt_tokens=20)
  assert len(make_members(lm, TARGETS[:1], (0.1,), (1,), prompt_tokens=7)) == 1


def test_another_prompt_length_goes_with_no_other_constraint(lm, monkeypatch):
  monkeypatch.setitem(CONSTRAINTS, "ball", Constraint(penalty=lambda *_: 0.0))
  options = {"init": "vocab", "prompt_tokens": 20, "constraints": ("c-dist", "ball")}
  with pytest.raises(WayjaxError, match="does not go with --constraint c-dist ball"):
    make_members(lm, TARGETS[:1], (0.0,), (1,), **options)


def test_a_target_that_exceeds_the_context_is_refused(lm):
  long = [Target("text", "long", "x" * 100)]
  assert make_members(lm, long, (0.0,), (1,), longest_example=60)
  with pytest.raises(WayjaxError, match=r"'long' has 100 tokens.* 61 exceed .* 160 positions"):
    make_members(lm, long, (0.0,), (1,), longest_example=61)


def test_the_target_must_fit_too_whatever_the_prompts_length(lm):
  long = [Target("text", "long", "x" * 100)]
  with pytest.raises(WayjaxError, match="'long' has 100 tokens"):
    make_members(lm, long, (0.0,), (1,), init="vocab", prompt_tokens=5, longest_example=61)
  with pytest.raises(WayjaxError, match=r"--prompt-tokens asks for 2000 tokens.*ask for fewer"):
    make_members(lm, TARGETS, (0.0,), (1,), init="vocab", prompt_tokens=2000)


def test_close_gammas_have_keys_of_their_own(lm):
  members = make_members(lm, TARGETS[:1], (0.1234561, 0.1234562, 1e-5, 2.0), (1,))
  assert len({member.key for member in members}) == 4
  assert members[3].key == "text/t1/gamma=2/seed=1"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"gammas": (-1.0,)}, "gamma must be"),
    ({"gammas": (float("nan"),)}, "gamma must be"),
    ({"gammas": 0.01}, "gamma must be a list of values, not 0.01"),
    ({"seeds": (-1,)}, "seeds must be whole numbers of at least 0, not -1"),
    ({"seeds": (1.5,)}, "seeds must be whole numbers of at least 0, not 1.5"),
    ({"seeds": 1}, "seeds must be a list of values, not 1"),
    ({"seeds": "12"}, "seeds must be a list of values, not '12'"),
    ({"constraints": "c-dist"}, "constraints must be a list of values, not 'c-dist'"),
    ({"prompt_tokens": 2.5}, "prompt_tokens must be a whole number of at least 1, not 2.5"),
    ({"prompt_tokens": "4"}, "prompt_tokens must be a whole number of at least 1, not 4"),
    ({"gammas": ()}, "at least one"),
    ({"targets": []}, "at least one"),
    ({"constraints": ()}, "at least one"),
    ({"constraints": ("bal",)}, "unknown constraint 'bal': choose one of c-dist"),
    ({"init": "targt"}, "init must be one of target, vocab, random, not 'targt'"),
  ],
)
def test_wrong_values_are_refused(lm, options, message):
  arguments = {"targets": TARGETS, "gammas": (0.0,), "seeds": (1,), **options}
  with pytest.raises(WayjaxError, match=message):
    make_members(lm, **arguments)


def test_gammas_and_seeds_may_be_arrays(lm):
  members = make_members(lm, TARGETS[:1], np.array([0, 0.01]), np.arange(2))
  expected = make_members(lm, TARGETS[:1], (0.0, 0.01), (0, 1))
  assert [member.key for member in members] == [member.key for member in expected]


class TestShard:
  def test_parts_are_disjoint_and_make_up_the_whole(self, lm):
    members = make_members(lm, TARGETS, (0.0, 0.01), (1, 10))
    parts = [take_shard(members, i, 3) for i in range(3)]
    assert sorted(member.key for part in parts for member in part) == sorted(
      member.key for member in members
    )
    for part in parts:  # the gammas of a target and a seed stay together
      pairs = [(member.target, member.seed) for member in part]
      assert all(pairs.count(pair) == 2 for pair in pairs)

  def test_as_many_parts_as_seeds_have_a_seed_each(self, lm):
    members = make_members(lm, TARGETS, (0.0,), (1, 10))
    assert [{member.seed for member in take_shard(members, i, 2)} for i in range(2)] == [{1}, {10}]

  def test_an_empty_part_is_refused(self, lm):
    members = make_members(lm, TARGETS, (0.0, 0.01), (1, 10))
    with pytest.raises(WayjaxError, match="--shard 4/5 is empty: the sweep has 4 pairs"):
      take_shard(members, 4, 5)


def test_no_start_is_drawn_from_rows_that_belong_to_no_token():
  table = np.arange(20, dtype=np.float32)[:, None]
  unused = np.array([0, 3, *range(5, 20)])
  drawn = initial_prompt(table, np.array([1]), "vocab", 200, 0, unused)
  assert set(drawn[:, 0]) == {1, 2, 4}
  whole = initial_prompt(table, np.array([1]), "vocab", 200, 0)
  np.testing.assert_array_equal(
    whole, initial_prompt(table, np.array([1]), "vocab", 200, 0, unused_U=None)
  )
  assert len(set(whole[:, 0])) == 20
