"""The sweep: all members trained, chunk by chunk."""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator

import jax

from wayjax import chunks, packing, processes
from wayjax.chunks import Program, TrainSettings
from wayjax.encoding import EncodedExamples
from wayjax.errors import WayjaxError
from wayjax.layout import place
from wayjax.members import Member, make_members
from wayjax.models import LanguageModel
from wayjax.recovery import Decision, Recovery
from wayjax.schedule import Schedule, choose_rounds, make_schedules
from wayjax.stopping import Stopped
from wayjax.targets import Target
from wayjax.training import ChunkTraining, Meter, Progress, TunedPrompt

STEPS_PER_DISPATCH = 20


def tune_chunks(
  lm: LanguageModel,
  examples: EncodedExamples,
  members: list[Member],
  settings: TrainSettings,
  on_progress: Callable[[Progress], None] = lambda progress: None,
  recovery: Recovery | None = None,
) -> Iterator[list[TunedPrompt]]:
  """Trains all members, chunk by chunk.

  Args:
    lm: the frozen language model.
    examples: encoded training examples.
    members: what to train.
    settings: what they share.
    on_progress: called after every dispatch.
    recovery: what is known of an earlier run of the same sweep, and how this one is saved.

  Yields:
    The finished members of a chunk; none of a chunk whose members had all finished before.

  Raises:
    WayjaxError: not even one member fits the memory, or a checkpoint cannot be written.
    Stopped: it was asked to.
  """
  sweep = _Sweep(lm, examples, members, settings, on_progress, recovery or Recovery())
  for padded, group in chunks.group_by_length(members).items():
    yield from sweep.tune_group(padded, group)


class _Sweep:
  """A sweep under way."""

  def __init__(self, lm, examples, members, settings, on_progress, recovery: Recovery):
    self._lm, self._examples, self._settings = lm, examples, settings
    self._on_progress, self._recovery = on_progress, recovery
    self._tokens = packing.training_tokens(examples)
    self._on_device = place(self._tokens, lm.layout.everywhere())
    self._meter = Meter(len(members) * settings.steps)
    self._before = 0  # members that come before the next chunk

  def tune_group(self, padded: int, group: list[Member]) -> Iterator[list[TunedPrompt]]:
    """Trains the members of one padded prompt length; those of a round after those of another."""
    recovery, program = self._recovery, None
    schedules = self._schedules(padded, group)
    rounds = [[one for one in group if one.seed in schedule.seeds] for schedule in schedules]
    for schedule, members in zip(schedules, rounds, strict=True):
      while members:
        decision = recovery.decided(padded, self._before)
        chunk = members[: decision.members_at_once] if decision else []
        if chunk and recovery.finished.issuperset(one.key for one in chunk):
          self._meter.member_steps += len(chunk) * self._settings.steps
        else:
          if processes.gather(bool(recovery.stop())).any():
            raise Stopped
          if program is None or program.size != decision.members_at_once:
            program = self._compile(padded, max(rounds, key=len), schedule, decision)
          chunk = members[: program.size]
          tuned = self._train(padded, chunk, program, schedule)
          if tuned is None:
            continue  # with fewer members at once
          yield tuned
        members = members[len(chunk) :]
        self._before += len(chunk)

  def _schedules(self, padded: int, group: list[Member]) -> list[Schedule]:
    settings, decision = self._settings, self._recovery.decided(padded, self._before)
    return make_schedules(
      self._examples,
      self._tokens,
      settings.batch_size,
      choose_rounds(collections.Counter(member.seed for member in group)),
      settings.steps,
      per_dispatch=min(STEPS_PER_DISPATCH, settings.steps, settings.eval_every or settings.steps),
      sizes=decision and decision.sizes,
    )

  def _compile(
    self, padded: int, largest, schedule: Schedule, decision: Decision | None
  ) -> Program:
    """The program of a group; where nothing was decided of it, what it takes is kept."""
    started = time.perf_counter()
    program = chunks.compile_group(
      self._lm, largest, padded, self._settings, self._on_device, schedule, decision
    )
    self._meter.compile_seconds += time.perf_counter() - started
    if decision is None:
      self._recovery.decide(
        Decision(padded, self._before, program.size, program.checkpointed, schedule.sizes)
      )
    return program

  def _train(
    self, padded: int, chunk: list[Member], program: Program, schedule: Schedule
  ) -> list[TunedPrompt] | None:
    """Trains a chunk; None where the memory ran out, and half as many are to be tried."""
    done = self._meter.member_steps
    training = ChunkTraining(
      self._lm.layout, chunk, padded, program, self._before, schedule, self._settings
    )
    try:
      return training.run(
        self._lm.params, self._on_device, self._meter, self._on_progress, self._recovery
      )
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error) or program.size == 1:
        raise
    self._meter.member_steps = done
    fewer = program.size // 2
    self._recovery.say(
      f"warning: {program.size} members at once do not fit the memory after all: these start "
      f"again, and from here on it is {fewer}"
    )
    decision = self._recovery.decided(padded, self._before)
    self._recovery.decide(dataclasses.replace(decision, after=self._before, members_at_once=fewer))
    return None


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
