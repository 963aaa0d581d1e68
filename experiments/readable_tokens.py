"""Which tokens some vector reads as, of all tokens of a model, under each metric.

Claim: the nearest embedding (what the released code computes) reads as any token that has an
embedding of its own. Under the dot product, as Eq. 2 is printed, a token's own embedding often does
not read as the token, and no vector does where it is in the hull of others: a text with such a
token is read from no prompt.
Paper: nothing on it; Demeter et al. 2020 and Grivas et al. 2022 ask the same of output layers.
Command: python -m experiments.readable_tokens --model gpt2-large --out runs/paper
Time: 81 seconds for SmolLM2-135M (49,152 tokens), 10 seconds with --demo, on two cores.
"""

import collections
import functools
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.experiment import Experiment, main
from wayjax.cells import ROUNDING, Cells
from wayjax.config import METRICS, RunConfig
from wayjax.data.tasks import TASKS
from wayjax.hull import Outcome, stand_out
from wayjax.models import LanguageModel, load_lm
from wayjax.readers.nearest import token_texts

# Where a vector is looked for, in this order; then, what is known where there is none.
EMBEDDING, CENTRED, WHITENED, SEARCHED = "embedding", "less the mean", "whitened", "least squares"
TWIN, IN_HULL, UNDECIDED = "twin", "in the hull", "undecided"
KINDS = (EMBEDDING, CENTRED, WHITENED, SEARCHED, TWIN, IN_HULL, UNDECIDED)
_LACKING = KINDS[4:]
_NAMED = 50  # tokens that the table's caption names
_SCORES = 2**24  # of candidates and tokens, at a time
_CHECKED = 64  # candidates that are checked in float64 at a time
_SECONDS = 5.0  # between two lines of progress
_MOST_SECONDS = 1800.0  # for the searches under a metric


def candidates(cells: Cells, ids_N, kind: str) -> np.ndarray:
  """Vectors that may read as tokens, (N, D), float32."""
  if kind == EMBEDDING:
    return cells.table_VxD[ids_N]
  if kind == CENTRED:
    mean_D = cells.table_VxD.mean(axis=0, dtype=np.float64)
    return (cells.table_VxD[ids_N] - mean_D).astype(np.float32)
  return cells.whitened(ids_N).astype(np.float32)


def find_witnesses(cells: Cells, metric: str, show=lambda text: None):
  """How each token can be read.

  A vector counts where `Cells.reads` says that it does, in float64. Where float32 leaves no doubt
  of that, whatever rounding did to the products, it is not asked.

  Args:
    cells: the vocabulary's cells.
    metric: `euclidean`, `dot` or `cosine`.
    show: is told the progress.

  Returns:
    By token one of KINDS, empty for rows that belong to no token; and by token the vectors that
    only a search found.
  """
  kind_V = np.full(len(cells.table_VxD), UNDECIDED, object)
  kind_V[cells.unused_U] = ""
  used = np.flatnonzero(kind_V == UNDECIDED)
  kind_V[used] = [UNDECIDED if cells.lower_twin(token) is None else TWIN for token in used]
  kinds = (EMBEDDING, CENTRED, WHITENED)
  if metric == "euclidean":  # a token without a lower twin is the nearest to its own embedding
    kind_V[kind_V == UNDECIDED] = EMBEDDING
    kinds = ()
  screen = _Screen(cells, metric)
  for kind in kinds:
    ids_N = np.flatnonzero(kind_V == UNDECIDED)
    for start in range(0, len(ids_N), screen.block):
      show(f"{metric}, {kind}: {start:,} of {len(ids_N):,} tokens")
      ids_B = ids_N[start : start + screen.block]
      kind_V[ids_B[screen(candidates(cells, ids_B, kind), ids_B)]] = kind
  rest, found, begun = np.flatnonzero(kind_V == UNDECIDED), {}, time.monotonic()
  for number, token in enumerate(rest):
    if time.monotonic() - begun > _MOST_SECONDS:
      break
    show(f"{metric}, {SEARCHED}: {number:,} of {len(rest):,} tokens")
    outcome: Outcome = stand_out(cells, int(token), metric)
    if outcome.vector_D is not None:
      kind_V[token], found[int(token)] = SEARCHED, outcome.vector_D
    elif outcome.in_hull:
      kind_V[token] = IN_HULL
  return kind_V, found


