"""The dispatches of a chunk: every step once, what is told of them, and where they can stop."""

import chex
import jax
import numpy as np
import pytest
from tuning.sweeps import STEPS, alone, chunks_of, members_of, train, vectors

from wayjax.tuning import chunk, groups
from wayjax.tuning.callbacks import Callbacks, Recovery, Stopped
from wayjax.tuning.checkpoint import Saved

LONG = 1e6  # seconds that a dispatch may take


class Kept:
  """Checkpoints that are kept in memory."""

  def __init__(self, due=False):
    self._due, self.saved, self.waited = due, {}, 0

  def due(self):
    return self._due

  def save(self, number, state, *, members, step, size):
    self.saved[number] = (tuple(members), step, size, jax.tree.map(np.array, state))

  def wait(self):
    self.waited += 1

  def restore(self, like, *, members, size):
    for _, (of, step, length, state) in sorted(self.saved.items(), reverse=True):
      if (of, length) == (tuple(members), size):
        return Saved(jax.tree.map(lambda x, y: y.astype(x.dtype), like, state), step)
    return None


def loops(lm):
  return {member.key: alone(member) for member in members_of(lm)}


@pytest.mark.parametrize(
  ("per_dispatch", "eval_every", "seconds", "ends", "windows"),
  [
    pytest.param(20, 0, LONG, [1, 20], [0, 20], id="one-step-then-all"),
    pytest.param(20, 7, LONG, [1, 7, 14, 20], [0, 7, 7, 6], id="as-long-as-between-evaluations"),
    pytest.param(7, 10, LONG, [1, 7, 10, 14, 20], [0, 7, 3, 4, 6], id="cut-by-evaluations"),
    pytest.param(
      *(7, 0, 0, [*range(1, 21)], [*[0] * 6, 7, *[0] * 6, 7, *[0] * 5, 6]),
      id="a-step-on-a-slow-device",
    ),
  ],
)
def test_every_step_is_done_once_whatever_the_dispatches(
  lm, monkeypatch, per_dispatch, eval_every, seconds, ends, windows
):
  monkeypatch.setattr(groups, "STEPS_PER_DISPATCH", per_dispatch)
  monkeypatch.setattr(chunk, "DISPATCH_SECONDS", seconds)
  told, trained, members = [], [], members_of(lm)

  def watch(at):
    told.append(at)
    trained.append(at.members_trained)

  tuned = train(lm, members, Callbacks(on_progress=watch), eval_every=eval_every)
  assert [at.step for at in told] == ends
  assert [at.window for at in told] == windows
  for at in told:
    assert at.chunk == members
    assert at.steps == STEPS
    chex.assert_shape(jax.tree.leaves(at.losses_MxT), (4, at.step))
  assert told[-1].meter.member_steps == told[-1].meter.member_steps_total == 4 * STEPS
  assert trained == [0] * (len(ends) - 1) + [4]
  assert told[-1].memory > 0
  chex.assert_trees_all_equal(told[-1].prompts(), list(vectors(tuned).values()))
  for key, by_loop in loops(lm).items():
    found = tuned[key]
    chex.assert_shape((found.cross_entropy_T, found.c_dist_T), (STEPS,))
    np.testing.assert_allclose(found.cross_entropy_T, by_loop.cross_entropy_T, rtol=1e-3)
    np.testing.assert_allclose(
      found.prompt.vectors_PxD, by_loop.prompts_TxPxD[-1], rtol=0, atol=1e-3
    )


def test_a_run_of_one_step_is_one_dispatch(lm):
  told = []
  tuned = train(lm, members_of(lm), Callbacks(on_progress=told.append), steps=1, eval_every=1)
  assert [at.step for at in told] == [1]
  for key, by_loop in loops(lm).items():
    found = tuned[key]
    chex.assert_shape((found.cross_entropy_T, found.c_dist_T), (1,))
    # The first step of a longer run is the same: the rate has not begun to fall.
    np.testing.assert_allclose(
      found.prompt.vectors_PxD, by_loop.prompts_TxPxD[0], rtol=0, atol=1e-3
    )


class TestStop:
  """A chunk that is stopped loses nothing, and goes on to the bits of one that was not."""

  @pytest.fixture(autouse=True)
  def short_dispatches(self, monkeypatch):
    monkeypatch.setattr(groups, "STEPS_PER_DISPATCH", 7)
    monkeypatch.setattr(chunk, "DISPATCH_SECONDS", LONG)

  def stopped(self, lm, kept, after=2):
    """Stops after so many dispatches; where each chunk began, and where its dispatches ended."""
    starts, ends = [], []
    callbacks = Callbacks(
      on_start=lambda members, step: starts.append((len(members), step)),
      on_progress=lambda at: ends.append(at.step),
      stop=lambda: len(ends) >= after,
    )
    with pytest.raises(Stopped):
      train(lm, members_of(lm), callbacks, Recovery(checkpoints=kept))
    return starts, ends

  def test_what_was_saved_goes_on_to_the_same_bits(self, lm):
    kept, members = Kept(), members_of(lm)
    assert self.stopped(lm, kept) == ([(4, 0)], [1, 7])
    assert kept.waited == 1
    (number,) = kept.saved
    assert kept.saved[number][:3] == (tuple(member.key for member in members), 7, 4)
    assert not np.any(kept.saved[number][3].losses_MxT.cross_entropy[:, 7:])
    starts, told = [], []
    callbacks = Callbacks(
      on_start=lambda members, step: starts.append((len(members), step)), on_progress=told.append
    )
    resumed = train(lm, members, callbacks, Recovery(checkpoints=kept))
    whole = train(lm, members)
    assert starts == [(4, 7)]
    assert [(at.step, at.window) for at in told] == [(8, 0), (14, 7), (20, 6)]
    assert told[-1].meter.member_steps == 4 * STEPS
    assert told[-1].meter.member_steps_timed == 4 * 13  # the rate is that of this run alone
    chex.assert_trees_all_equal(vectors(resumed), vectors(whole))
    for key, found in resumed.items():
      chex.assert_trees_all_equal(found.cross_entropy_T, whole[key].cross_entropy_T)
      chex.assert_trees_all_equal(found.c_dist_T, whole[key].c_dist_T)

  def test_without_checkpoints_it_stops_as_well(self, lm):
    assert self.stopped(lm, None) == ([(4, 0)], [1, 7])

  def test_a_chunk_that_has_ended_is_yielded_before_the_sweep_stops(self, lm):
    ends, members = [], members_of(lm)
    callbacks = Callbacks(on_progress=lambda at: ends.append(at.step), stop=lambda: STEPS in ends)
    chunks = chunks_of(lm, members, callbacks, members_at_once=2)
    assert [tuned.member for tuned in next(chunks)] == members[:2]
    with pytest.raises(Stopped):
      next(chunks)
    assert ends == [1, 7, 14, 20]

  def test_it_saves_when_it_is_time_and_at_the_end(self, lm):
    for due, steps in ((False, [20]), (True, [1, 7, 14, 20])):
      kept = Kept(due)
      train(lm, members_of(lm), recovery=Recovery(checkpoints=kept))
      assert [saved[1] for saved in kept.saved.values()] == steps
      assert list(kept.saved) == sorted(kept.saved)

  def test_numbers_grow_from_chunk_to_chunk(self, lm):
    kept = Kept()
    train(lm, members_of(lm), recovery=Recovery(checkpoints=kept), members_at_once=2)
    assert list(kept.saved) == [20, 60]
