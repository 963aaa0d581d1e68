"""Contender (d): wayjax, M members of a sweep at once."""

import dataclasses
import time
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from experiments.benchmark.work import PROMPT_TOKENS, SEED, Work
from wayjax.cells import Cells
from wayjax.config import C_DIST
from wayjax.constraints import get_constraint
from wayjax.data import packing
from wayjax.data.targets import Target
from wayjax.devices import select
from wayjax.devices.sharding import place
from wayjax.evaluation import Evaluator
from wayjax.models import LanguageModel, load_lm
from wayjax.prompts import SoftPrompt
from wayjax.tuning import program
from wayjax.tuning.batches import Schedule, make_schedules
from wayjax.tuning.members import Member
from wayjax.tuning.settings import TrainSettings
from wayjax.tuning.step import member_gradient

PAPER_SEEDS = (1, 10, 100)
TIMED_DISPATCHES = 3


class Training(NamedTuple):
  """A chunk of a sweep, compiled.

  Attributes:
    lm: the language model.
    tokens: all training examples.
    group: M members, with the schedule of the steps that are timed.
    settings: what they share.
    program: what trains them.
    compile_seconds: how long it took to compile.
    useful_share: of all positions in a whole run.
    operations: of a member-step that are useful.
  """

  lm: LanguageModel
  tokens: packing.TrainingTokens
  group: program.Group
  settings: TrainSettings
  program: program.Program
  compile_seconds: float
  useful_share: float
  operations: float


def prepare(
  work: Work,
  dataset_name: str,
  device: str,
  precision: str = "float32",
  members: int = 1,
  constraint: str = C_DIST,
) -> Training:
  """Compiles the training of `members` members on one dataset, all of one constraint.

  The rows have the sizes that they have in a run of the work's steps with the paper's seeds. All
  members have the prompt and the batches of the other contenders: in a sweep, too, the members of
  one seed train together.
  """
  select.select_device(device)
  lm = load_lm(str(work.model_dir), precision=precision)
  data = work.datasets[dataset_name]
  tokens = packing.training_tokens(data.train)
  timed = work.warmup_steps + work.timed_steps
  seed_sets = [(seed,) for seed in PAPER_SEEDS]
  schedule = make_schedules(
    *(data.train, tokens, len(data.batches[0]), seed_sets, work.run_steps),
    per_dispatch=timed,
    multiple=packing.row_multiple(lm.layout.platform),
  )[PAPER_SEEDS.index(SEED)]
  padded = packing.round_up(PROMPT_TOKENS, packing.PROMPT_MULTIPLE)
  useful_share = schedule.useful_share(PROMPT_TOKENS, padded)
  operations = _operations(lm, schedule, timed)
  tokens = place(tokens, lm.layout.everywhere())
  group = program.Group(
    _members(work, lm, members, constraint),
    padded,
    _only_sizes_of(schedule, timed),
    largest=members,
    frame=work.frame,
  )
  settings = TrainSettings(steps=work.run_steps, lr=work.learning_rate, members_at_once=members)
  started = time.perf_counter()
  compiled = program.compile_group(lm, group, settings, tokens)
  seconds = time.perf_counter() - started
  return Training(lm, tokens, group, settings, compiled, seconds, useful_share, operations)


def compile_seconds(*arguments, **options) -> float:
  """How long `prepare` with these arguments compiles."""
  return prepare(*arguments, **options).compile_seconds


