"""What steps read: the order of examples, and row sizes that waste little."""

import itertools

import numpy as np
import pytest
import tiny
from forall import forall
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from wayjax.data import packing
from wayjax.data.encoding import encode
from wayjax.data.examples import load_data
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.tuning.batches import (
  MOST_SIZES,
  choose_seeds,
  choose_sizes,
  make_schedules,
  training_batches,
)


def test_an_epoch_is_a_permutation_cut_into_full_batches(rng):
  encoded = tiny.examples(rng, [1] * 11)
  batches = training_batches(encoded, 3, seed=5, steps=range(9))
  for epoch in (batches[0:3], batches[3:6], batches[6:9]):
    assert len(set(epoch.ravel())) == 9
  assert not np.array_equal(batches[0:3], batches[3:6])
  np.testing.assert_array_equal(
    training_batches(encoded, 3, seed=5, steps=range(4, 7)), batches[4:7]
  )
  assert not np.array_equal(training_batches(encoded, 3, 6, range(9)), batches)


def test_fewer_rows_than_a_batch_make_one_batch_of_all(rng):
  encoded = tiny.examples(rng, [1] * 5)
  batches = training_batches(encoded, 8, seed=1, steps=range(4))
  assert batches.shape == (4, 5)
  assert all(sorted(batch) == [0, 1, 2, 3, 4] for batch in batches.tolist())


def make(encoded, steps, seeds=(1, 10, 100), batch=8, **options):
  tokens = packing.training_tokens(encoded)
  options = {"per_dispatch": 20, "multiple": 16, **options}
  return make_schedules(encoded, tokens, batch, [seeds], steps, **options)[0]


def waste(needs, sizes):
  return sum(min(size for size in sizes if size >= need) - need for need in needs)


@forall(60, needs=st.lists(st.integers(1, 12), min_size=1, max_size=30), most=st.integers(1, 4))
def test_no_set_of_as_many_sizes_wastes_less(needs, most):
  sizes = choose_sizes(np.array(needs), most)
  assert sizes == sorted(set(sizes))
  assert len(sizes) <= most
  assert max(sizes) == max(needs)
  best = min(
    waste(needs, others)
    for others in itertools.combinations(sorted(set(needs)), len(sizes))
    if max(others) == max(needs)
  )
  assert waste(needs, sizes) == best


def test_a_step_takes_the_smallest_size_that_holds_it(rng):
  encoded = tiny.examples(rng, rng.integers(1, 60, size=300))
  schedule = make(encoded, 400)
  lengths = packing.training_tokens(encoded).lengths_N[schedule.batches_TxNxB]
  need_T = lengths.sum(-1).max(1)
  texts = np.array([size.text for size in schedule.sizes])
  assert 1 < len(texts) <= MOST_SIZES
  assert np.all(texts[schedule.size_T] >= need_T)
  smaller = schedule.size_T > 0
  assert np.all(texts[schedule.size_T[smaller] - 1] < need_T[smaller])
  for i, size in enumerate(schedule.sizes):
    assert size.text % 16 == 0
    assert size.reach == packing.reach_of(lengths[schedule.size_T == i])
  assert schedule.useful_share(20, 24) == pytest.approx(
    (lengths.sum(-1).mean() + 20) / (texts[schedule.size_T].mean() + 24)
  )


def test_short_runs_have_one_size(rng):
  assert len(make(tiny.examples(rng, rng.integers(1, 60, size=300)), 49).sizes) == 1


def test_a_dispatch_skips_what_lies_past_its_end(rng):
  schedule = make(tiny.examples(rng, rng.integers(1, 60, size=300)), 45)
  steps, sizes, batches = schedule.dispatch(40, 43)
  assert steps.tolist() == list(range(40, 60))
  assert np.all(sizes[:3] == schedule.size_T[40:43])
  assert np.all(sizes[3:] == len(schedule.sizes))
  np.testing.assert_array_equal(batches[:3], schedule.batches_TxNxB[40:43])


@pytest.mark.parametrize("name", ["sst2", "sst5", "agnews", "trec", "subj"])
def test_the_papers_runs_compute_little_padding(shared, name):
  """The paper's run: three seeds, batches of 8, 2,000 steps; a prompt of 20 tokens."""
  tokenizer = GPT2Tokenizer.from_pretrained(shared / "models" / "gpt2-tokenizer")
  task = get_task(name)
  encoded = encode(tokenizer, task, load_data(task, shared / "data").train)
  tokens = packing.training_tokens(encoded)
  padded = packing.round_up(20, packing.PROMPT_MULTIPLE)
  for seed_sets, least in (([(1, 10, 100)], 0.85), ([(1,), (10,), (100,)], 0.88)):
    schedules = make_schedules(encoded, tokens, 8, seed_sets, 2000, per_dispatch=20, multiple=8)
    assert len({schedule.sizes for schedule in schedules}) == 1
    assert min(schedule.useful_share(20, padded) for schedule in schedules) >= least


def test_seeds_with_enough_members_train_on_their_own():
  few, many = {1: 2, 10: 2}, {10: 4, 1: 5}
  assert choose_seeds(few) == [(1, 10)]
  assert choose_seeds(many) == [(1,), (10,)]


def test_row_sizes_that_do_not_suit_the_batches_are_refused(rng):
  encoded = tiny.examples(rng, rng.integers(1, 60, size=300))
  sizes = make(encoded, 400).sizes
  assert make(encoded, 400, sizes=sizes).sizes == sizes
  first, *_, last = sizes
  for others in (
    (last._replace(text=10**12),),  # too large for anything
    (*sizes[:-1], last._replace(text=10**12)),
    sizes[:-1],  # too small for some step
    (first._replace(text=1), *sizes),  # never taken
    (*sizes, last),
    sizes[::-1],
  ):
    with pytest.raises(
      WayjaxError, match=r"decided on do not suit its batches: its decisions\.json"
    ):
      make(encoded, 400, sizes=others)


def test_rows_with_the_prompt_are_multiples_and_earlier_sizes_are_kept(rng):
  encoded = tiny.examples(rng, rng.integers(3, 30, size=60).tolist())
  found = make(encoded, 100, multiple=128, counted=24)
  assert {(size.text + 24) % 128 for size in found.sizes} == {0}
  earlier = make(encoded, 100, multiple=64)
  again = make(encoded, 100, multiple=128, counted=24, sizes=earlier.sizes)
  assert again.sizes == earlier.sizes
  np.testing.assert_array_equal(again.size_T, earlier.size_T)
