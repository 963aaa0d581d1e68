"""What every step of a sweep reads: the examples of each seed's batch, and the size of the rows.

Batches differ in length, so a single row size for a whole run would waste a third of it. A run uses
a few sizes, chosen for its own batches, which are known before it starts; and the members of one
seed, which read the same batches, train together where there are enough of them.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.packing import TrainingTokens
from wayjax.errors import WayjaxError

MOST_SIZES = 8  # each is compiled
SEED_MEMBERS = 4  # as many of one seed are worth a program run of their own
STEPS_PER_SIZE = 50  # a short run is not worth many
USEFUL = 0.9  # a sufficient share of useful text positions: every further size is slow to load


class RowSize(NamedTuple):
  """A size that is compiled: T text positions, R scored tokens, and how far back text can see."""

  text: int
  scored: int
  reach: int


class Dispatch(NamedTuple):
  """What the K steps of one dispatch read; steps past the end take no size, and are skipped."""

  steps_K: np.ndarray
  sizes_K: np.ndarray
  batches_KxNxB: np.ndarray


@dataclasses.dataclass(frozen=True)
class Schedule:
  """What every step of the training of some seeds' members reads.

  Attributes:
    seeds: N seeds, whose members train together.
    batches_TxNxB: the examples of each step, for each of N seeds.
    sizes: row sizes, smallest first.
    size_T: which of them each step takes.
    useful_T: text positions that each step needs, the mean over seeds.
    per_dispatch: K.
  """

  seeds: tuple[int, ...]
  batches_TxNxB: np.ndarray
  sizes: tuple[RowSize, ...]
  size_T: np.ndarray
  useful_T: np.ndarray
  per_dispatch: int

  def dispatch(self, first: int, stop: int) -> Dispatch:
    """The steps from `first` up to `stop`, at most K, filled up to K with skipped ones."""
    steps_K = first + np.arange(self.per_dispatch, dtype=np.int32)
    read_K = np.minimum(steps_K, len(self.size_T) - 1)
    sizes_K = np.where(steps_K < stop, self.size_T[read_K], len(self.sizes)).astype(np.int32)
    return Dispatch(steps_K, sizes_K, self.batches_TxNxB[read_K])

  def useful_share(self, prompt: int, padded: int) -> float:
    """Share of the computed positions that hold text or prompt, over the run.

    Args:
      prompt: P of the members.
      padded: P that they are padded to.
    """
    computed_T = np.array([size.text for size in self.sizes])[self.size_T]
    return float(np.mean(self.useful_T + prompt) / np.mean(computed_T + padded))


def batch_size(examples: EncodedExamples, batch: int) -> int:
  """Examples in a batch: fewer than asked for where there are not so many."""
  return min(batch, len(examples))


def training_batches(examples: EncodedExamples, batch: int, seed: int, steps: range) -> np.ndarray:
  """The examples of each step: every epoch is a new permutation, cut into full batches.

  Args:
    examples: training examples.
    batch: B.
    seed: the member's seed.
    steps: numbers of the steps, from 0.

  Returns:
    (steps, B) row numbers; a function of seed and step alone.
  """
  batch = batch_size(examples, batch)
  per_epoch = len(examples) // batch
  orders = {}
  result = np.zeros((len(steps), batch), np.int32)
  for i, step in enumerate(steps):
    epoch, position = divmod(step, per_epoch)
    if epoch not in orders:
      orders = {epoch: np.random.default_rng([seed, epoch]).permutation(len(examples))}
    result[i] = orders[epoch][position * batch : (position + 1) * batch]
  return result


def make_schedules(
  examples: EncodedExamples,
  tokens: TrainingTokens,
  batch: int,
  seed_sets: list[tuple[int, ...]],
  steps: int,
  *,
  per_dispatch: int,
  multiple: int,
  counted: int = 0,
  sizes: tuple[RowSize, ...] | None = None,
) -> list[Schedule]:
  """Plans a whole run.

  Args:
    examples: training examples.
    tokens: the same, laid out.
    batch: B.
    seed_sets: seeds whose members train together, N in each set.
    steps: steps of the run.
    per_dispatch: K, the most steps of one dispatch.
    multiple: what T, with the positions that are counted, is a multiple of.
    counted: how many positions before the text are.
    sizes: row sizes; None means that they are chosen.

  Returns:
    A schedule for each set, all with the same sizes; a function of the arguments alone.
  """
  batches = np.stack(
    [
      np.stack([training_batches(examples, batch, seed, range(steps)) for seed in seeds], axis=1)
      for seeds in seed_sets
    ]
  )
  lengths = tokens.lengths_N[batches]  # sets, T, N, B
  text = lengths.sum(-1)
  need = np.maximum(text.max(-1), 1)
  if not sizes:  # those of an earlier version may be other multiples
    need = packing.round_up(need + counted, multiple) - counted
  most = min(MOST_SIZES, 1 + steps // STEPS_PER_SIZE)
  texts = [size.text for size in sizes or ()]
  texts = texts or choose_sizes(need.ravel(), most, text.mean(-1).sum() / USEFUL)
  taken = np.searchsorted(texts, need).astype(np.int32)
  if sizes and not _suit(texts, taken, need.max()):
    raise WayjaxError(
      "the row sizes that the run folder decided on do not suit its batches: its decisions.json is "
      "damaged"
    )
  scored = int(tokens.scored_N[batches].sum(-1).max())
  sizes = tuple(
    RowSize(int(size), scored, packing.reach_of(lengths[taken == i]))
    for i, size in enumerate(texts)
  )
  return [
    Schedule(seeds, batches[i], sizes, taken[i], text[i].mean(-1), per_dispatch)
    for i, seeds in enumerate(seed_sets)
  ]


def _suit(texts: list[int], taken: np.ndarray, most: int) -> bool:
  """Whether row sizes are those of these batches: none is too small, too large or never taken."""
  ascending = all(one < other for one, other in itertools.pairwise(texts))
  enough = np.array_equal(np.unique(taken), np.arange(len(texts)))
  return ascending and enough and texts[-1] < most + max(packing.ROW_MULTIPLES.values())


def choose_seeds(members_by_seed: dict[int, int]) -> list[tuple[int, ...]]:
  """Which seeds train together: each on its own where it has enough members.

  Members of one seed read the same rows, so a row is as long as one batch and not as the longest of
  several. But a device is used badly by few members at once.

  Args:
    members_by_seed: how many members each seed has.

  Returns:
    Sets of as many seeds each: of one, or a single set of all.
  """
  seeds = sorted(members_by_seed)
  if min(members_by_seed.values()) >= SEED_MEMBERS:
    return [(seed,) for seed in seeds]
  return [tuple(seeds)]


def choose_sizes(
  need_T: np.ndarray, most: int, enough: float = 0.0, each: float = 0.0
) -> list[int]:
  """The fewest sizes under which all steps together compute no more than is enough.

  Args:
    need_T: what every step needs.
    most: how many sizes there may be.
    enough: positions, summed over steps.
    each: positions, summed over steps, that a further size must save to be worth compiling.

  Returns:
    Sizes, smallest first; a step takes the smallest that holds what it needs. Of all sets of as
    many sizes none computes fewer positions in all.
  """
  needs, counts = np.unique(need_T, return_counts=True)
  before = np.concatenate([[0], np.cumsum(counts)])
  # cost[j]: positions of the steps that need the j smallest needs; each pass allows one size more.
  cost = np.where(np.arange(len(needs) + 1) == 0, 0.0, np.inf)
  chosen = [[] for _ in cost]
  best, least = [], np.inf
  for count in range(1, most + 1):
    new_cost, new_chosen = cost.copy(), list(chosen)
    for j in range(1, len(needs) + 1):
      options = cost[:j] + (before[j] - before[:j]) * needs[j - 1]
      i = int(np.argmin(options))
      if options[i] < new_cost[j]:
        new_cost[j], new_chosen[j] = options[i], [*chosen[i], int(needs[j - 1])]
    cost, chosen = new_cost, new_chosen
    if cost[-1] + count * each < least:
      best, least = chosen[-1], cost[-1] + count * each
    if cost[-1] <= enough:
      break
  return best
