"""The sweep: one member's training step batched over members, here and nowhere else.

A chunk of members is one compiled program: `vmap` over members, `scan` over the K steps of one
dispatch. Gamma, learning rate, seed and target are leaves of its input, so none of them recompiles;
the frozen model is a plain argument, never donated and never differentiated.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax import devices, packing
from wayjax.encoding import EncodedExamples
from wayjax.errors import WayjaxError
from wayjax.members import Member, left_mask, make_members, pad_left
from wayjax.models import LanguageModel
from wayjax.targets import Target
from wayjax.train import MemberLeaves, StepLosses, TrainState, init_state, train_step

ROW_MULTIPLE = {"cpu": 32, "gpu": 64, "tpu": 128}
STEPS_PER_DISPATCH = 20
MEMORY_SHARE = 0.8  # of what is free, for one chunk
CPU_MEMBERS = 16  # on a CPU more members at once gain nothing and finish later


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """What all members of a sweep share; the defaults are the paper's."""

  steps: int = 2000
  lr: float = 0.01
  batch_size: int = 8
  members_at_once: int | None = None
  eval_every: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class TunedPrompt:
  """A finished member.

  Attributes:
    member: what was trained.
    prompt_PxD: the last step's prompt, or the last finite one of a member that diverged.
    cross_entropy_T: loss of every step.
    c_dist_T: c-dist of every step.
    diverged_at: the first step whose loss or prompt was not finite; None for a sound member.
    wall_seconds: the chunk's training time, divided by its members.
  """

  member: Member
  prompt_PxD: np.ndarray
  cross_entropy_T: np.ndarray
  c_dist_T: np.ndarray
  diverged_at: int | None
  wall_seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a sweep stands after a dispatch.

  Attributes:
    chunk: the members now in training.
    step: steps that they have done.
    steps: steps that they will do.
    losses: the dispatch's losses, each (M, K).
    member_steps: member-steps done in all.
    member_steps_total: member-steps of the whole sweep.
    seconds: time spent in dispatches so far, compilation left out.
    compile_seconds: time spent compiling so far.
    memory: bytes that the compiled program needs besides the model.
    prompts: gives the prompts as they are now, (P, D) each.
  """

  chunk: list[Member]
  step: int
  steps: int
  losses: StepLosses
  member_steps: int
  member_steps_total: int
  seconds: float
  compile_seconds: float
  memory: int
  prompts: Callable[[], list[np.ndarray]]

  @property
  def members_trained(self) -> int:
    """Members that have done all their steps."""
    earlier = (self.member_steps - len(self.chunk) * self.step) // self.steps
    return earlier + len(self.chunk) * (self.step == self.steps)

  @property
  def seconds_left(self) -> float:
    """Estimate from the rate so far."""
    return self.seconds * (self.member_steps_total / self.member_steps - 1)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4,))
def train_dispatch(graphdef, steps: int, params, leaves_M, state_M, steps_K, rows_KxN):
  """K steps of all members of a chunk.

  Args:
    graphdef: the model's structure.
    steps: steps of the whole training; steps from there on change nothing.
    params: the model's weights.
    leaves_M: the members, stacked.
    state_M: their states, stacked; donated.
    steps_K: the numbers of these steps.
    rows_KxN: packed rows of each step and seed.

  Returns:
    The next states, and the losses, each (K, M).
  """
  model = nnx.merge(graphdef, params)

  def step_members(state_M, step, rows_N):
    one = functools.partial(train_step, model, steps)
    return jax.vmap(one, in_axes=(0, 0, None, None))(leaves_M, state_M, step, rows_N)

  def skip(state_M, step, rows_N):
    nothing_M = jnp.zeros(leaves_M.gamma.shape, jnp.float32)
    return state_M, StepLosses(nothing_M, nothing_M)

  def scanned(state_M, xs):
    step, rows_N = xs
    # The predicate is not batched, so the steps after the last are skipped, not masked.
    return jax.lax.cond(step < steps, step_members, skip, state_M, step, rows_N)

  return jax.lax.scan(scanned, state_M, (steps_K, rows_KxN))


def tune_chunks(
  lm: LanguageModel,
  examples: EncodedExamples,
  members: list[Member],
  settings: TrainSettings,
  on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[list[TunedPrompt]]:
  """Trains all members, chunk by chunk.

  Args:
    lm: the frozen language model.
    examples: encoded training examples.
    members: what to train.
    settings: what they share.
    on_progress: called after every dispatch.

  Yields:
    The finished members of a chunk.

  Raises:
    WayjaxError: not even one member fits the memory.
  """
  seeds = sorted({member.seed for member in members})
  batches = {
    seed: packing.training_batches(examples, settings.batch_size, seed, range(settings.steps))
    for seed in seeds
  }
  batches_TxNxB = np.stack([batches[seed] for seed in seeds], axis=1)
  text, scored = packing.training_sizes(examples, batches_TxNxB)
  text = packing.round_up(text, ROW_MULTIPLE.get(jax.default_backend(), 64))

  def rows(first: int, count: int) -> packing.PackedRow:
    # Steps after the last repeat it; the compiled program skips them.
    steps = np.minimum(np.arange(first, first + count), settings.steps - 1)
    return packing.pack_training(examples, batches_TxNxB[steps], text, scored)

  per_dispatch = min(STEPS_PER_DISPATCH, settings.steps, settings.eval_every or settings.steps)
  total, done, seconds, compiling = len(members) * settings.steps, 0, 0.0, 0.0
  for padded, group in group_by_length(members).items():
    started = time.perf_counter()
    compiled, size, memory = _compile(
      lm, group, padded, seeds, settings, rows(0, per_dispatch), per_dispatch
    )
    compiling += time.perf_counter() - started
    for first in range(0, len(group), size):
      chunk = group[first : first + size]
      leaves_M = stack_leaves(chunk, padded, seeds, settings.lr, size)
      state_M = stack_states(chunk, padded, settings.steps, size)
      history, chunk_seconds, step = [], 0.0, 0
      while step < settings.steps:
        # A dispatch ends where an evaluation is due, and the steps after its end are skipped.
        stop = min(step + per_dispatch, settings.steps)
        if settings.eval_every:
          stop = min(stop, (step // settings.eval_every + 1) * settings.eval_every)
        started = time.perf_counter()
        numbers_K = np.arange(step, step + per_dispatch, dtype=np.int32)
        numbers_K = np.where(numbers_K < stop, numbers_K, settings.steps).astype(np.int32)
        state_M, losses = compiled(
          lm.params, leaves_M, state_M, numbers_K, rows(step, per_dispatch)
        )
        losses = StepLosses(*(np.asarray(x).T[: len(chunk), : stop - step] for x in losses))
        chunk_seconds += time.perf_counter() - started
        history.append(losses)
        done += len(chunk) * (stop - step)
        step = stop
        on_progress(
          Progress(
            chunk,
            step,
            settings.steps,
            losses,
            done,
            total,
            seconds + chunk_seconds,
            compiling,
            memory,
            functools.partial(_prompts, chunk, state_M),
          )
        )
      seconds += chunk_seconds
      ce_MxT = np.concatenate([losses.cross_entropy for losses in history], axis=1)
      c_dist_MxT = np.concatenate([losses.c_dist for losses in history], axis=1)
      failed_M = np.asarray(state_M.diverged_at)
      yield [
        TunedPrompt(
          member,
          prompt_PxD,
          ce_MxT[i],
          c_dist_MxT[i],
          int(failed_M[i]) if failed_M[i] >= 0 else None,
          chunk_seconds / len(chunk),
        )
        for i, (member, prompt_PxD) in enumerate(zip(chunk, _prompts(chunk, state_M)))
      ]


def tune(
  lm: LanguageModel,
  examples: EncodedExamples,
  targets: list[Target | str],
  *,
  gammas: tuple[float, ...] = (0.0, 0.01),
  seeds: tuple[int, ...] = (1, 10, 100),
  init: str = "target",
  prompt_tokens: int | None = None,
  **settings,
) -> list[TunedPrompt]:
  """Tunes a prompt for every target, gamma and seed, in one sweep.

  Args:
    lm: the frozen language model.
    examples: encoded training examples.
    targets: what the prompts are to read as, texts or `Target`s.
    gammas: weights of c-dist.
    seeds: seeds, which order the training examples.
    init: `target`, `vocab` or `random`; see `make_members`.
    prompt_tokens: prompt length; None means the target's.
    **settings: fields of `TrainSettings`.

  Returns:
    Tuned prompts, target by target, then gamma by gamma, then seed by seed.

  Raises:
    WayjaxError: a target that does not fit, or not enough memory.
  """
  targets = [
    Target("text", f"text-{i}", target) if isinstance(target, str) else target
    for i, target in enumerate(targets, start=1)
  ]
  members = make_members(
    lm,
    targets,
    gammas,
    seeds,
    init=init,
    prompt_tokens=prompt_tokens,
    longest_example=examples.longest(),
  )
  chunks = tune_chunks(lm, examples, members, TrainSettings(**settings))
  tuned = {id(one.member): one for chunk in chunks for one in chunk}
  return [tuned[id(member)] for member in members]


def group_by_length(members: list[Member]) -> dict[int, list[Member]]:
  """Members by padded prompt length, shortest first; each group is one compiled program."""
  groups = collections.defaultdict(list)
  for member in members:
    groups[packing.round_up(member.prompt_tokens, packing.PROMPT_MULTIPLE)].append(member)
  return dict(sorted(groups.items()))


def stack_leaves(chunk, padded: int, seeds: list[int], lr: float, size: int) -> MemberLeaves:
  """The leaves of a chunk, filled up to `size` with idle members, whose learning rate is 0."""
  leaves = []
  for member in chunk:
    # Without a target of the same length gamma is 0; zeros keep the distance finite.
    target = member.target_PxD if member.has_c_dist else np.zeros_like(member.init_PxD)
    leaves.append(
      MemberLeaves(
        pad_left(target, padded),
        left_mask(member.prompt_tokens, padded),
        np.float32(member.gamma),
        np.float32(lr),
        np.int32(seeds.index(member.seed)),
      )
    )
  idle = leaves[0]._replace(lr=np.float32(0))
  return jax.tree.map(lambda *xs: jnp.stack(xs), *leaves, *[idle] * (size - len(chunk)))


def stack_states(chunk, padded: int, steps: int, size: int) -> TrainState:
  """The states of a chunk before its first step, filled up to `size` with copies of the first."""
  prompts = [pad_left(member.init_PxD, padded) for member in chunk]
  prompts_MxPxD = jnp.stack(prompts + [prompts[0]] * (size - len(chunk)))
  return jax.vmap(functools.partial(init_state, steps=steps))(prompts_MxPxD)


def _prompts(chunk, state_M: TrainState) -> list[np.ndarray]:
  """The members' prompts as they are now, without padding."""
  prompts_MxPxD = np.asarray(state_M.prompt_PxD)
  return [prompt[-member.prompt_tokens :] for member, prompt in zip(chunk, prompts_MxPxD)]


