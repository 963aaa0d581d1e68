"""The sweep: batched equals looped, members do not touch each other, and nothing is wasted."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx

from wayjax.data import packing
from wayjax.data.targets import Target
from wayjax.devices import memory, select
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.tuning import program, sweep
from wayjax.tuning.batches import Dispatch, RowSize, training_batches
from wayjax.tuning.members import make_members
from wayjax.tuning.step import init_state, member_gradient, train_step

TEXTS = ("read me", "a longer target text", "x")  # 7, 20 and 1 tokens: two groups


@pytest.fixture(scope="module")
def encoded():
  return tiny.examples(np.random.default_rng(3), (3, 7, 1, 5, 9, 4, 2, 8, 6, 3), vocab=257)


def targets(texts=TEXTS):
  return [Target("text", f"t{i}", text) for i, text in enumerate(texts)]


def members_of(lm, gammas=(0.0, 0.3), seeds=(1, 2), texts=TEXTS, **options):
  return make_members(lm, targets(texts), gammas, seeds, **options)


def train(lm, encoded, members, **settings):
  settings = sweep.TrainSettings(**{"steps": 20, "batch_size": 4, **settings})
  tuned = [one for chunk in sweep.tune_chunks(lm, encoded, members, settings) for one in chunk]
  return {one.member.key: one for one in tuned}


@functools.partial(jax.jit, static_argnums=4)
def step_alone(leaves, state, step, rows, steps):
  return train_step(tiny.random_model(), steps, leaves, state, step, rows)


@jax.jit
def gradient_alone(leaves, prompt_PxD, row):
  return member_gradient(tiny.random_model(), leaves, prompt_PxD, row)


def looped(encoded, member, steps=20, batch=4, lr=0.01):
  """One member on its own, unpadded prompt, a Python loop over plain steps."""
  batches = training_batches(encoded, batch, member.seed, range(steps))
  text, scored = 64, 16  # one size: one compilation
  size = member.prompt_tokens
  leaves = jax.tree.map(lambda x: x[0], program.stack_leaves([member], size, [member.seed], lr, 1))
  state = init_state(jnp.asarray(member.init_PxD), steps)
  first = tiny.pack(encoded, batches[0], text, scored)
  gradient, _ = gradient_alone(leaves, state.prompt_PxD, first)
  for step in range(steps):
    rows = tiny.pack(encoded, batches[step][None], text, scored)
    state, _ = step_alone(leaves, state, jnp.int32(step), rows, steps)
  return np.asarray(gradient), np.asarray(state.prompt_PxD)


def test_a_sweep_equals_a_loop_over_its_members(lm, encoded):
  members = members_of(lm)
  tuned = train(lm, encoded, members)
  assert set(tuned) == {member.key for member in members}
  for member in members:
    _, prompt = looped(encoded, member)
    np.testing.assert_allclose(tuned[member.key].prompt_PxD, prompt, rtol=0, atol=1e-3)
    assert np.abs(prompt - member.init_PxD).max() > 0.05


def test_batched_gradients_equal_looped_ones(lm, encoded):
  members = [member for member in members_of(lm) if member.prompt_tokens <= 16]
  seeds = [1, 2]
  batches = np.stack([training_batches(encoded, 4, s, range(1))[0] for s in seeds])
  rows = tiny.pack(encoded, batches, 64, 16)
  leaves_M = program.stack_leaves(members, 16, seeds, 0.01, len(members))
  state_M = program.stack_states(members, 16, 20, len(members))
  model = nnx.merge(lm.graphdef, lm.params)

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, 0))
  def gradients(leaves, prompt_PxD):
    row = jax.tree.map(lambda array: jnp.asarray(array)[leaves.seed_index], rows)
    return member_gradient(model, leaves, prompt_PxD, row)[0]

  for member, gradient in zip(members, np.asarray(gradients(leaves_M, state_M.prompt_PxD))):
    alone, _ = looped(encoded, member)
    real = gradient[-member.prompt_tokens :]
    np.testing.assert_allclose(real, alone, rtol=0, atol=1e-5 * np.abs(alone).max())
    assert not np.any(gradient[: -member.prompt_tokens])


def test_another_members_gamma_changes_no_bit(lm, encoded):
  before = train(lm, encoded, members_of(lm, gammas=(0.0, 0.3), texts=TEXTS[:1]))
  after = train(lm, encoded, members_of(lm, gammas=(0.0, 0.7), texts=TEXTS[:1]))
  kept = [key for key in before if "gamma=0/" in key]
  assert len(kept) == 2
  for key in kept:
    np.testing.assert_array_equal(before[key].prompt_PxD, after[key].prompt_PxD)
  changed = before["text/t0/gamma=0.3/seed=1"].prompt_PxD
  assert np.any(changed != after["text/t0/gamma=0.7/seed=1"].prompt_PxD)


def test_chunks_equal_one_program(lm, encoded):
  members = members_of(lm, seeds=(1, 2, 3), texts=("read me",))  # 6 members in chunks of 4 and 2
  whole = train(lm, encoded, members)
  parts = train(lm, encoded, members, members_at_once=4)
  assert list(whole) == list(parts)
  for key, one in whole.items():
    np.testing.assert_allclose(one.prompt_PxD, parts[key].prompt_PxD, rtol=0, atol=1e-5)
    np.testing.assert_allclose(one.cross_entropy_T, parts[key].cross_entropy_T, rtol=1e-4)


@pytest.mark.parametrize(("steps", "eval_every"), [(7, 0), (45, 0), (45, 10), (30, 7), (1, 1)])
def test_every_step_is_done_once_whatever_the_dispatches(lm, encoded, steps, eval_every):
  members = members_of(lm, gammas=(0.3,), seeds=(1,), texts=("read me",))
  seen = []
  settings = sweep.TrainSettings(steps=steps, batch_size=4, eval_every=eval_every)
  (chunk,) = sweep.tune_chunks(lm, encoded, members, settings, lambda at: seen.append(at.step))
  assert seen[-1] == steps
  assert seen == sorted(set(seen))
  if eval_every:
    assert set(range(eval_every, steps + 1, eval_every)) <= set(seen)
  assert chunk[0].cross_entropy_T.shape == chunk[0].c_dist_T.shape == (steps,)
  assert np.all(chunk[0].cross_entropy_T > 0)
  _, prompt = looped(encoded, members[0], steps)
  np.testing.assert_allclose(chunk[0].prompt_PxD, prompt, rtol=0, atol=1e-3)


def test_learning_rate_zero_leaves_every_prompt_as_it_was(lm, encoded):
  for init in ("target", "vocab", "random"):
    members = members_of(lm, init=init)
    for key, one in train(lm, encoded, members, lr=0.0, steps=3).items():
      np.testing.assert_array_equal(one.prompt_PxD, one.member.init_PxD, err_msg=key)


def test_a_diverged_member_stops_and_the_others_go_on(lm, encoded):
  sound = members_of(lm, gammas=(0.3,), seeds=(1,), texts=("read me",))
  (broken,) = members_of(lm, gammas=(0.3,), seeds=(1,), texts=("no good",))
  broken = dataclasses.replace(
    broken,
    target=Target("text", "broken", "no good"),
    init_PxD=broken.init_PxD + np.float32(1e20),  # its c-dist is infinite
  )
  alone = train(lm, encoded, sound)
  both = train(lm, encoded, [*sound, broken])
  failed = both[broken.key]
  assert failed.diverged_at == 0
  np.testing.assert_array_equal(failed.prompt_PxD, broken.init_PxD)
  assert both[sound[0].key].diverged_at is None
  np.testing.assert_allclose(
    both[sound[0].key].prompt_PxD, alone[sound[0].key].prompt_PxD, rtol=0, atol=1e-5
  )


def test_a_member_of_an_absurd_learning_rate_diverges_alone(lm, encoded, monkeypatch):
  members = members_of(lm, seeds=(1,), texts=("read me", "or so"))
  sound = train(lm, encoded, members)
  stack_leaves = program.stack_leaves

  def with_one_absurd(*arguments):
    leaves_M = stack_leaves(*arguments)
    return leaves_M._replace(lr=np.where(np.arange(len(leaves_M.lr)) == 2, 1e30, leaves_M.lr))

  monkeypatch.setattr(program, "stack_leaves", with_one_absurd)
  for i, (key, one) in enumerate(train(lm, encoded, members).items()):
    if i == 2:
      assert one.diverged_at == 1  # the first update is finite, the loss after it is not
      assert np.isfinite(one.prompt_PxD).all()
    else:
      assert one.diverged_at is None
      np.testing.assert_array_equal(one.prompt_PxD, sound[key].prompt_PxD)


def test_cross_entropy_falls_and_c_dist_stays_smaller_with_gamma(lm, encoded):
  tuned = train(
    lm, encoded, members_of(lm, gammas=(0.0, 10.0), seeds=(1,), texts=("read me",)), steps=100
  )
  free, held = tuned.values()
  assert free.cross_entropy_T[-20:].mean() < free.cross_entropy_T[:20].mean() - 0.1
  assert held.c_dist_T[-1] < 0.5 * free.c_dist_T[-1]


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"steps": 0}, "steps must be"),
    ({"batch_size": 0}, "batch_size must be"),
    ({"members_at_once": "auto"}, "members_at_once must be"),
    ({"lr": float("nan")}, "lr must be"),
  ],
)
def test_wrong_settings_are_refused(lm, encoded, settings, message):
  with pytest.raises(WayjaxError, match=message):
    sweep.tune(lm, encoded, ["x"], **settings)


def test_one_text_is_no_list_of_targets(lm, encoded):
  with pytest.raises(WayjaxError, match="must be a list of texts"):
    sweep.tune(lm, encoded, "read me")


def test_members_at_once_follow_the_memory(lm, encoded, monkeypatch):
  members = members_of(lm, seeds=(1, 2, 3), texts=("read me",))
  sizes = []

  def watch(at):
    sizes.append((len(at.chunk), at.memory))

  def run():
    sizes.clear()
    settings = sweep.TrainSettings(steps=1, batch_size=4)
    list(sweep.tune_chunks(lm, encoded, members, settings, watch))
    return [size for size, _ in sizes], sizes[0][1]

  assert run()[0] == [6]
  whole = sizes[0][1]
  monkeypatch.setattr(select, "free_memory", lambda: whole * 0.5 / memory.SHARE)
  parts, needed = run()
  assert sum(parts) == 6
  assert max(parts) <= 3
  assert needed <= whole * 0.5
  monkeypatch.setattr(select, "free_memory", lambda: 1000)
  with pytest.raises(WayjaxError, match="one member needs"):
    run()


def test_layers_are_computed_anew_before_a_sweep_is_refused(tmp_path, encoded, monkeypatch):
  config = tiny.CONFIGS["gpt2"] | {"n_layer": 8}
  lm = load_lm(str(tiny.save_model(tmp_path / "deep", config)), precision="float32")
  members = members_of(lm, gammas=(0.3,), seeds=(1,), texts=("read me",))
  needed = []

  def run():
    settings = sweep.TrainSettings(steps=3, batch_size=8)
    chunks_of_one = sweep.tune_chunks(
      lm, encoded, members, settings, lambda at: needed.append(at.memory)
    )
    return [one for chunk in chunks_of_one for one in chunk]

  (plain,) = run()
  monkeypatch.setattr(select, "free_memory", lambda: (needed[0] - 1) / memory.SHARE)
  (checkpointed,) = run()
  assert needed[-1] < needed[0]
  np.testing.assert_allclose(checkpointed.prompt_PxD, plain.prompt_PxD, rtol=0, atol=1e-5)


def test_more_members_at_once_than_fit_are_refused(lm, encoded, monkeypatch):
  members = members_of(lm, seeds=(1, 2, 3), texts=("read me",))
  settings = sweep.TrainSettings(steps=1, batch_size=4)
  needed = []
  list(sweep.tune_chunks(lm, encoded, members, settings, lambda at: needed.append(at.memory)))
  monkeypatch.setattr(select, "free_memory", lambda: needed[0] // 2)
  with pytest.raises(WayjaxError, match="--members-at-once 6 does not fit"):
    train(lm, encoded, members, steps=1, members_at_once=6)


def test_nothing_is_compiled_after_the_first_dispatch(lm, encoded):
  compiled = []

  def listen(event, seconds, **details):
    if event == "/jax/core/compile/backend_compile_duration":
      compiled.append(details)

  # Two seeds with four members each, in chunks of two: four chunks of one program.
  members = members_of(lm, gammas=(0.0, 0.1, 0.2, 0.3), texts=("read me",))
  settings = sweep.TrainSettings(steps=60, batch_size=4, members_at_once=2)
  counts = []
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    chunks_of_two = sweep.tune_chunks(
      lm, encoded, members, settings, lambda at: counts.append(len(compiled))
    )
    assert len(list(chunks_of_two)) == 4
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert len(counts) == 12
  assert counts[0] > 0
  assert counts[-1] == counts[0]


def test_tune_returns_members_in_the_order_given(lm, encoded):
  tuned = sweep.tune(lm, encoded, list(TEXTS), gammas=(0.0, 0.1), seeds=(1,), steps=2, batch_size=2)
  assert [(one.member.target.text, one.member.gamma) for one in tuned] == [
    (text, gamma) for text in TEXTS for gamma in (0.0, 0.1)
  ]


SIZE = 3  # members of the compiled program


@pytest.fixture(scope="module")
def arguments(lm, encoded):
  members = members_of(lm, gammas=(0.0, 0.1, 0.2), seeds=(1,), texts=("read me",))
  batches = training_batches(encoded, 4, 1, range(2))[:, None]
  sizes = (RowSize(64, 12, 16), RowSize(96, 12, 16))
  return (
    lm.graphdef,
    program.Plan(20, sizes, lm.layout),
    lm.params,
    jax.device_put(packing.training_tokens(encoded)),
    program.stack_leaves(members, 16, [1], 0.01, SIZE),
    program.stack_states(members, 16, 20, SIZE),
    Dispatch(np.arange(2, dtype=np.int32), np.int32([0, 1]), batches),
  )


class TestCompiledStep:
  """What the compiled program holds, and what it must not."""

  def test_no_cotangent_has_a_weights_shape(self, arguments, lm):
    matrices = [leaf.shape for leaf in jax.tree.leaves(lm.params) if leaf.ndim > 1]
    shapes = {shape for full in matrices for shape in (full, full[1:]) if len(shape) > 1}
    jaxpr = jax.make_jaxpr(program.train_dispatch, static_argnums=(0, 1))(*arguments)
    produced = [
      (str(equation.primitive), var.aval.shape)
      for equation in _equations(jaxpr.jaxpr)
      for var in equation.outvars
    ]
    assert len(produced) > 100
    # As they are, or with the members' axis in front; a layer is taken out of the stacked ones.
    wanted = shapes | {(SIZE, *shape) for shape in shapes}
    taken_out = ("slice", "squeeze")
    assert not [found for found in produced if found[1] in wanted and found[0] not in taken_out]

  def test_there_is_no_array_of_all_logits(self, arguments):
    text = program.train_dispatch.lower(*arguments).compile().as_text()
    shapes = {
      tuple(map(int, dims.split(","))) for dims in re.findall(r"\b(?:f32|bf16)\[([\d,]+)\]", text)
    }
    positions, vocabulary = 16 + 96, tiny.CONFIG.vocab_size
    assert any(vocabulary in shape for shape in shapes)
    rows = [np.prod(shape) // vocabulary for shape in shapes if vocabulary in shape]
    assert max(rows) < positions  # the scored slots of all members, and the table itself

  def test_the_model_is_neither_donated_nor_baked_in(self, arguments, lm):
    lowered = program.train_dispatch.lower(*arguments)
    donated = jax.tree.map(lambda info: info.donated, lowered.args_info)
    # graphdef and plan are static; the rest is params, tokens, leaves, state and dispatch.
    params, tokens, leaves, state, dispatch = donated[0]
    assert all(jax.tree.leaves(state))
    assert not any(jax.tree.leaves((params, tokens, leaves, dispatch)))
    constants = re.findall(r"dense<[^>]{2000,}>", lowered.as_text())
    assert not constants
    state, _ = program.train_dispatch(*arguments[:5], _copy(arguments[5]), *arguments[6:])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(lm.params))
    assert np.all(np.isfinite(state.prompt_PxD))

  def test_gamma_rate_seed_and_target_do_not_recompile(self, arguments):
    *model, tokens, leaves, state, dispatch = arguments
    program.train_dispatch(*model, tokens, leaves, _copy(state), dispatch)
    compiled = program.train_dispatch._cache_size()
    other = leaves._replace(
      gamma=leaves.gamma + 1, lr=leaves.lr * 2, target_PxD=leaves.target_PxD + 1
    )
    later = dispatch._replace(steps_K=dispatch.steps_K + 2, sizes_K=dispatch.sizes_K[::-1])
    program.train_dispatch(*model, tokens, other, _copy(state), later)
    assert program.train_dispatch._cache_size() == compiled


def _copy(tree):
  return jax.tree.map(jnp.array, tree)


def _equations(jaxpr):
  """All equations, those of inner jaxprs too."""
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for inner in value if isinstance(value, list | tuple) else [value]:
        if hasattr(inner, "eqns"):
          yield from _equations(inner)
        elif hasattr(inner, "jaxpr") and hasattr(inner.jaxpr, "eqns"):
          yield from _equations(inner.jaxpr)
