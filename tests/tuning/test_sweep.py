"""The sweep: batched equals looped, members do not touch each other, and nothing is wasted."""

import dataclasses
import functools
import gc
import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tuning.sweeps import (
  LONG,
  SHORT,
  STEPS,
  TOKEN,
  alone,
  chunks_of,
  examples,
  group_of,
  members_of,
  rows_of,
  train,
  vectors,
)

from wayjax.config import INITS
from wayjax.constraints import get_constraint
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator
from wayjax.prompts import SoftPrompt
from wayjax.tuning import batches, program, sweep
from wayjax.tuning.callbacks import Callbacks, Recovery
from wayjax.tuning.decisions import Decisions
from wayjax.tuning.step import member_gradient


@pytest.fixture(scope="module")
def standard(lm):
  """The standard sweep, trained."""
  return train(lm, members_of(lm))


def mixed(lm):
  """Two texts of one group: every pair of text, gamma and seed."""
  return [
    member
    for member in members_of(lm, (SHORT, TOKEN))
    if (member.target.text == TOKEN) ^ (member.gamma == 0) ^ (member.seed == 1)
  ]


def test_a_sweep_equals_a_loop_over_its_members(lm):
  members = [*mixed(lm), *members_of(lm, (LONG,))]  # two groups of four
  tuned = train(lm, members)
  assert set(tuned) == {member.key for member in members}
  for member in members:
    by_loop = alone(member)
    found = tuned[member.key]
    prompt_PxD = by_loop.prompts_TxPxD[-1]
    np.testing.assert_allclose(found.prompt.vectors_PxD, prompt_PxD, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.cross_entropy_T, by_loop.cross_entropy_T, rtol=1e-3)
    assert np.abs(prompt_PxD - member.init_PxD).max() > 0.05


def test_what_is_tuned_is_a_soft_prompt_that_knows_its_text(lm, standard):
  for key, tuned in standard.items():
    assert isinstance(tuned.prompt, SoftPrompt)
    assert tuned.prompt.reads_as is tuned.member.target
    assert tuned.prompt.model == lm.name
    assert tuned.prompt.origin == {"key": key}
    assert tuned.diverged_at is None
    assert tuned.wall_seconds > 0


def test_batched_gradients_equal_looped_ones(lm):
  members = mixed(lm)
  group = group_of(members, 16)
  rows = rows_of(group.schedule.batches_TxNxB[0])
  leaves_M = program.stack_leaves(group, 0.01, len(members))
  state_M = program.stack_states(group, STEPS, len(members))
  model = nnx.merge(lm.graphdef, lm.params)

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, 0))
  def gradients(leaves, prompt_PxD):
    row = jax.tree.map(lambda array: jnp.asarray(array)[leaves.seed_index], rows)
    return member_gradient(model, get_constraint("c-dist"), leaves, prompt_PxD, row)[0]

  for member, gradient in zip(members, np.asarray(gradients(leaves_M, state_M.prompt_PxD))):
    by_loop = alone(member).gradients_TxPxD[0]
    real = gradient[-member.prompt_tokens :]
    np.testing.assert_allclose(real, by_loop, rtol=0, atol=1e-5 * np.abs(by_loop).max())
    assert not np.any(gradient[: -member.prompt_tokens])


def test_another_members_gamma_changes_no_bit(lm, standard):
  after = train(lm, members_of(lm, gammas=(0.0, 0.7)))
  kept = [key for key in standard if "gamma=0/" in key]
  assert len(kept) == 2
  for key in kept:
    chex.assert_trees_all_equal(vectors(standard)[key], vectors(after)[key])
  changed = vectors(standard)["text/t7/gamma=0.3/seed=1"]
  assert np.any(changed != vectors(after)["text/t7/gamma=0.7/seed=1"])


def test_chunks_equal_one_program(lm, standard):
  members = members_of(lm)[:3]  # in chunks of two and, beside an idle member, of one
  chunks = list(chunks_of(lm, members, members_at_once=2))
  assert [[tuned.member.key for tuned in chunk] for chunk in chunks] == [
    [member.key for member in members[:2]],
    [members[2].key],
  ]
  for tuned in [tuned for chunk in chunks for tuned in chunk]:
    whole = standard[tuned.member.key]
    chex.assert_trees_all_close(
      tuned.prompt.vectors_PxD, whole.prompt.vectors_PxD, rtol=0, atol=1e-5
    )
    chex.assert_trees_all_close(tuned.cross_entropy_T, whole.cross_entropy_T, rtol=1e-4)


