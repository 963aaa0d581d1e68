"""The sweep: all members trained, chunk by chunk.

The nouns of the loop, from the whole to its smallest part:

  sweep      all members: targets x gamma x constraints x seeds
  group      members of one padded prompt length and constraint that read the same rows; groups of
             one length and constraint share a compiled program
  chunk      members of a group that train at once, as many as fit the memory
  dispatch   up to K steps of a chunk, one call of its program
  step       one update of every member of a chunk
"""

import dataclasses
import logging
import time
from collections.abc import Iterable, Iterator

import jax

from wayjax.config import C_DIST
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.targets import Target
from wayjax.devices import compilation, processes
from wayjax.devices.sharding import place
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.readers.fooling import make_fooling
from wayjax.tuning import program as programs
from wayjax.tuning.callbacks import Callbacks, Meter, Recovery, Stopped
from wayjax.tuning.chunk import train_chunk
from wayjax.tuning.decisions import Decision
from wayjax.tuning.groups import Group, make_groups
from wayjax.tuning.members import Member, TunedPrompt, make_members
from wayjax.tuning.program import Program
from wayjax.tuning.settings import TrainSettings

_log = logging.getLogger("wayjax")


def tune_chunks(
  lm: LanguageModel,
  examples: EncodedExamples,
  members: list[Member],
  settings: TrainSettings,
  callbacks: Callbacks | None = None,
  recovery: Recovery | None = None,
) -> Iterator[list[TunedPrompt]]:
  """Trains all members, chunk by chunk.

  Args:
    lm: the frozen language model.
    examples: encoded training examples.
    members: what to train.
    settings: what they share.
    callbacks: what is told and asked on the way.
    recovery: what is known of an earlier run of the same sweep, and how this one is saved.

  Yields:
    The finished members of a chunk; nothing for a chunk whose members had all finished before.

  Raises:
    WayjaxError: not even one member fits the memory, or a checkpoint cannot be written.
    Stopped: it was asked to.
  """
  callbacks, recovery = callbacks or Callbacks(), recovery or Recovery()
  examples.require_fit(lm)
  tokens = packing.training_tokens(examples)
  on_device = place(tokens, lm.layout.everywhere())
  meter = Meter(len(members) * settings.steps)
  program, shared_by = None, None
  platform = lm.layout.platform
  for group in make_groups(members, examples, tokens, settings, recovery.decisions, platform):
    if shared_by != (group.padded, group.constraint):
      if program:
        program = None
        callbacks.on_length_done()
        compilation.forget_programs()
      shared_by = (group.padded, group.constraint)
    done = 0
    while done < len(group.members):
      decision = recovery.decisions.find(group.padded, group.constraint, group.before + done)
      chunk = group.chunk(done, decision.members_at_once) if decision else None
      if chunk and recovery.finished.issuperset(chunk.keys):
        meter.member_steps += len(chunk.members) * settings.steps
        done += len(chunk.members)
        continue
      if processes.gather(bool(callbacks.stop())).any():
        raise Stopped
      if program is None or program.size != decision.members_at_once:
        callbacks.on_compile(group)
        program = _compile(lm, group, done, settings, on_device, meter, recovery, decision)
      chunk = group.chunk(done, program.size)
      steps_before = meter.member_steps
      try:
        tuned = train_chunk(lm, on_device, chunk, program, settings, meter, callbacks, recovery)
      except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) or program.size == 1:
          raise
        meter.member_steps = steps_before
        _halve(chunk, recovery)
        continue
      yield tuned
      done += len(chunk.members)


def _compile(
  lm: LanguageModel,
  group: Group,
  done: int,
  settings: TrainSettings,
  tokens,
  meter: Meter,
  recovery: Recovery,
  decision: Decision | None,
) -> Program:
  """The program of a group; where nothing had been decided, what it takes is kept."""
  started = time.perf_counter()
  program = programs.compile_group(lm, group, settings, tokens, decision)
  meter.compile_seconds += time.perf_counter() - started
  if decision is None:
    recovery.decisions.add(
      Decision(
        padded=group.padded,
        after=group.before + done,
        members_at_once=program.size,
        remat=program.remat,
        sizes=group.schedule.sizes,
        constraint=group.constraint,
        paddings=group.paddings,
      )
    )
  return program


