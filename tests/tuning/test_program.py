"""The compiled program: what it holds and what it must not, how large it gets, when it is made."""

import functools
import re
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jaxprs import equations
from tuning.sweeps import (
  BATCH,
  SHORT,
  STEPS,
  TOKEN,
  chunks_of,
  examples,
  group_of,
  members_of,
  train,
  vectors,
)

from wayjax.constraints import get_constraint
from wayjax.data import packing
from wayjax.devices import compilation
from wayjax.devices.sharding import Layout, place
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.tuning import program
from wayjax.tuning.batches import Dispatch, RowSize, training_batches
from wayjax.tuning.callbacks import Callbacks
from wayjax.tuning.decisions import Decision
from wayjax.tuning.settings import TrainSettings

SIZE = 3  # members of the compiled program
SETTINGS = TrainSettings(steps=STEPS, batch_size=BATCH)


@pytest.fixture(scope="module")
def arguments(lm):
  """Of `train_dispatch`: two steps, whose rows differ in size."""
  group = group_of(members_of(lm, gammas=(0.0, 0.1, 0.2), seeds=(1,)), 16, seeds=(1,))
  batches = training_batches(examples(), BATCH, 1, range(2))[:, None]
  sizes = (RowSize(64, 12, 16), RowSize(96, 12, 16))
  return (
    lm.graphdef,
    program.Static(STEPS, sizes, lm.layout, get_constraint("c-dist")),
    lm.params,
    jax.device_put(packing.training_tokens(examples())),
    program.stack_leaves(group, 0.01, SIZE),
    program.stack_states(group, STEPS, SIZE),
    Dispatch(np.arange(2, dtype=np.int32), np.int32([0, 1]), batches),
  )


@pytest.fixture(scope="module")
def lowered(arguments):
  return program.train_dispatch.lower(*arguments)


class TestCompiledStep:
  """What the compiled program holds, and what it must not."""

  def test_no_cotangent_has_a_weights_shape(self, arguments, lm):
    matrices = [leaf.shape for leaf in jax.tree.leaves(lm.params) if leaf.ndim > 1]
    shapes = {shape for full in matrices for shape in (full, full[1:]) if len(shape) > 1}
    jaxpr = jax.make_jaxpr(program.train_dispatch, static_argnums=(0, 1))(*arguments)
    produced = [
      (str(equation.primitive), var.aval.shape)
      for equation in equations(jaxpr.jaxpr)
      for var in equation.outvars
    ]
    assert len(produced) > 100
    # As they are, or with the members' axis in front; a layer is taken out of the stacked ones.
    wanted = shapes | {(SIZE, *shape) for shape in shapes}
    taken_out = ("slice", "squeeze")
    assert not [found for found in produced if found[1] in wanted and found[0] not in taken_out]

  def test_there_is_no_array_of_all_logits(self, lowered):
    text = lowered.compile().as_text()
    shapes = {
      tuple(map(int, dims.split(","))) for dims in re.findall(r"\b(?:f32|bf16)\[([\d,]+)\]", text)
    }
    positions, vocabulary = 16 + 96, tiny.CONFIG.vocab_size
    assert any(vocabulary in shape for shape in shapes)
    rows = [np.prod(shape) // vocabulary for shape in shapes if vocabulary in shape]
    assert max(rows) < positions  # the scored slots of all members, and the table itself

  def test_the_model_is_neither_donated_nor_baked_in(self, arguments, lowered, lm):
    donated = jax.tree.map(lambda info: info.donated, lowered.args_info)
    # Two arguments are static; the rest is params, tokens, leaves, state and dispatch.
    params, tokens, leaves, state, dispatch = donated[0]
    assert all(jax.tree.leaves(state))
    assert not any(jax.tree.leaves((params, tokens, leaves, dispatch)))
    constants = re.findall(r"dense<[^>]{2000,}>", lowered.as_text())
    assert not constants
    state, _ = program.train_dispatch(*arguments[:5], _copy(arguments[5]), *arguments[6:])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(lm.params))
    chex.assert_tree_all_finite(state.prompt_PxD)

  def test_gamma_rate_seed_and_target_do_not_recompile(self, arguments):
    once = _traced_once()
    *model, tokens, leaves, state, dispatch = arguments
    first, _ = once(*model, tokens, leaves, _copy(state), dispatch)
    other = leaves._replace(
      gamma=leaves.gamma + 1,
      lr=leaves.lr * 2,
      seed_index=leaves.seed_index * 0,
      target_PxD=leaves.target_PxD + 1,
    )
    later = dispatch._replace(steps_K=dispatch.steps_K + 2, sizes_K=dispatch.sizes_K[::-1])
    second, _ = once(*model, tokens, other, _copy(state), later)
    assert np.any(first.prompt_PxD != second.prompt_PxD)