def test_rows_of_several_sizes_equal_rows_of_one(lm, standard, monkeypatch):
  monkeypatch.setattr(batches, "STEPS_PER_SIZE", 20)  # so that 20 steps are worth two
  decisions = Decisions()
  tuned = train(lm, members_of(lm), recovery=Recovery(decisions=decisions))
  assert len(decisions.find(8, "c-dist", 0).sizes) == 2
  chex.assert_trees_all_close(vectors(tuned), vectors(standard), rtol=0, atol=1e-4)


def test_learning_rate_zero_leaves_every_prompt_as_it_was(lm):
  members = [
    *members_of(lm, gammas=(0.3,), seeds=(1,)),
    *members_of(lm, (TOKEN,), gammas=(0.0,), seeds=(2,)),
    *members_of(lm, gammas=(0.0,), seeds=(1,), init="vocab"),
    *members_of(lm, gammas=(0.3,), seeds=(2,), init="random"),
  ]
  assert len({member.init_PxD.tobytes() for member in members}) == len(INITS) + 1
  (chunk,) = chunks_of(lm, members, lr=0.0)
  for tuned, member in zip(chunk, members, strict=True):
    np.testing.assert_array_equal(tuned.prompt.vectors_PxD, member.init_PxD)


def test_a_diverged_member_stops_and_the_others_go_on(lm, standard):
  sound, *others = members_of(lm)
  broken = dataclasses.replace(
    sound,
    target=Target("text", "broken", "no good"),
    init_PxD=sound.init_PxD + np.float32(1e20),  # its c-dist is infinite
    gamma=0.3,
  )
  tuned = train(lm, [broken, *others])
  failed = tuned.pop(broken.key)
  assert failed.diverged_at == 0
  np.testing.assert_array_equal(failed.prompt.vectors_PxD, broken.init_PxD)
  assert len(tuned) == 3
  for key, other in tuned.items():
    assert other.diverged_at is None
    np.testing.assert_array_equal(vectors(tuned)[key], vectors(standard)[key])


def test_a_member_of_an_absurd_learning_rate_diverges_alone(lm, standard, monkeypatch):
  stack_leaves = program.stack_leaves

  def with_one_absurd(*arguments):
    leaves_M = stack_leaves(*arguments)
    absurd = np.arange(len(leaves_M.lr)) == 2
    return leaves_M._replace(lr=np.where(absurd, np.float32(1e30), leaves_M.lr))

  monkeypatch.setattr(program, "stack_leaves", with_one_absurd)
  for i, (key, tuned) in enumerate(train(lm, members_of(lm)).items()):
    if i == 2:
      assert tuned.diverged_at == 1  # the first update is finite, the loss after it is not
      assert np.isfinite(tuned.prompt.vectors_PxD).all()
    else:
      assert tuned.diverged_at is None
      np.testing.assert_array_equal(tuned.prompt.vectors_PxD, vectors(standard)[key])


def test_cross_entropy_falls_and_c_dist_stays_smaller_with_gamma(lm):
  tuned = train(lm, members_of(lm, gammas=(0.0, 10.0)), lr=0.05)
  for seed in (1, 2):
    free, held = (tuned[f"text/t7/gamma={gamma}/seed={seed}"] for gamma in (0, 10))
    assert free.cross_entropy_T[-5:].mean() < free.cross_entropy_T[:5].mean() - 0.1
    assert held.c_dist_T[-1] < 0.5 * free.c_dist_T[-1]


def test_members_that_had_finished_are_not_trained_again(lm, standard):
  members, decisions, told = members_of(lm), Decisions(), []
  watch = Callbacks(on_progress=lambda at: told.append(at.meter.member_steps))
  parts = train(lm, members, recovery=Recovery(decisions=decisions), members_at_once=2)
  finished = frozenset(member.key for member in members[:2])
  again = Recovery(finished=finished, decisions=decisions)
  rest = train(lm, members, watch, again, members_at_once=2)
  assert rest.keys() == standard.keys() - finished
  assert (told[0], told[-1]) == (2 * STEPS + 2, 4 * STEPS)  # those that had finished count
  chex.assert_trees_all_equal(vectors(rest), {key: vectors(parts)[key] for key in rest})