def measure(
  work: Work, dataset_name: str, device: str, precision: str = "float32", members: int = 1
) -> dict:
  """Checks and times wayjax on one dataset.

  Args:
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    device: `cpu` or `gpu`; what jax computes on.
    precision: `float32` or `bfloat16`.
    members: M.

  Returns:
    What the PyTorch contenders' `measure` returns; seconds are those of all members, divided by M.
    Besides, `compile_seconds`, `operations` of a member-step that are useful, and the
    `useful_share` of the positions.
  """
  training = prepare(work, dataset_name, device, precision, members)
  lm, group, tokens = training.lm, training.group, training.tokens
  schedule = group.schedule
  leaves_M, state_M = program.begin(lm.layout, group, training.settings, members)
  loss, gradient_norm = _first_gradient(lm, group, leaves_M, state_M, tokens)
  timed = work.warmup_steps + work.timed_steps
  step_seconds = []
  # Once without the clock: the first step of each size is slower.
  for first in (0, *[work.warmup_steps] * TIMED_DISPATCHES):
    started = time.perf_counter()
    state_M, _ = training.program.compiled(
      lm.params, tokens, leaves_M, state_M, schedule.dispatch(first, timed)
    )
    jax.block_until_ready(state_M)
    step_seconds.append((time.perf_counter() - started) / (timed - first) / members)

  test = work.datasets[dataset_name].test
  evaluator = Evaluator(lm, test, members)
  prompts = [SoftPrompt(member.init_PxD, lm.name) for member in group.members]
  scores = evaluator(prompts)[0]
  started = time.perf_counter()
  evaluator(prompts)
  evaluation_seconds = (time.perf_counter() - started) / members
  return {
    "loss": loss,
    "gradient_norm": gradient_norm,
    "step_seconds": step_seconds[1:],
    "evaluation_seconds": evaluation_seconds,
    "evaluation_rows": len(test),
    "accuracy": scores.accuracy,
    "mean_losses": scores.losses_NxC.tolist(),
    "compile_seconds": training.compile_seconds,
    "row_sizes": len(schedule.sizes),
    "program_bytes": training.program.memory,
    "operations": training.operations,
    "useful_share": training.useful_share,
  }


def _members(work: Work, lm: LanguageModel, count: int, constraint: str) -> list[Member]:
  """As many members with one prompt, which differ in name alone."""
  ids = np.array(work.prompt_ids, np.int32)
  cells = Cells.of(lm)
  prompt_PxD, held = cells.table_VxD[ids], get_constraint(constraint).prepare(ids, cells)
  return [
    Member(
      Target("benchmark", str(i), ""), ids, prompt_PxD, 0.0, SEED, prompt_PxD, constraint, held
    )
    for i in range(count)
  ]


def _only_sizes_of(schedule: Schedule, steps: int) -> Schedule:
  """The schedule with the sizes of its first steps only: others need not be compiled here."""
  used = np.unique(schedule.size_T[:steps])
  return dataclasses.replace(
    schedule,
    sizes=tuple(schedule.sizes[i] for i in used),
    size_T=np.searchsorted(used, schedule.size_T).astype(np.int32),
  )


def _first_gradient(lm: LanguageModel, group: program.Group, leaves_M, state_M, tokens):
  """Loss and gradient norm of the first member's first batch at the initial prompt."""
  schedule, constraint = group.schedule, get_constraint(group.constraint)
  size = schedule.sizes[schedule.size_T[0]]

  @jax.jit
  def gradient(params, tokens, leaves_M, state_M, batch_B):
    first, prompt_PxD = jax.tree.map(lambda x: x[0], (leaves_M, state_M.prompt_PxD))
    row = packing.pack_training(tokens, batch_B, **size._asdict(), frame=group.frame)
    return member_gradient(nnx.merge(lm.graphdef, params), constraint, first, prompt_PxD, row)

  gradient_PxD, _, losses = gradient(
    lm.params, tokens, leaves_M, state_M, schedule.batches_TxNxB[0, 0]
  )
  return float(losses.cross_entropy), float(np.linalg.norm(gradient_PxD))


def _operations(lm: LanguageModel, schedule: Schedule, steps: int) -> float:
  """Useful operations of a member-step: `4 N` a position that holds text or prompt, and the head.

  N counts the layers' matrices: two operations a weight forward and two backward, none for weight
  gradients. The head counts at scored tokens only; attention's own products are left out.
  """
  matrices = [x for x in jax.tree.leaves(lm.params) if x.ndim == 3]
  weights = sum(x.size for x in matrices)
  vocabulary, width = lm.table_VxD.shape
  positions = PROMPT_TOKENS + float(np.mean(schedule.useful_T[:steps]))
  return 4 * (weights * positions + vocabulary * width * schedule.sizes[0].scored)
