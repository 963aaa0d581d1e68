"""The members of a sweep, on the host: what each is tuned towards, its start, and its result."""

import dataclasses

import numpy as np

from wayjax.cells import Cells
from wayjax.config import C_DIST, INITS, is_unconstrained, options, variants
from wayjax.constraints import get_constraint
from wayjax.data.encoding import target_ids
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.options import check_value, require_choice
from wayjax.projection import c_proj
from wayjax.prompts import SoftPrompt
from wayjax.readers.fooling import Fooling

_BLOCK = 2**20  # numbers of the embedding table, of which a copy exists at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One training: a target, a gamma, a constraint, a seed.

  Attributes:
    target: what the prompt is to read as.
    target_ids: the target's tokens.
    target_PxD: their embeddings, c-proj of the target.
    gamma: weight of the constraint's penalty.
    seed: orders the training examples and draws the initial prompt where that is random.
    init_PxD: the prompt at step 0, float32.
    constraint: how the prompt is held to its target, a name in CONSTRAINTS.
    held: what the constraint prepared for the target: a tree of arrays whose first axis is P.
    cells: the cells of the model's tokens; shared by a sweep.
    fooling: the reader that the prompt is to fool, shared by a sweep; None for none.
    said_S: the tokens that this reader is to say.
  """

  target: Target
  target_ids: np.ndarray
  target_PxD: np.ndarray
  gamma: float
  seed: int
  init_PxD: np.ndarray
  constraint: str = C_DIST
  held: object = ()
  cells: Cells | None = None
  fooling: Fooling | None = None
  said_S: np.ndarray | None = None

  @property
  def prompt_tokens(self) -> int:
    """P, without padding."""
    return len(self.init_PxD)

  @property
  def has_c_dist(self) -> bool:
    """Whether the prompt is as long as its target, so that their distance is defined."""
    return self.prompt_tokens == len(self.target_ids)

  @property
  def key(self) -> str:
    """The member's name in a run folder."""
    gamma = repr(self.gamma).removesuffix(".0")
    key = f"{self.target.group}/{self.target.name}/gamma={gamma}/seed={self.seed}"
    return key if self.constraint == C_DIST else f"{key}/constraint={self.constraint}"


@dataclasses.dataclass(frozen=True, eq=False)
class TunedPrompt:
  """A finished member: a soft prompt, and how it came about.

  Attributes:
    prompt: the last step's prompt, or the last finite one of a member that diverged.
    member: what was trained.
    cross_entropy_T: loss of every step.
    c_dist_T: c-dist of every step.
    reader_nll_T: how unlikely the reader that is fooled was to say the target, nats a token, at
      every step; None where none is fooled.
    diverged_at: the first step whose loss or prompt was not finite; None for a sound member.
    wall_seconds: the chunk's training time, divided by its members.
  """

  prompt: SoftPrompt
  member: Member
  cross_entropy_T: np.ndarray
  c_dist_T: np.ndarray
  diverged_at: int | None
  wall_seconds: float
  reader_nll_T: np.ndarray | None = None


def make_members(
  lm: LanguageModel,
  targets: list[Target],
  gammas: tuple[float, ...],
  seeds: tuple[int, ...],
  *,
  constraints: tuple[str, ...] = (C_DIST,),
  cell_gammas: tuple[float, ...] = (0.0,),
  certify_dtype: str = "bfloat16",
  certify_metrics: tuple[str, ...] = (),
  init: str = "target",
  prompt_tokens: int | None = None,
  longest_example: int = 0,
  fooling: Fooling | None = None,
) -> list[Member]:
  """All members of a sweep.

  Args:
    lm: the frozen language model.
    targets: target prompts.
    gammas: weights of the constraints' penalties.
    seeds: seeds.
    constraints: names in CONSTRAINTS.
    cell_gammas: weights of the penalty beside the constraint `cell`, in place of `gammas`.
    certify_dtype: the coarsest type that prompts held in cells can be stored in.
    certify_metrics: in whose cells they are held; empty for all that can be.
    init: `target` (c-proj of the target), `vocab` (random tokens' embeddings) or `random` (normal,
      with the table's mean and standard deviation). Members that differ in gamma start alike, and
      as far as constraints let them, those that differ in constraint.
    prompt_tokens: prompt length; None means the target's.
    longest_example: positions that the longest example needs after the prompt.
    fooling: the reader that prompts are to fool, made for these targets; None for none.

  Returns:
    Members: target by target, then constraint by constraint, then gamma by gamma.

  Raises:
    WayjaxError: a wrong value, a prompt that does not fit the context, or one whose length does not
      fit its target.
  """
  rules = {field.name: field for field in options()}
  gammas = check_value(rules["gamma"], gammas, "gamma")
  seeds = check_value(rules["seeds"], seeds, "seeds")
  constraints = check_value(rules["constraint"], constraints, "constraints")
  prompt_tokens = check_value(rules["prompt_tokens"], prompt_tokens, "prompt_tokens")
  cell_gammas = check_value(rules["cell_gamma"], cell_gammas, "cell_gammas")
  certify_dtype = check_value(rules["certify_dtype"], certify_dtype, "certify_dtype")
  certify_metrics = check_value(rules["certify_metrics"], certify_metrics, "certify_metrics")
  held_in = variants(constraints, gammas, cell_gammas)
  if not (targets and held_in and seeds):
    raise WayjaxError("a sweep needs at least one target, one gamma, one constraint and one seed")
  cells = Cells.of(lm, metrics=certify_metrics, dtype=certify_dtype)
  table_VxD = cells.table_VxD
  members = []
  for target in targets:
    ids = target_ids(lm, target)
    length = len(ids) if prompt_tokens is None else prompt_tokens
    _check_length(lm, target, ids, length, longest_example)
    if length != len(ids):
      _require_free(target, ids, length, init, constraints, gammas, fooling)
    target_PxD = c_proj(ids, table_VxD)
    starts = [initial_prompt(table_VxD, ids, init, length, seed, lm.unused_U) for seed in seeds]
    said_S = None if fooling is None else fooling.encode(lm, target)
    for name in constraints:
      constraint = get_constraint(name)
      held = constraint.prepare(ids, cells)
      settled = [constraint.settle(start, ids, held, cells) for start in starts]
      members += [
        Member(
          target=target,
          target_ids=ids,
          target_PxD=target_PxD,
          gamma=float(gamma),
          seed=int(seed),
          init_PxD=start,
          constraint=name,
          held=held,
          cells=cells,
          fooling=fooling,
          said_S=said_S,
        )
        for held_by, gamma in held_in
        if held_by == name
        for seed, start in zip(seeds, settled, strict=True)
      ]
  return members


