"""The cells of tokens: where the vectors are that read as a token. On the host, in float64.

A vector x reads as token t where, for every other token v, it is on t's side of the wall between
the two: x . n_v <= b_v. Under

  euclidean  n_v = e_v - e_t               b_v = (|e_v|^2 - |e_t|^2) / 2
  dot        n_v = e_v - e_t               b_v = 0   (Eq. 2 as printed)
  cosine     n_v = e_v/|e_v| - e_t/|e_t|   b_v = 0

So a cell is convex, and so is what the cells of a token under several metrics have in common. What
is left of a wall, b_v - x . n_v, is its slack; divided by |n_v| it is the distance to the wall.
"""

import dataclasses

import ml_dtypes
import numpy as np

from wayjax.devices.sharding import fetch
from wayjax.vocabulary import Vocabulary

# What a number loses at most when it is stored in a type, and in those that are finer.
DTYPES = {
  "float32": (np.float32,),
  "float16": (np.float32, np.float16),
  "bfloat16": (np.float32, np.float16, ml_dtypes.bfloat16),
}
# What a prompt keeps of the way to a wall, so that rounding it does not take it across.
ROOM = {"float32": 1e-3, "float16": 3e-3, "bfloat16": 3e-2}
# Slack that the scores of a reader who computes in float32 cannot tell from none.
ROUNDING = 2.0**-18
_NEAREST = 32  # walls whose slack is computed again from differences, without cancellation
_FURTHER = 1 - 1e-4  # of what it may go, so that rounding does not have it moved again
_SHRUNK = 0.9  # of its way from the anchor, what a vector that does not survive rounding keeps
_MOST_SHRINKS = 200
_AT_ONCE = 2**23  # numbers of a (P, V) array, of which a few exist at once: 64 MiB each


@dataclasses.dataclass(frozen=True, eq=False)
class Margins:
  """How far the vectors of a prompt are from the walls of their cells.

  Attributes:
    distance_P: Euclidean distance to the nearest wall, in the embeddings' units; negative beyond
      it, infinite where there is none.
    relative_P: the same, divided by half the distance of the token's embedding to the nearest
      other (Proposition 1): at 1 a vector is as far from its wall as a vector at the embedding is.
    wall_P: the token behind that wall; -1 where there is none.
  """

  distance_P: np.ndarray
  relative_P: np.ndarray
  wall_P: np.ndarray