class _Screen:
  """Which candidates read as their tokens, a block at a time."""

  def __init__(self, cells: Cells, metric: str):
    self._cells, self._metric = cells, metric
    self._table_VxD = jnp.asarray(cells.table_VxD)
    tokens, width = cells.table_VxD.shape
    self._scale_V = jnp.asarray(cells.inverse_norms_V if metric == "cosine" else np.ones(tokens))
    self._size_V = jnp.sqrt(jnp.asarray(cells.squares_V)) * self._scale_V
    self._used_V = jnp.ones(tokens, bool).at[cells.unused_U].set(False)
    # A score is wrong by at most this times the vectors' lengths: `width` products, and a few more.
    self._wrong = 2.0**-23 * (width + 8)
    self.block = int(np.clip(_SCORES // tokens, 8, 1024))

  def __call__(self, points_BxD, ids_B) -> np.ndarray:
    fill = self.block - len(ids_B)  # so that all blocks share one compilation
    points_PxD, ids_P = np.pad(points_BxD, [(0, fill), (0, 0)]), np.pad(ids_B, (0, fill))
    sure_P, possible_P = (
      np.array(part)[: len(ids_B)]
      for part in _screen(
        points_PxD, ids_P, self._table_VxD, self._scale_V, self._size_V, self._used_V, self._wrong
      )
    )
    doubtful = np.flatnonzero(possible_P & ~sure_P)
    for start in range(0, len(doubtful), _CHECKED):
      some = doubtful[start : start + _CHECKED]
      (sure_P[some],) = self._cells.reads(points_BxD[some], ids_B[some], (self._metric,))
    return sure_P


@functools.partial(jax.jit, static_argnames="wrong")
def _screen(points_BxD, ids_B, table_VxD, scale_V, size_V, used_V, wrong: float):
  """Whether points read as their tokens for sure, and whether they may, (B,) each."""
  products_BxV = jnp.matmul(points_BxD, table_VxD.T, precision=lax.Precision.HIGHEST)
  score_BxV = products_BxV * scale_V[None, :]
  slack_BxV = jnp.take_along_axis(score_BxV, ids_B[:, None], axis=1) - score_BxV
  lengths_B = jnp.linalg.norm(points_BxD, axis=1)
  unit_BxV = lengths_B[:, None] * (size_V[None, :] + size_V[ids_B][:, None])
  wall_BxV = used_V[None, :] & (ids_B[:, None] != jnp.arange(len(table_VxD))[None, :])
  least_B = jnp.min(jnp.where(wall_BxV, slack_BxV - (wrong + ROUNDING) * unit_BxV, jnp.inf), axis=1)
  most_B = jnp.min(jnp.where(wall_BxV, slack_BxV + wrong * unit_BxV, jnp.inf), axis=1)
  return least_B > 0, most_B > 0


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Looks for a vector that reads as each of a model's tokens, under every metric."""
  config = configs[0]  # a model has the same tokens for every task
  lm = load_lm(config.model, revision=config.revision, precision="float32")
  cells = Cells.of(lm, dtype="float32")
  kinds = {metric: find_witnesses(cells, metric, _Progress())[0] for metric in METRICS}
  counts = {name: collections.Counter(kind_V.tolist()) for name, kind_V in kinds.items()}
  tokens = len(cells.table_VxD) - len(cells.unused_U)
  lacking = {name: _lacking(lm, kind_V) for name, kind_V in kinds.items()}
  return {
    "table": {
      "name": "readable",
      "title": "Tokens that some vector reads as",
      "caption": _caption(lm, tokens, counts["dot"], lacking),
      "columns": ("metric", "tokens", "read %", *KINDS),
      "lines": [
        (name, f"{tokens:,}", f"{100 * _read(of) / tokens:.2f}", *(f"{of[k]:,}" for k in KINDS))
        for name, of in counts.items()
      ],
    },
    "model": lm.name,
    "tokens": tokens,
    "counts": {name: {kind: of[kind] for kind in KINDS} for name, of in counts.items()},
    "lacking": lacking,
  }


def _read(counts: collections.Counter) -> int:
  return sum(counts[kind] for kind in KINDS if kind not in _LACKING)


def _lacking(lm: LanguageModel, kind_V) -> list[dict]:
  """The tokens that no vector was found for, and why."""
  ids_N = np.flatnonzero(np.isin(kind_V, _LACKING))
  return [
    {"token": int(token), "text": text, "why": kind_V[token]}
    for token, text in zip(ids_N, token_texts(lm, ids_N), strict=True)
  ]


def _caption(lm: LanguageModel, tokens: int, by_dot: collections.Counter, lacking: dict) -> str:
  parts = [
    f"The {tokens:,} tokens of {lm.name}, by the first vector that reads as them: their embedding, "
    "the embedding less the mean of all, the whitened direction, or what least squares found. A "
    "twin has the same embedding and a lower id, and is read instead; in the hull of others no "
    "vector stands out.",
    f"Eq. 2 as printed (dot) reads {100 * by_dot[EMBEDDING] / tokens:.2f} % of tokens at their own "
    f"embedding, and {100 * _read(by_dot) / tokens:.2f} % at some vector: it can hold for "
    + ("any text." if _read(by_dot) == tokens else "texts of those tokens alone."),
  ]
  names = {}
  for metric, records in lacking.items():
    texts = tuple(repr(record["text"]) for record in records[:_NAMED])
    names.setdefault((texts, len(records)), []).append(metric)
  for (texts, count), metrics in names.items():
    if texts:
      first = f"{count:,}" if count == len(texts) else f"{count:,}, the first {len(texts)}"
      parts.append(f"Without a vector under {', '.join(metrics)}: {first}: {' '.join(texts)}.")
  return " ".join(parts)


class _Progress:
  """Shows a line every few seconds."""

  def __init__(self):
    self._last = time.monotonic()

  def __call__(self, text: str) -> None:
    if time.monotonic() - self._last > _SECONDS:
      self._last = time.monotonic()
      print(text, flush=True)


EXPERIMENT = Experiment("readable_tokens", measure=measure, measured_on=tuple(TASKS))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
