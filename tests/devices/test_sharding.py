"""Members over several devices, a model over several devices: the same numbers, and no talk."""

import functools

import jax
import numpy as np
import pytest
import tiny
from flax import nnx

from wayjax.constraints import get_constraint
from wayjax.data import packing
from wayjax.data.targets import Target
from wayjax.devices.sharding import make_layout, place
from wayjax.errors import WayjaxError
from wayjax.evaluation import evaluate
from wayjax.tuning import program, sweep
from wayjax.tuning.batches import make_schedules
from wayjax.tuning.members import make_members
from wayjax.tuning.settings import TrainSettings
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


SETTINGS = TrainSettings(steps=20, batch_size=4)


def tune(lm, encoded, members):
  chunks = sweep.tune_chunks(lm, encoded, members, SETTINGS)
  return [tuned for chunk in chunks for tuned in chunk]


def compiled(lm, encoded, members) -> tuple[program.Group, program.Program]:
  """The members as a group, and the program that `tune` trains them with."""
  tokens = packing.training_tokens(encoded)
  (schedule,) = make_schedules(
    *(encoded, tokens, SETTINGS.batch_size, [(1, 2)], SETTINGS.steps),
    per_dispatch=SETTINGS.steps,
    multiple=8,
  )
  group = program.Group(members, 8, schedule, 0, len(members))
  on_device = place(tokens, lm.layout.everywhere())
  return group, program.compile_group(lm, group, SETTINGS, on_device)


def gradients(lm, encoded, members) -> np.ndarray:
  """Of all members at their first prompts and first batches, (M, P, D)."""
  tokens = packing.training_tokens(encoded)
  (schedule,) = make_schedules(encoded, tokens, 4, [(1, 2)], 1, per_dispatch=1, multiple=8)
  group = program.Group(members, 8, schedule, 0, len(members))
  settings = TrainSettings(steps=1, batch_size=4)
  leaves_M, state_M = program.begin(lm.layout, group, settings, len(members))
  paper = get_constraint("c-dist")

  @jax.jit
  def compute(params, tokens, leaves_M, prompts_MxPxD, batches_NxB):
    pack = functools.partial(packing.pack_training, tokens, **schedule.sizes[-1]._asdict())
    rows_N = jax.vmap(pack)(batches_NxB)
    model = nnx.merge(lm.graphdef, params)

    def of_member(leaves, prompt_PxD):
      row = jax.tree.map(lambda x: x[leaves.seed_index], rows_N)
      return member_gradient(model, paper, leaves, prompt_PxD, row)[0]

    return jax.vmap(of_member)(leaves_M, prompts_MxPxD)

  on_device = place(tokens, lm.layout.everywhere())
  batches_NxB = schedule.batches_TxNxB[0]
  found = compute(lm.params, on_device, leaves_M, state_M.prompt_PxD, batches_NxB)
  assert len(found.sharding.device_set) == lm.layout.mesh.size
  return np.asarray(found)[: len(members)]


@pytest.fixture(scope="module")
def alone(lm, encoded, members):
  """What a single device finds: gradients, tuned prompts, and evaluations of these."""
  tuned = tune(lm, encoded, members)
  prompts = [found.prompt for found in tuned]
  return gradients(lm, encoded, members), tuned, prompts, evaluate(lm, encoded, prompts)


@pytest.mark.parametrize(
  ("devices", "model_parallel"),
  [
    *((2, 1), (4, 1), (4, 2)),
    *(pytest.param(*case, marks=pytest.mark.nightly) for case in ((8, 1), (8, 4))),
  ],
)
def test_any_number_of_devices(lm, encoded, members, alone, devices, model_parallel):
  several = tiny.over(lm, devices, model_parallel)
  expected, tuned_alone, prompts, evaluations = alone
  found = gradients(several, encoded, members)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
  tuned = tune(several, encoded, members)
  assert [found.member.key for found in tuned] == [member.key for member in members]
  for ours, other in zip(tuned, tuned_alone, strict=True):
    np.testing.assert_allclose(ours.prompt.vectors_PxD, other.prompt.vectors_PxD, rtol=0, atol=1e-3)
  for ours, other in zip(evaluate(several, encoded, prompts), evaluations, strict=True):
    np.testing.assert_allclose(ours.losses_NxC, other.losses_NxC, rtol=1e-5)


def test_no_communication_where_only_members_are_spread(lm, encoded, members):
  def collectives(lm):
    text = compiled(lm, encoded, members)[1].compiled.as_text()
    return [name for name in COLLECTIVES if name in text]

  assert not collectives(tiny.over(lm, 4))
  assert collectives(tiny.over(lm, 4, model_parallel=2))


def test_a_spread_model_takes_less_of_each_device(lm):
  spread = tiny.over(lm, 4, model_parallel=4)

  def on_one_device(lm):
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(lm.params))

  assert on_one_device(spread) < 0.8 * on_one_device(lm)


def test_devices_that_do_not_divide_are_named():
  with pytest.raises(WayjaxError, match="--model-parallel 3 does not divide the 4 devices"):
    make_layout(3, jax.devices()[:4])
