"""Anchors: a point well inside the cell of each token, from which prompts are held inside it.

A token's embedding is one under Euclidean distance and cosine. Under the dot product it often is
not (Demeter et al. 2020; Grivas et al. 2022), but a point further along the whitened direction
S^-1 (e_t - m), where m and S are mean and covariance of the table, almost always is: it is where a
linear classifier would look for the token. What that does not reach is found, or shown not to
exist, by a linear program.
"""

import dataclasses

import numpy as np

from wayjax.cells import Cells
from wayjax.config import METRICS
from wayjax.errors import WayjaxError

# Distance from every wall that an anchor has, as a share of what the embedding has from its own.
_CLEARANCES = (0.2, 0.05, 0.01)
# How far from its embedding an anchor may be, in lengths of an average embedding: nearer if it can.
_REACHES = (0.25, 1.0, 4.0, 32.0, 256.0)
_FIRST_WALLS, _MORE_WALLS, _MOST_ROUNDS = 512, 256, 40


@dataclasses.dataclass(frozen=True, eq=False)
class Anchors:
  """Points inside the cells of some tokens.

  Attributes:
    points_PxD: the points, float64.
    metrics: under each of these they read as their tokens.
  """

  points_PxD: np.ndarray
  metrics: tuple[str, ...]


def find_anchors(cells: Cells, ids_P) -> Anchors:
  """Anchors under the metrics that were asked for, or under all that have some for every token.

  Args:
    cells: the vocabulary's cells.
    ids_P: the tokens.

  Raises:
    WayjaxError: a token has no anchor under what was asked for.
  """
  ids_P = np.asarray(ids_P)
  if cells.metrics:
    points_PxD, lacking = points_inside(cells, ids_P, cells.metrics)
    if len(lacking):
      raise WayjaxError(
        f"no vector reads as {cells.name(lacking[0])} under {' and '.join(cells.metrics)} in every "
        f"type up to {cells.dtype}: choose other --certify-metrics, or another text"
      )
    return Anchors(points_PxD, cells.metrics)
  for metrics in (METRICS, ("euclidean", "cosine"), ("euclidean",)):
    points_PxD, lacking = points_inside(cells, ids_P, metrics)
    if not len(lacking):
      break
  return Anchors(points_PxD, metrics)


def points_inside(cells: Cells, ids_P, metrics) -> tuple[np.ndarray, np.ndarray]:
  """A point inside each token's cell under all of some metrics, near to its embedding.

  Args:
    cells: the vocabulary's cells.
    ids_P: the tokens.
    metrics: names of metrics.

  Returns:
    The points, (P, D), float64; and the tokens that have none: theirs is the embedding.
  """
  ids_P = np.asarray(ids_P)
  e_PxD = cells.table_VxD[ids_P].astype(np.float64)
  points_PxD, found_P = e_PxD.copy(), np.ones(len(ids_P), bool)
  if tuple(metrics) != ("euclidean",):
    points_PxD, found_P = along_whitened(cells, ids_P, metrics)
  found_P &= cells.inside(points_PxD, ids_P, metrics).all(axis=0)
  # An embedding that is nearly another's does not survive being stored.
  aside_PxD = e_PxD + cells.room * _from_nearest(cells, ids_P)
  aside_P = ~found_P & cells.inside(aside_PxD, ids_P, metrics).all(axis=0)
  points_PxD[aside_P], found_P[aside_P] = aside_PxD[aside_P], True
  for p in np.flatnonzero(~found_P):
    point_D = by_linear_program(cells, int(ids_P[p]), metrics)
    if point_D is not None:
      points_PxD[p], found_P[p] = point_D, True
  return np.where(found_P[:, None], points_PxD, e_PxD), ids_P[~found_P]


def _from_nearest(cells: Cells, ids_P) -> np.ndarray:
  """The directions from the nearest other embeddings, as long as the embeddings are, (P, D)."""
  e_PxD = cells.table_VxD[ids_P].astype(np.float64)
  nearest_P = np.maximum(cells.margins(e_PxD, ids_P, "euclidean").wall_P, 0)
  away_PxD = e_PxD - cells.table_VxD[nearest_P]
  lengths_Px1 = np.linalg.norm(away_PxD, axis=1, keepdims=True)
  return (
    away_PxD / np.where(lengths_Px1 > 0, lengths_Px1, 1) * np.linalg.norm(e_PxD, axis=1)[:, None]
  )