def _traced_once():
  """`train_dispatch`, which fails where it is traced a second time."""
  return jax.jit(
    chex.assert_max_traces(program.train_dispatch.__wrapped__, n=1),
    static_argnums=(0, 1),
    donate_argnums=(5,),
  )


def _copy(tree):
  return jax.tree.map(jnp.array, tree)


class TestStack:
  def test_members_are_padded_on_the_left_and_filled_up_with_idle_ones(self, lm):
    members = [*members_of(lm)[1:3], *members_of(lm, (TOKEN,), (0.3,), (2,))]
    group = group_of(members, 8)
    leaves_M = program.stack_leaves(group, 0.5, 4)
    assert leaves_M.mask_P.sum(1).tolist() == [7, 7, 1, 7]
    assert leaves_M.gamma.tolist() == pytest.approx([0, 0.3, 0.3, 0])
    assert leaves_M.lr.tolist() == [0.5, 0.5, 0.5, 0]  # idle
    assert leaves_M.seed_index.tolist() == [1, 0, 1, 1]
    assert leaves_M.held == ()
    state_M = program.stack_states(group, STEPS, 4)
    assert state_M.diverged_at.tolist() == [-1] * 4
    for i, member in enumerate([*members, members[0]]):
      padding = 8 - member.prompt_tokens
      for stacked, alone in (
        (leaves_M.target_PxD, member.target_PxD),
        (state_M.prompt_PxD, member.init_PxD),
      ):
        np.testing.assert_array_equal(stacked[i, padding:], alone)
        assert not np.any(stacked[i, :padding])
    chex.assert_trees_all_equal(
      program.unstack_prompts(members, state_M), [member.init_PxD for member in members]
    )

  def test_a_prompt_of_another_length_than_its_target_has_no_distance_to_it(self, lm):
    (member,) = members_of(lm, gammas=(0.0,), seeds=(1,), init="vocab", prompt_tokens=5)
    leaves_M = program.stack_leaves(group_of([member], 8, seeds=(1,)), 0.01, 1)
    assert leaves_M.target_PxD.shape == (1, 8, tiny.CONFIG.n_embd)
    assert not np.any(leaves_M.target_PxD)

  def test_every_device_has_as_many_members(self, lm):
    group = group_of(members_of(lm)[:3], 8)
    leaves_M, state_M = program.begin(tiny.over(lm, 4).layout, group, SETTINGS, 3)
    assert leaves_M.lr.tolist() == pytest.approx([0.01, 0.01, 0.01, 0])
    for leaf in jax.tree.leaves((leaves_M, state_M)):
      assert [shard.data.shape[0] for shard in leaf.addressable_shards] == [1] * 4

  def test_a_chunk_is_a_group_of_some_members(self, lm):
    group = group_of(members_of(lm), 8)._replace(before=10)
    chunk = group.chunk(1, 2)
    assert chunk.keys == [member.key for member in group.members[1:3]]
    assert (chunk.before, chunk.padded, chunk.largest) == (11, 8, 4)
    assert group.chunk(3, 2).keys == [group.members[3].key]
    assert chunk.constraint == "c-dist"


