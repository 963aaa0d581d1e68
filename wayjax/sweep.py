"""The sweep: all members trained, chunk by chunk; `chunks.py` compiles what one chunk runs."""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from wayjax import chunks, packing
from wayjax.chunks import TrainSettings
from wayjax.encoding import EncodedExamples
from wayjax.errors import WayjaxError
from wayjax.members import Member, make_members
from wayjax.models import LanguageModel
from wayjax.schedule import Schedule, choose_rounds, make_schedules
from wayjax.targets import Target
from wayjax.train import StepLosses

STEPS_PER_DISPATCH = 20


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
  tokens = packing.training_tokens(examples)
  on_device = jax.device_put(tokens)
  per_dispatch = min(STEPS_PER_DISPATCH, settings.steps, settings.eval_every or settings.steps)
  plan = functools.cache(
    lambda *rounds: make_schedules(
      examples, tokens, settings.batch_size, rounds, settings.steps, per_dispatch=per_dispatch
    )
  )
  meter = _Meter(len(members) * settings.steps)
  for padded, group in chunks.group_by_length(members).items():
    schedules = plan(*choose_rounds(collections.Counter(member.seed for member in group)))
    rounds = [
      (schedule, [member for member in group if member.seed in schedule.seeds])
      for schedule in schedules
    ]
    started = time.perf_counter()
    largest = max((members for _, members in rounds), key=len)
    program = chunks.compile_group(lm, largest, padded, settings, on_device, schedules[0])
    meter.compile_seconds += time.perf_counter() - started
    for schedule, members in rounds:
      for first in range(0, len(members), program.size):
        chunk = members[first : first + program.size]
        leaves_M = chunks.stack_leaves(chunk, padded, schedule.seeds, settings.lr, program.size)
        state_M = chunks.stack_states(chunk, padded, settings.steps, program.size)
        run = functools.partial(program.compiled, lm.params, on_device, leaves_M)
        yield _train_chunk(
          run, chunk, state_M, schedule, settings, meter, program.memory, on_progress
        )


def _train_chunk(
  run, chunk, state_M, schedule: Schedule, settings, meter, memory: int, on_progress
) -> list[TunedPrompt]:
  """All dispatches of one chunk."""
  history, seconds, step = [], 0.0, 0
  while step < settings.steps:
    # A dispatch ends where an evaluation is due; what is left of its K steps is skipped.
    stop = min(step + schedule.per_dispatch, settings.steps)
    if settings.eval_every:
      stop = min(stop, (step // settings.eval_every + 1) * settings.eval_every)
    started = time.perf_counter()
    state_M, losses = run(state_M, schedule.dispatch(step, stop))
    losses = StepLosses(*(np.asarray(x).T[: len(chunk), : stop - step] for x in losses))
    spent = time.perf_counter() - started
    seconds += spent
    history.append(losses)
    meter.seconds += spent
    meter.member_steps += len(chunk) * (stop - step)
    step = stop
    on_progress(
      Progress(
        chunk=chunk,
        step=step,
        steps=settings.steps,
        losses=losses,
        member_steps=meter.member_steps,
        member_steps_total=meter.member_steps_total,
        seconds=meter.seconds,
        compile_seconds=meter.compile_seconds,
        memory=memory,
        prompts=functools.partial(chunks.unstack_prompts, chunk, state_M),
      )
    )
  ce_MxT, c_dist_MxT = (np.concatenate(parts, axis=1) for parts in zip(*history))
  failed_M = np.asarray(state_M.diverged_at)
  return [
    TunedPrompt(
      member=member,
      prompt_PxD=prompt_PxD,
      cross_entropy_T=ce_MxT[i],
      c_dist_T=c_dist_MxT[i],
      diverged_at=int(failed_M[i]) if failed_M[i] >= 0 else None,
      wall_seconds=seconds / len(chunk),
    )
    for i, (member, prompt_PxD) in enumerate(zip(chunk, chunks.unstack_prompts(chunk, state_M)))
  ]


@dataclasses.dataclass
class _Meter:
  """What a sweep has done so far."""

  member_steps_total: int
  member_steps: int = 0
  seconds: float = 0.0
  compile_seconds: float = 0.0


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
  if isinstance(targets, str):
    raise WayjaxError("targets must be a list of texts, not one text")
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
  finished = tune_chunks(lm, examples, members, TrainSettings(**settings))
  tuned = {id(one.member): one for chunk in finished for one in chunk}
  return [tuned[id(member)] for member in members]