class TestMemoryRunsOut:
  @pytest.fixture
  def most(self, monkeypatch):
    """Makes programs of more members than this run out of memory; how many programs did."""
    train_chunk, refused = sweep.train_chunk, []

    def limited(lm, tokens, chunk, compiled, *arguments):
      if compiled.size > limited.most:
        refused.append(compiled.size)
        raise jax.errors.JaxRuntimeError(limited.message)
      return train_chunk(lm, tokens, chunk, compiled, *arguments)

    limited.message, limited.refused = "RESOURCE_EXHAUSTED: Out of memory", refused
    monkeypatch.setattr(sweep, "train_chunk", limited)
    return limited

  def test_half_as_many_train_at_once_from_there_on(self, lm, standard, most, caplog):
    most.most = 2
    written = []
    decisions = Decisions(on_new=lambda known: written.append(len(known)))
    tuned = train(lm, members_of(lm), recovery=Recovery(decisions=decisions))
    assert most.refused == [4]
    assert caplog.text.count("4 members at once do not fit the memory after all") == 1
    assert "from here on it is 2" in caplog.text
    assert decisions.find(8, "c-dist", 0).members_at_once == 2
    assert written == [1, 2]
    chex.assert_trees_all_close(vectors(tuned), vectors(standard), rtol=0, atol=1e-5)

  def test_a_member_that_does_not_fit_alone_is_an_error(self, lm, most):
    most.most = 0
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
      train(lm, members_of(lm)[:2], members_at_once=2)
    assert most.refused == [2, 1]

  def test_other_errors_are_raised(self, lm, most):
    most.most, most.message = 1, "INTERNAL: no"
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
      train(lm, members_of(lm)[:2], members_at_once=2)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"steps": 0}, "steps must be"),
    ({"batch_size": 0}, "batch_size must be"),
    ({"members_at_once": "auto"}, "members_at_once must be"),
    ({"lr": float("nan")}, "lr must be"),
    ({"constraints": ("none",)}, "unknown constraint 'none': choose one of c-dist"),
  ],
)
def test_wrong_settings_are_refused(lm, settings, message):
  with pytest.raises(WayjaxError, match=message):
    sweep.tune(lm, examples(), ["x"], **settings)


def test_one_text_is_not_a_list_of_targets(lm):
  with pytest.raises(WayjaxError, match="must be a list of texts"):
    sweep.tune(lm, examples(), "read me")


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"targets": None}, "targets must be a list of texts, not None"),
    ({"targets": [5]}, "a target must be a text or a Target, not a value of type int"),
    ({"lm": "demo"}, "lm must be what load_lm returns, not a value of type str"),
    ({"examples": []}, "examples must be what encode returns, not a value of type list"),
  ],
)
def test_arguments_of_another_kind_are_named(lm, changed, message):
  arguments = {"lm": lm, "examples": examples(), "targets": ["x"], **changed}
  with pytest.raises(WayjaxError, match=re.escape(message)):
    sweep.tune(**arguments)


def test_tune_returns_members_in_the_order_given(lm):
  texts = [LONG, SHORT]  # trained the other way round
  tuned = sweep.tune(
    lm, examples(), texts, gammas=(0.0, 0.1), seeds=(1, 2), steps=STEPS, batch_size=4
  )
  assert [(found.member.target.text, found.member.gamma, found.member.seed) for found in tuned] == [
    (text, gamma, seed) for text in texts for gamma in (0.0, 0.1) for seed in (1, 2)
  ]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells its memory maps")
def test_programs_are_freed_with_the_length_that_they_are_for(lm):
  """A process may have 65,530 memory maps; each length's programs took hundreds for ever."""
  members = members_of(lm, tuple("x" * length for length in (4, 12, 20, 28)), (0.0,), (1,))
  evaluator, maps, done = Evaluator(lm, examples()), [], []

  def forget_programs():
    evaluator.forget_programs()
    done.append(len(maps))

  callbacks = Callbacks(on_length_done=forget_programs)
  for chunk in chunks_of(lm, members, callbacks, steps=2):
    evaluator([tuned.prompt for tuned in chunk])
    gc.collect()
    maps.append(len(Path("/proc/self/maps").read_text().splitlines()))
  assert len(maps) == 4
  assert done == [1, 2, 3]
  assert max(maps[2:]) - maps[1] < 150