class TestCompileGroup:
  @pytest.fixture
  def compile_with(self, lm, monkeypatch):
    """Compiles a group, given what a program needs for each member without and with `remat`."""

    def compile_with(
      plain, again, *, free, largest=8, asked=None, decision=None, platform="cpu"
    ) -> tuple[program.Program, list]:
      tried = []

      def lower(lm, example, settings, tokens, remat, size):
        assert len(example.members) == 1
        tried.append((remat, size))
        needed = types.SimpleNamespace(temp_size_in_bytes=(again if remat else plain) * size)
        compiled = types.SimpleNamespace(memory_analysis=lambda: needed)
        return types.SimpleNamespace(compile=lambda: compiled)

      monkeypatch.setattr(program, "lower_chunk", lower)
      monkeypatch.setattr(compilation, "free_memory", lambda: free)
      monkeypatch.setattr(Layout, "platform", platform)
      group = group_of(members_of(lm), 8)._replace(largest=largest)
      settings = TrainSettings(members_at_once=asked)
      made = program.compile_group(lm, group, settings, None, decision)
      assert (made.remat, made.size) == tried[-1]
      return made, tried

    return compile_with

  def test_all_members_at_once_where_they_fit(self, compile_with):
    made, tried = compile_with(10, 5, free=100)  # of which four fifths may be used
    assert (made.size, made.memory, made.remat) == (8, 80, False)
    assert len(tried) == 1

  def test_fewer_members_at_once_where_the_memory_is_small(self, compile_with):
    made, tried = compile_with(10, 5, free=50)
    assert (made.size, made.memory, made.remat) == (4, 40, False)
    assert tried == [(False, 8), (False, 4)]

  def test_layers_are_computed_again_before_a_sweep_is_refused(self, compile_with):
    made, tried = compile_with(100, 20, free=50)
    assert (made.size, made.memory, made.remat) == (2, 40, True)
    assert tried[0] == (False, 8)

  def test_members_that_do_not_fit_even_one_by_one_are_refused(self, compile_with):
    with pytest.raises(WayjaxError, match=r"one member needs .* lower --batch-size or"):
      compile_with(2**30, 2**29, free=2**20)

  def test_as_many_at_once_as_were_asked_for(self, compile_with):
    assert compile_with(10, 5, free=100, asked=4)[0].size == 4
    assert compile_with(10, 5, free=100, asked=5)[0].size == 4  # two chunks of even size
    assert compile_with(10, 5, free=100, asked=100)[0].size == 8
    assert compile_with(25, 5, free=100, asked=4)[0].remat is False  # all of the memory
    assert compile_with(26, 5, free=100, asked=4)[0].remat is True

  def test_more_at_once_than_fit_are_refused(self, compile_with):
    message = "--members-at-once 8 does not fit 0.0 GiB of free memory: 2 would; give that or auto"
    with pytest.raises(WayjaxError, match=message):
      compile_with(100, 50, free=100, asked=8)

  def test_a_cpu_takes_few_members_at_once(self, compile_with):
    assert compile_with(1, 1, free=1000, largest=40)[0].size == 14  # 3 chunks
    assert compile_with(1, 1, free=1000, largest=40, asked=40)[0].size == 40
    assert compile_with(1, 1, free=1000, largest=40, platform="gpu")[0].size == 40

  def test_what_was_decided_before_is_not_measured_again(self, compile_with):
    decision = Decision(8, 0, 3, True, (RowSize(64, 12, 16),))
    with pytest.raises(WayjaxError, match=r"decided on 3 members at once, and there are 2: its"):
      compile_with(10, 5, free=1, largest=2, decision=decision)
    made, tried = compile_with(10, 5, free=1, decision=decision)
    assert (made.size, made.memory, made.remat) == (3, 15, True)
    assert tried == [(True, 3)]


def compile_group(lm, group):
  tokens = place(packing.training_tokens(examples()), lm.layout.everywhere())
  return program.compile_group(lm, group, SETTINGS, tokens)


def test_members_at_once_follow_the_memory(lm, monkeypatch):
  group = group_of(members_of(lm), 8)
  whole = compile_group(lm, group)
  assert whole.size == 4
  monkeypatch.setattr(
    compilation, "free_memory", lambda: whole.memory * 0.5 / compilation.SHARE + 1
  )
  part = compile_group(lm, group)
  assert part.size <= 2
  assert part.memory <= whole.memory * 0.5


def test_layers_computed_again_need_less_memory_and_change_nothing(tmp_path, monkeypatch):
  config = tiny.CONFIGS["gpt2"] | {"n_layer": 4}
  lm = load_lm(str(tiny.save_model(tmp_path / "deep", config)), precision="float32")
  lm = tiny.over(lm, 1)
  members, needed = members_of(lm, gammas=(0.3,), seeds=(1,)), []
  watch = Callbacks(on_progress=lambda at: needed.append(at.memory))
  run = functools.partial(train, lm, members, watch, steps=3)
  plain = run()
  monkeypatch.setattr(compilation, "free_memory", lambda: (needed[0] - 1) / compilation.SHARE)
  again = run()
  assert needed[-1] < needed[0]
  chex.assert_trees_all_close(vectors(again), vectors(plain), rtol=0, atol=1e-5)


def test_nothing_is_compiled_after_the_first_dispatch(lm, monkeypatch):
  compiled, counts = [], []

  def listen(event, seconds, **details):
    if event == "/jax/core/compile/backend_compile_duration":
      compiled.append(details)

  # Two seeds with four members each, in chunks of two: four chunks of one program.
  members = members_of(lm, (SHORT,), gammas=(0.0, 0.1, 0.2, 0.3))
  monkeypatch.setattr(program, "train_dispatch", _traced_once())
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    watch = Callbacks(on_progress=lambda at: counts.append(len(compiled)))
    chunks = chunks_of(lm, members, watch, members_at_once=2, eval_every=10)
    assert len(list(chunks)) == 4
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert len(counts) >= 9  # one step, then two dispatches a chunk
  assert counts[0] > 0
  assert counts[-1] == counts[0]
