"""The members of a sweep, on the host: targets x gamma x seeds, and the prompt each starts from."""

import dataclasses
import math

import numpy as np

from wayjax.encoding import token_ids
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.projection import c_proj
from wayjax.targets import Target

INITS = ("target", "vocab", "random")


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One training: a target, a gamma, a seed.

  Attributes:
    target: what the prompt is to read as.
    target_ids: the target's tokens.
    target_PxD: their embeddings, c-proj of the target.
    gamma: weight of c-dist.
    seed: orders the training examples and draws the initial prompt where that is random.
    init_PxD: the prompt at step 0, float32.
  """

  target: Target
  target_ids: np.ndarray
  target_PxD: np.ndarray
  gamma: float
  seed: int
  init_PxD: np.ndarray

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
    return f"{self.target.group}/{self.target.name}/gamma={gamma}/seed={self.seed}"


def make_members(
  lm: LanguageModel,
  targets: list[Target],
  gammas: tuple[float, ...],
  seeds: tuple[int, ...],
  *,
  init: str = "target",
  prompt_tokens: int | None = None,
  longest_example: int = 0,
) -> list[Member]:
  """All members of a sweep.

  Args:
    lm: the frozen language model.
    targets: target prompts.
    gammas: weights of c-dist.
    seeds: seeds.
    init: `target` (c-proj of the target), `vocab` (random tokens' embeddings) or `random` (normal,
      with the table's mean and standard deviation). Members that differ in gamma start alike.
    prompt_tokens: prompt length; None means the target's.
    longest_example: positions that the longest example needs after the prompt.

  Returns:
    Members, target by target, then gamma by gamma.

  Raises:
    WayjaxError: a prompt does not fit the context, or its length does not fit its target.
  """
  for gamma in gammas:
    if not (math.isfinite(gamma) and gamma >= 0):
      raise WayjaxError(f"gamma must be a number of at least 0, not {gamma}")
  if not (targets and gammas and seeds):
    raise WayjaxError("a sweep needs at least one target, one gamma and one seed")
  table_VxD = np.asarray(lm.table_VxD)
  members = []
  for target in targets:
    ids = np.array(token_ids(lm.tokenizer, [target.text])[0], np.int32)
    length = len(ids) if prompt_tokens is None else prompt_tokens
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
          f"model's {lm.max_positions} positions: {mend}, or lower --max-length"
        )
    if length != len(ids) and (init == "target" or any(gammas)):
      why = "--init target" if init == "target" else "a gamma above 0"
      raise WayjaxError(
        f"--prompt-tokens {length} does not go with {why}: target '{target.name}' has {len(ids)} "
        "tokens, and prompt and target are compared token by token"
      )
    for gamma in gammas:
      for seed in seeds:
        start = initial_prompt(table_VxD, ids, init, length, seed)
        members.append(Member(target, ids, c_proj(ids, table_VxD), float(gamma), int(seed), start))
  return members


def take_shard(members: list[Member], index: int, count: int) -> list[Member]:
  """One of `count` disjoint parts of a sweep, for machines that share nothing.

  The gammas of a text and a seed stay together, for they are compared and read the same rows; with
  as many parts as seeds each has the members of one.

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


def initial_prompt(table_VxD, target_ids, init: str, length: int, seed: int) -> np.ndarray:
  """The prompt at step 0, (length, D); a function of the target's tokens and the seed."""
  if init not in INITS:
    raise WayjaxError(f"init must be one of {', '.join(INITS)}, not {init!r}")
  rng = np.random.default_rng([seed, *target_ids.tolist()])
  if init == "target":
    return c_proj(target_ids, table_VxD)
  if init == "vocab":
    return table_VxD[rng.choice(len(table_VxD), length)]
  noise_PxD = rng.standard_normal((length, table_VxD.shape[1]))
  return (table_VxD.mean() + table_VxD.std() * noise_PxD).astype(np.float32)


def pad_left(array_Px, length: int) -> np.ndarray:
  """Pads the first axis on the left with zeros, up to `length`."""
  return np.pad(array_Px, [(length - len(array_Px), 0), *[(0, 0)] * (array_Px.ndim - 1)])


def left_mask(real: int, length: int) -> np.ndarray:
  """1 for the last `real` of `length` positions, 0 for the padding before them."""
  return (np.arange(length) >= length - real).astype(np.float32)
