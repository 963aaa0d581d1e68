"""Small sweeps, and what each of their members becomes when it is trained alone.

Tests that train members of the standard sweep, four at once for 20 steps, share its program.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from wayjax.constraints import Constraint, get_constraint
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.targets import Target
from wayjax.tuning import sweep
from wayjax.tuning.batches import make_schedules, training_batches
from wayjax.tuning.groups import Group
from wayjax.tuning.members import Member, TunedPrompt, make_members
from wayjax.tuning.program import stack_leaves
from wayjax.tuning.settings import TrainSettings
from wayjax.tuning.step import StepLosses, init_state, member_gradient, train_step

SHORT, LONG, TOKEN = "read me", "a longer target text", "x"  # of 7, 20 and 1 tokens
STEPS, BATCH, LR = 20, 4, 0.01
TEXT, SCORED, REACH = 64, 16, 12  # of any batch: a row of one size is compiled once


@functools.cache
def examples() -> EncodedExamples:
  return tiny.examples(np.random.default_rng(3), (3, 7, 1, 5, 9, 4, 2, 8, 6, 3), vocab=257)


def members_of(lm, texts=(SHORT,), gammas=(0.0, 0.3), seeds=(1, 2), **options) -> list[Member]:
  """Members of a sweep; without options, those of the standard one."""
  targets = [Target("text", f"t{len(text)}", text) for text in texts]
  return make_members(lm, targets, gammas, seeds, **options)


def group_of(members, padded: int, *, seeds=(1, 2), steps=STEPS, per_dispatch=STEPS) -> Group:
  """Members of these seeds as a group."""
  (schedule,) = make_schedules(
    examples(),
    packing.training_tokens(examples()),
    BATCH,
    [seeds],
    steps,
    per_dispatch=per_dispatch,
    multiple=8,
  )
  return Group(members, padded, schedule, 0, len(members))


def chunks_of(lm, members, callbacks=None, recovery=None, **changes) -> Iterator[list[TunedPrompt]]:
  """A sweep's chunks, each as soon as it is trained."""
  settings = TrainSettings(**{"steps": STEPS, "batch_size": BATCH, "lr": LR, **changes})
  return sweep.tune_chunks(lm, examples(), members, settings, callbacks, recovery)


def train(lm, members, callbacks=None, recovery=None, **changes) -> dict[str, TunedPrompt]:
  """The finished members of a sweep, by key."""
  chunks = chunks_of(lm, members, callbacks, recovery, **changes)
  return {tuned.member.key: tuned for chunk in chunks for tuned in chunk}


def vectors(tuned: dict[str, TunedPrompt]) -> dict[str, np.ndarray]:
  return {key: found.prompt.vectors_PxD for key, found in tuned.items()}


@jax.jit
def _pack(tokens, batches_NxB):
  return jax.vmap(lambda batch_B: packing.pack_training(tokens, batch_B, TEXT, SCORED, REACH))(
    batches_NxB
  )


def rows_of(batches_NxB) -> packing.PackedRow:
  """Batches as stacked rows, all of one size."""
  tokens = packing.training_tokens(examples())
  return jax.tree.map(np.asarray, _pack(tokens, batches_NxB))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _step(constraint: Constraint, fooling, steps: int, leaves, state, step, rows):
  model = tiny.random_model()
  row = jax.tree.map(lambda x: x[0], rows)
  gradient_PxD, *_ = member_gradient(
    model, constraint, leaves, state.prompt_PxD, row, fooling, step
  )
  after = train_step(model, constraint, steps, leaves, state, step, rows, fooling=fooling)
  return gradient_PxD, *after


class Alone(NamedTuple):
  """A member that was trained on its own: an unpadded prompt, a Python loop over plain steps.

  Attributes:
    gradients_TxPxD: before each step.
    prompts_TxPxD: after each step.
    losses_T: before each step.
  """

  gradients_TxPxD: np.ndarray
  prompts_TxPxD: np.ndarray
  losses_T: StepLosses

  @property
  def cross_entropy_T(self) -> np.ndarray:
    return self.losses_T.cross_entropy


def alone(member: Member) -> Alone:
  rows_T = rows_of(training_batches(examples(), BATCH, member.seed, range(STEPS)))
  group = group_of([member], member.prompt_tokens, seeds=(member.seed,))
  leaves = jax.tree.map(lambda x: x[0], stack_leaves(group, LR, 1))
  state, found = init_state(jnp.asarray(member.init_PxD), STEPS), []
  for step in range(STEPS):
    rows = jax.tree.map(lambda x, step=step: x[step : step + 1], rows_T)
    static = get_constraint(member.constraint), member.fooling, STEPS
    gradient_PxD, state, losses = _step(*static, leaves, state, jnp.int32(step), rows)
    found.append(Alone(gradient_PxD, state.prompt_PxD, losses))
  return jax.tree.map(lambda *each: np.stack(each), *found)
