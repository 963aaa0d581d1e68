"""Members over several devices, a model over several devices: the same numbers, and no talk."""

import functools

import jax
import numpy as np
import pytest
import tiny
from flax import nnx

from wayjax import evaluation
from wayjax.data import packing
from wayjax.data.targets import Target
from wayjax.devices.sharding import make_layout, place
from wayjax.errors import WayjaxError
from wayjax.tuning import program, sweep
from wayjax.tuning.batches import make_schedules
from wayjax.tuning.members import make_members
from wayjax.tuning.step import member_gradient

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


@pytest.fixture(scope="module")
def encoded():
  return tiny.examples(np.random.default_rng(3), (3, 7, 1, 5, 9, 4, 2, 8, 6, 3), vocab=257)


@pytest.fixture(scope="module")
def members(lm):
  """Seven, so that no number of devices divides them."""
  texts = [Target("text", f"t{i}", text) for i, text in enumerate(("read me", "or me"))]
  return make_members(lm, texts, (0.0, 0.3), (1, 2))[:7]


def tune(lm, encoded, members, steps=20):
  settings = sweep.TrainSettings(steps=steps, batch_size=4)
  return [one for chunk in sweep.tune_chunks(lm, encoded, members, settings) for one in chunk]


def gradients(lm, encoded, members) -> np.ndarray:
  """Of all members at their first prompts and first batches, (M, P, D)."""
  tokens = packing.training_tokens(encoded)
  (schedule,) = make_schedules(encoded, tokens, 4, [(1, 2)], 1, per_dispatch=1)
  settings = sweep.TrainSettings(steps=1, batch_size=4)
  leaves_M, state_M = program.begin(lm.layout, members, 8, schedule, settings, len(members))

  @jax.jit
  def compute(params, tokens, leaves_M, prompts_MxPxD, batches_NxB):
    pack = functools.partial(packing.pack_training, tokens, **schedule.sizes[-1]._asdict())
    rows_N = jax.vmap(pack)(batches_NxB)

    def of_one(leaves, prompt_PxD):
      row = jax.tree.map(lambda x: x[leaves.seed_index], rows_N)
      return member_gradient(nnx.merge(lm.graphdef, params), leaves, prompt_PxD, row)[0]

    return jax.vmap(of_one)(leaves_M, prompts_MxPxD)

  on_device = place(tokens, lm.layout.everywhere())
  batches_NxB = schedule.batches_TxNxB[0]
  found = compute(lm.params, on_device, leaves_M, state_M.prompt_PxD, batches_NxB)
  assert len(found.sharding.device_set) == lm.layout.mesh.size
  return np.asarray(found)[: len(members)]


@pytest.mark.parametrize(("devices", "model_parallel"), [(2, 1), (4, 1), (8, 1), (4, 2), (8, 4)])
def test_as_many_devices_as_one_likes(lm, encoded, members, devices, model_parallel):
  alone, several = tiny.over(lm, 1), tiny.over(lm, devices, model_parallel)
  expected = gradients(alone, encoded, members)
  found = gradients(several, encoded, members)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
  tuned = tune(several, encoded, members)
  assert [one.member.key for one in tuned] == [member.key for member in members]
  for one, other in zip(tune(alone, encoded, members), tuned, strict=True):
    np.testing.assert_allclose(other.prompt_PxD, one.prompt_PxD, rtol=0, atol=1e-3)
  prompts = [one.prompt_PxD for one in tuned]
  for one, other in zip(*(evaluation.evaluate(on, encoded, prompts) for on in (alone, several))):
    np.testing.assert_allclose(other.losses_NxC, one.losses_NxC, rtol=1e-5)


def compiled(lm, encoded, members) -> str:
  tokens = packing.training_tokens(encoded)
  settings = sweep.TrainSettings(steps=20, batch_size=4)
  (schedule,) = make_schedules(encoded, tokens, 4, [(1, 2)], 20, per_dispatch=20)
  on_device = place(tokens, lm.layout.everywhere())
  return program.compile_group(lm, members, 8, settings, on_device, schedule).compiled.as_text()


def test_no_communication_where_only_members_are_spread(lm, encoded, members):
  found = compiled(tiny.over(lm, 4), encoded, members)
  assert not [name for name in COLLECTIVES if name in found]
  found = compiled(tiny.over(lm, 4, model_parallel=2), encoded, members)
  assert [name for name in COLLECTIVES if name in found]


def test_a_spread_model_takes_less_of_each_device(lm):
  spread = tiny.over(lm, 4, model_parallel=4)

  def on_one_device(lm):
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(lm.params))

  assert on_one_device(spread) < 0.8 * on_one_device(lm)


def test_devices_that_do_not_divide_are_named():
  with pytest.raises(WayjaxError, match="--model-parallel 3 does not divide the 4 devices"):
    make_layout(3, jax.devices()[:4])