def _check_length(
  lm: LanguageModel, target: Target, ids: np.ndarray, length: int, longest_example: int
) -> None:
  if not length:
    raise WayjaxError(f"target '{target.name}' has no tokens: give it some text")
  # The target is scored as a prompt too, whatever the length of the tuned one.
  for count, what, mend in (
    (len(ids), f"target '{target.name}' has", "shorten the target"),
    (length, "--prompt-tokens asks for", "ask for fewer"),
  ):
    if count + longest_example > lm.max_positions:
      raise WayjaxError(
        f"{what} {count} tokens, which with the longest example's {longest_example} exceed the "
        f"model's {lm.room}: {mend}, lower --max-length, "
        "or shorten the longest answer, --before or --after"
      )


def _require_free(target: Target, ids, length: int, init: str, constraints, gammas, fooling):
  """Raises where prompts of another length than their target are compared with it."""
  if init == "target":
    why = "--init target"
  elif any(gammas):
    why = "a gamma above 0"
  elif any(not is_unconstrained(name, 0.0) for name in constraints):
    why = f"--constraint {' '.join(constraints)}"
  elif fooling is not None:
    why = "--fool"
  else:
    return
  raise WayjaxError(
    f"--prompt-tokens {length} does not go with {why}: target '{target.name}' has {len(ids)} "
    "tokens, and a prompt that is held to it, or has a reader say it, is as long"
  )


def take_shard(members: list[Member], index: int, count: int) -> list[Member]:
  """One of `count` disjoint parts of a sweep, for machines that share nothing.

  The gammas and constraints of a text and a seed stay together, because they are compared and read
  the same rows; with as many parts as seeds each part has the members of one seed.

  Raises:
    WayjaxError: there are not so many parts.
  """
  pairs = list(dict.fromkeys((member.target, member.seed) for member in members))
  mine = set(pairs[index::count])
  if not mine:
    raise WayjaxError(
      f"--shard {index}/{count} is empty: the sweep has {len(pairs)} pairs of a target and a seed"
    )
  return [member for member in members if (member.target, member.seed) in mine]


def initial_prompt(
  table_VxD, target_ids, init: str, length: int, seed: int, unused_U=None
) -> np.ndarray:
  """The prompt at step 0, (length, D); a function of the target's tokens and the seed."""
  require_choice("init", init, INITS)
  rng = np.random.default_rng([seed, *target_ids.tolist()])
  if init == "target":
    return c_proj(target_ids, table_VxD)
  if init == "vocab":
    tokens = len(table_VxD)
    if unused_U is not None:
      tokens = np.setdiff1d(np.arange(tokens), unused_U)
    return table_VxD[rng.choice(tokens, length)]
  noise_PxD = rng.standard_normal((length, table_VxD.shape[1]))
  mean, deviation = _mean_and_deviation(table_VxD)
  return (mean + deviation * noise_PxD).astype(np.float32)


def _mean_and_deviation(table_VxD) -> tuple[np.float32, np.float32]:
  """NumPy's mean and standard deviation to the last bit, without its copy of the whole table."""
  numbers_N = table_VxD.reshape(-1)
  mean = numbers_N.mean()

  def sum_of_squares(numbers_N):
    if len(numbers_N) <= _BLOCK:
      return np.sum(np.square(numbers_N - mean))
    half = len(numbers_N) // 2 // 8 * 8  # where NumPy, too, halves what it adds up
    return sum_of_squares(numbers_N[:half]) + sum_of_squares(numbers_N[half:])

  return mean, np.sqrt(sum_of_squares(numbers_N) / np.float32(len(numbers_N)))