def _halve(chunk: Group, recovery: Recovery) -> None:
  """Decides that from this chunk on half as many members train at once: the memory ran out."""
  decision = recovery.decisions.find(chunk.padded, chunk.constraint, chunk.before)
  fewer = decision.members_at_once // 2
  _log.warning(
    "%d members at once do not fit the memory after all: these start again, and from here on it is "
    "%d",
    decision.members_at_once,
    fewer,
  )
  recovery.decisions.add(dataclasses.replace(decision, after=chunk.before, members_at_once=fewer))


def tune(
  lm: LanguageModel,
  examples: EncodedExamples,
  targets: list[Target | str],
  *,
  gammas: tuple[float, ...] = (0.0, 0.01),
  seeds: tuple[int, ...] = (1, 10, 100),
  constraints: tuple[str, ...] = (C_DIST,),
  cell_gammas: tuple[float, ...] = (0.0,),
  certify_dtype: str = "bfloat16",
  certify_metrics: tuple[str, ...] = (),
  init: str = "target",
  prompt_tokens: int | None = None,
  steps: int = 2000,
  lr: float = 0.01,
  batch_size: int = 8,
  members_at_once: int | None = None,
  fool: str | None = None,
  fool_weight: float = 1.0,
) -> list[TunedPrompt]:
  """Tunes a prompt for every target, constraint, gamma and seed, in one sweep.

  Args:
    lm: the frozen language model.
    examples: encoded training examples.
    targets: what the prompts are to read as, texts or `Target`s.
    gammas: weights of the constraints' penalties.
    seeds: seeds, which order the training examples.
    constraints: how prompts are held to their targets: names in `CONSTRAINTS`.
    cell_gammas: weights of the penalty beside the constraint `cell`, in place of `gammas`.
    certify_dtype: the coarsest type that prompts held in cells can be stored in and still read as
      their targets: `float32`, `float16` or `bfloat16`.
    certify_metrics: in whose cells they are held; empty for all that can be.
    init: `target`, `vocab` or `random`; see `make_members`.
    prompt_tokens: prompt length; None means the target's.
    steps: training steps of each prompt.
    lr: learning rate of the first step; it decays linearly to 0.
    batch_size: examples in a batch.
    members_at_once: prompts in one program; None means as many as fit the memory.
    fool: a reader that is to say the targets, too, as an attack on it; see `make_fooling`.
    fool_weight: weight of the targets' negative log-likelihood by that reader in the loss.

  Returns:
    Tuned prompts: target by target, then constraint by constraint, gamma by gamma, seed by seed.

  Raises:
    WayjaxError: a wrong value, a target that does not fit, or not enough memory.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  require_kind("examples", examples, EncodedExamples, "what encode returns")
  if isinstance(targets, str):
    raise WayjaxError("targets must be a list of texts, not one text")
  if not isinstance(targets, Iterable):
    raise WayjaxError(f"targets must be a list of texts, not {targets!r}")
  settings = TrainSettings(steps, lr, batch_size, members_at_once)
  targets = [
    Target("text", f"text-{i}", target) if isinstance(target, str) else target
    for i, target in enumerate(targets, start=1)
  ]
  for target in targets:
    require_kind("a target", target, Target, "a text or a Target")
  fooling = None
  if fool is None and fool_weight != 1.0:
    raise WayjaxError("fool_weight is that of a reader that is fooled: it goes with fool")
  if fool is not None:
    fooling = make_fooling(lm, fool, fool_weight, examples.frame, targets)
  members = make_members(
    lm,
    targets,
    gammas,
    seeds,
    constraints=constraints,
    cell_gammas=cell_gammas,
    certify_dtype=certify_dtype,
    certify_metrics=certify_metrics,
    init=init,
    prompt_tokens=prompt_tokens,
    longest_example=examples.longest(),
    fooling=fooling,
  )
  finished = tune_chunks(lm, examples, members, settings)
  found = {id(tuned.member): tuned for chunk in finished for tuned in chunk}
  return [found[id(member)] for member in members]