def _compile(lm, group, padded, seeds, settings, rows_KxN, per_dispatch):
  """Compiles a group's program for as many members at once as fit.

  Returns:
    The program, its members at once, and the bytes it needs besides the model.
  """
  size = min(len(group), settings.members_at_once or len(group))
  if settings.members_at_once is None and jax.default_backend() == "cpu":
    size = min(size, CPU_MEMBERS)
  size = -(-len(group) // -(-len(group) // size))  # chunks of even size
  numbers_K = np.arange(per_dispatch, dtype=np.int32)
  free = MEMORY_SHARE * devices.free_memory()
  while True:
    leaves_M = jax.eval_shape(lambda: stack_leaves(group[:1], padded, seeds, settings.lr, size))  # noqa: B023
    state_M = jax.eval_shape(lambda: stack_states(group[:1], padded, settings.steps, size))  # noqa: B023
    lowered = train_dispatch.lower(
      lm.graphdef, settings.steps, lm.params, leaves_M, state_M, numbers_K, rows_KxN
    )
    compiled = lowered.compile()
    memory = compiled.memory_analysis().temp_size_in_bytes
    if settings.members_at_once is not None or memory <= free:
      return compiled, size, memory
    if size == 1:
      raise WayjaxError(
        f"one member needs {memory / 2**30:.1f} GiB and {free / 2**30:.1f} GiB can be used: lower "
        "--batch-size or --max-length, or take a smaller model"
      )
    size = max(1, min(int(size * free / memory), size - 1))