def along_whitened(cells: Cells, ids_P, metrics) -> tuple[np.ndarray, np.ndarray]:
  """The first point inside on the way from each embedding along its whitened direction.

  On e + a w every slack is linear in a, so that where a wall is far enough away is an interval.

  Returns:
    The points, (P, D), and which tokens have one, (P,).
  """
  ids_P = np.asarray(ids_P)
  e_PxD, w_PxD = cells.table_VxD[ids_P].astype(np.float64), cells.whitened(ids_P)
  start = cells.slacks(e_PxD, ids_P, metrics)
  ahead = cells.slacks(e_PxD + w_PxD, ids_P, metrics)
  half_P = cells.half_distances(ids_P)
  normals = {metric: cells.normals(ids_P, metric) for metric in metrics}
  points_PxD, found_P = e_PxD.copy(), np.zeros(len(ids_P), bool)
  for clearance in _CLEARANCES:
    low_P, high_P = np.zeros(len(ids_P)), np.full(len(ids_P), _REACHES[-1] * cells.length)
    for metric in metrics:
      with np.errstate(divide="ignore", invalid="ignore"):
        spare_PxV = start[metric] - clearance * half_P[:, None] * normals[metric]
        gain_PxV = ahead[metric] - start[metric]
        bound_PxV = -spare_PxV / gain_PxV
      absent_PxV = np.isposinf(start[metric])
      rising_PxV = ~absent_PxV & (gain_PxV > 0)
      falling_PxV = ~absent_PxV & (gain_PxV < 0)
      level_PxV = ~absent_PxV & (gain_PxV == 0) & (spare_PxV < 0)
      low_P = np.maximum(low_P, np.where(rising_PxV, bound_PxV, 0).max(axis=1))
      high_P = np.minimum(high_P, np.where(falling_PxV, bound_PxV, np.inf).min(axis=1))
      high_P[level_PxV.any(axis=1)] = -np.inf
    new_P = ~found_P & (low_P <= high_P)
    points_PxD[new_P] += (low_P[:, None] * w_PxD)[new_P]
    found_P |= new_P
  return points_PxD, found_P


def by_linear_program(cells: Cells, token: int, metrics) -> np.ndarray | None:
  """The point of a box around one token's embedding that is furthest from the walls of its cell.

  Walls are added as they turn out to be crossed; where those so far leave no room, none is left.

  Returns:
    (D,), of the smallest box that has a point inside; None where there is none.
  """
  for reach in _REACHES:
    half_side = reach * cells.length / np.sqrt(cells.table_VxD.shape[1])
    point_D = _within(cells, token, metrics, half_side)
    if point_D is not None and cells.inside(point_D[None], [token], metrics).all():
      return point_D
  return None


def _within(cells: Cells, token: int, metrics, half_side: float) -> np.ndarray | None:
  from scipy.optimize import linprog  # imported here: it takes long, and few tokens need it

  ids_1, e_D = np.array([token]), cells.table_VxD[token].astype(np.float64)

  def distances(point_D) -> dict[str, np.ndarray]:
    slacks = cells.slacks(point_D[None], ids_1, metrics)
    return {name: slacks[name][0] / np.maximum(lengths[name], 1e-30) for name in metrics}

  lengths = {name: cells.normals(ids_1, name)[0] for name in metrics}
  start = distances(e_D)
  walls = {name: np.argsort(start[name])[:_FIRST_WALLS] for name in metrics}
  bounds = [(-1, 1)] * len(e_D) + [(None, None)]  # in half sides; the last is the distance
  gain_D = np.append(np.zeros(len(e_D)), -1.0)
  for _ in range(_MOST_ROUNDS):
    rows, limits = [], []
    for name, known in walls.items():
      known = known[np.isfinite(start[name][known])]
      n_NxD = _normals(cells, token, known, name) / np.maximum(lengths[name][known], 1e-30)[:, None]
      rows.append(np.column_stack([n_NxD, np.ones(len(known))]))
      limits.append(start[name][known] / half_side)
    solved = linprog(gain_D, np.concatenate(rows), np.concatenate(limits), bounds=bounds)
    if solved.x is None or solved.x[-1] <= 1e-9:
      return None
    point_D = e_D + half_side * solved.x[:-1]
    crossed = 0
    for name, away_V in distances(point_D).items():
      worst = np.argsort(away_V)[:_MORE_WALLS]
      new = np.setdiff1d(worst[away_V[worst] < 0.5 * half_side * solved.x[-1]], walls[name])
      walls[name] = np.concatenate([walls[name], new])
      crossed += len(new)
    if not crossed:
      return point_D
  return None


def _normals(cells: Cells, token: int, walls_N, metric: str) -> np.ndarray:
  """n_v of some walls of a token, (N, D)."""
  e_NxD, e_D = (cells.table_VxD[ids].astype(np.float64) for ids in (walls_N, token))
  if metric == "cosine":
    return e_NxD * cells.inverse_norms_V[walls_N][:, None] - e_D * cells.inverse_norms_V[token]
  return e_NxD - e_D