class Cells(Vocabulary):
  """The cells of a vocabulary's tokens.

  Args:
    table_VxD: the embedding table.
    unused_U: rows that belong to no token, and have no cell.
    metrics: under which prompts are held; None means all under which they can be.
    dtype: the coarsest type that prompts are to survive: `float32`, `float16` or `bfloat16`.
    decode: a tokenizer's, which names tokens in messages; None means that they are numbers there.
  """

  def __init__(self, table_VxD, unused_U=None, *, metrics=None, dtype="bfloat16", decode=None):
    super().__init__(table_VxD, unused_U, decode)
    self.metrics, self.dtype, self.room = metrics, dtype, ROOM[dtype]
    self.anchors: dict[tuple, dict] = {}  # by metrics and token, what `anchors` found
    self.told: set[int] = set()  # tokens of which users know that nothing certainly reads as them

  @classmethod
  def of(cls, lm, *, metrics=None, dtype: str = "bfloat16") -> "Cells":
    """The cells of a language model's tokens."""
    decode = lm.tokenizer.decode
    return cls(fetch(lm.table_VxD), lm.unused_U, metrics=metrics, dtype=dtype, decode=decode)

  def slacks(self, points_PxD, ids_P, metrics) -> dict[str, np.ndarray]:
    """What is left of every wall at some points, (P, V) for each metric.

    Those of the nearest walls are exact to float64's last digits. There is no wall between a token
    and itself, a twin or a row that belongs to no token: infinity.
    """
    points_PxD, ids_P = np.asarray(points_PxD, np.float64), np.asarray(ids_P)
    products_PxV, absent = self.products(points_PxD), self._absent(ids_P)
    e_PxD, found = self.table_VxD[ids_P].astype(np.float64), {}
    with np.errstate(invalid="ignore", over="ignore"):
      for metric in metrics:
        score_PxV = self._scores(products_PxV, metric)
        slack_PxV = score_PxV[np.arange(len(ids_P)), ids_P][:, None] - score_PxV
        slack_PxV[absent] = np.inf
        if metric != "cosine":
          limit_V = 0.0 if metric == "dot" else 0.5
          for p, nearest in enumerate(_smallest(slack_PxV, _NEAREST)):
            n_NxD = self.table_VxD[nearest].astype(np.float64) - e_PxD[p]
            middle_NxD = limit_V * (n_NxD + 2 * e_PxD[p])
            exact_N = np.sum(n_NxD * (middle_NxD - points_PxD[p]), axis=1)
            slack_PxV[p, nearest] = np.where(absent[p, nearest], np.inf, exact_N)
        found[metric] = np.where(np.isnan(slack_PxV), -np.inf, slack_PxV)
    return found

  def _absent(self, ids_P) -> np.ndarray:
    """(P, V), true where there is no wall."""
    absent = np.zeros((len(ids_P), len(self.table_VxD)), bool)
    absent[:, self.unused_U] = True
    for p, token in enumerate(ids_P):
      absent[p, [token, *self.twins(token)]] = True
    return absent

  def normals(self, ids_P, metric: str) -> np.ndarray:
    """|n_v| of every wall, (P, V)."""
    ids_P = np.asarray(ids_P)
    gram_PxV = self.products(self.table_VxD[ids_P])
    if metric == "cosine":
      cosines_PxV = gram_PxV * self.inverse_norms_V[ids_P][:, None] * self.inverse_norms_V
      ones_V = (self.squares_V > 0).astype(np.float64)
      return np.sqrt(np.maximum(ones_V[ids_P][:, None] + ones_V - 2 * cosines_PxV, 1e-15))
    squared_PxV = np.maximum(self.squares_V[ids_P][:, None] + self.squares_V - 2 * gram_PxV, 0)
    for p, nearest in enumerate(_smallest(squared_PxV, _NEAREST)):
      n_NxD = self.table_VxD[nearest].astype(np.float64) - self.table_VxD[ids_P[p]]
      squared_PxV[p, nearest] = np.sum(np.square(n_NxD), axis=1)
    return np.sqrt(squared_PxV)

  def parts(self, positions: int) -> list[slice]:
    """Positions, as many at a time as there is memory for their walls."""
    size = max(1, _AT_ONCE // len(self.table_VxD))
    return [slice(start, start + size) for start in range(0, positions, size)]

  def margins(self, prompt_PxD, ids_P, metric: str) -> Margins:
    """How far vectors are from the walls of their tokens' cells.

    Args:
      prompt_PxD: the vectors.
      ids_P: their tokens.
      metric: `euclidean`, `dot` or `cosine`.
    """
    prompt_PxD, ids_P = np.asarray(prompt_PxD), np.asarray(ids_P)
    distance_P, wall_P = map(
      np.concatenate,
      zip(*(self._nearest_wall(prompt_PxD[p], ids_P[p], metric) for p in self.parts(len(ids_P)))),
    )
    half_P = self.half_distances(ids_P)
    with np.errstate(divide="ignore", invalid="ignore"):
      relative_P = np.where(half_P > 0, distance_P / half_P, np.nan)
    return Margins(distance_P, relative_P, np.where(np.isposinf(distance_P), -1, wall_P))

  @np.errstate(divide="ignore", invalid="ignore")
  def _nearest_wall(self, points_PxD, ids_P, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance to it, and the token behind it, each (P,)."""
    distance_PxV = self.slacks(points_PxD, ids_P, (metric,))[metric] / self.normals(ids_P, metric)
    distance_PxV = np.where(np.isnan(distance_PxV), -np.inf, distance_PxV)
    wall_P = np.argmin(distance_PxV, axis=1)
    return distance_PxV[np.arange(len(wall_P)), wall_P], wall_P

  def half_distances(self, ids_P) -> np.ndarray:
    """Half the distance from embeddings to the nearest other that is not their twin, (P,)."""
    ids_P, half_P = np.asarray(ids_P), np.empty(len(ids_P))
    for p in self.parts(len(ids_P)):
      away_PxV = self.normals(ids_P[p], "euclidean")
      away_PxV[self._absent(ids_P[p])] = np.inf
      half_P[p] = away_PxV.min(axis=1) / 2
    return half_P

  def reads(self, prompt_PxD, ids_P, metrics) -> np.ndarray:
    """Which vectors certainly read as their tokens; see `inside`.

    A token whose twin has a lower id is never read.
    """
    blocked_P = np.array([self.lower_twin(token) is not None for token in ids_P])
    return self.inside(prompt_PxD, ids_P, metrics) & ~blocked_P

  @np.errstate(over="ignore", invalid="ignore")
  def inside(self, prompt_PxD, ids_P, metrics) -> np.ndarray:
    """Which vectors are inside their cells, as they are and stored in `dtype` or a finer type.

    Of every wall more has to be left than a reader who computes in float32 can lose.

    Returns:
      For each metric (P,), stacked.
    """
    prompt_PxD, ids_P = np.asarray(prompt_PxD, np.float32), np.asarray(ids_P)
    types = DTYPES[self.dtype]
    stored_NxD = np.concatenate([prompt_PxD.astype(one).astype(np.float64) for one in types])
    ids_N = np.tile(ids_P, len(types))
    # Readers square in float32: what is too long for that has no distance.
    inside_CxN = np.empty((len(metrics), len(ids_N)), bool)
    inside_CxN[:] = np.square(stored_NxD).sum(axis=1) < np.finfo(np.float32).max
    for n in self.parts(len(ids_N)):
      slacks = self.slacks(stored_NxD[n], ids_N[n], metrics)
      for inside_N, metric in zip(inside_CxN, metrics):
        left_NxV = slacks[metric] - self._rounding(stored_NxD[n], ids_N[n], metric)
        inside_N[n] &= left_NxV.min(axis=1) > 0
    return inside_CxN.reshape(len(metrics), len(types), -1).all(axis=1)

  def _rounding(self, points_NxD, ids_N, metric: str) -> np.ndarray:
    """Slack that float32 may lose at points, (N, 1) or (N, V)."""
    with np.errstate(over="ignore", invalid="ignore"):
      if metric == "euclidean":
        away_NxD = points_NxD - self.table_VxD[ids_N]
        lost_N = np.sum(np.square(away_NxD), axis=1)
        return ROUNDING * np.nan_to_num(lost_N, nan=np.inf)[:, None]
      norms_N = np.nan_to_num(np.linalg.norm(points_NxD, axis=1), nan=np.inf)[:, None]
      if metric == "cosine":
        return ROUNDING * norms_N
      lengths_V = np.sqrt(self.squares_V)
      return ROUNDING * norms_N * (lengths_V[ids_N][:, None] + lengths_V)

  def into(self, prompt_PxD, ids_P, anchors_PxD, metrics) -> np.ndarray:
    """Moves vectors that are outside their cells towards points inside, until they are inside too.

    They move along a straight line, to where `room` is left of it; that is not the nearest point of
    the cell. A vector that is inside already, and survives being stored, keeps every bit; one that
    is not finite goes all the way.

    Args:
      prompt_PxD: the vectors.
      ids_P: their tokens.
      anchors_PxD: points inside the cells of these tokens.
      metrics: under which metrics.

    Returns:
      (P, D), float32.
    """
    prompt_PxD = np.array(prompt_PxD, np.float32)
    bad_P = ~self.inside(prompt_PxD, ids_P, metrics).all(axis=0)
    if not bad_P.any():
      return prompt_PxD
    ids_N, from_NxD = np.asarray(ids_P)[bad_P], np.asarray(anchors_PxD, np.float64)[bad_P]
    away_NxD = prompt_PxD[bad_P].astype(np.float64) - from_NxD
    away_NxD[~np.isfinite(away_NxD).all(axis=1)] = 0
    share_N = self._share_inside(from_NxD, away_NxD, ids_N, metrics)
    # Where even the anchor is lost when it is stored, the way is not worth shortening.
    bad_N = self.inside(from_NxD, ids_N, metrics).all(axis=0)
    share_N[~bad_N & (share_N < 1)] *= _FURTHER
    away_NxD *= share_N[:, None]
    moved_NxD = (from_NxD + away_NxD).astype(np.float32)
    for _ in range(_MOST_SHRINKS):
      bad_N[bad_N] = ~self.inside(moved_NxD[bad_N], ids_N[bad_N], metrics).all(axis=0)
      if not bad_N.any():
        break
      away_NxD[bad_N] *= _SHRUNK
      moved_NxD[bad_N] = from_NxD[bad_N] + away_NxD[bad_N]
    prompt_PxD[bad_P] = moved_NxD
    return prompt_PxD

  def _share_inside(self, from_NxD, away_NxD, ids_N, metrics) -> np.ndarray:
    """How much of a way from an anchor may be gone, (N,), at most all of it."""
    share_N = np.ones(len(ids_N))
    for n in self.parts(len(ids_N)):
      before, after = (
        self.slacks(points_NxD[n], ids_N[n], metrics)
        for points_NxD in (from_NxD, from_NxD + away_NxD)
      )
      for metric in metrics:
        with np.errstate(divide="ignore", invalid="ignore"):
          used_NxV = (before[metric] - after[metric]) / before[metric]
        used_N = np.nan_to_num(used_NxV, nan=0.0).max(axis=1)
        share_N[n] = np.minimum(share_N[n], (1 - self.room) / np.maximum(used_N, 1 - self.room))
    return share_N

  def _scores(self, products_PxV, metric: str):
    if metric == "euclidean":
      return products_PxV - 0.5 * self.squares_V
    return products_PxV * self.inverse_norms_V if metric == "cosine" else products_PxV


def _smallest(values_PxV, count: int) -> np.ndarray:
  count = min(count, values_PxV.shape[1])
  return np.argpartition(values_PxV, count - 1, axis=1)[:, :count]
