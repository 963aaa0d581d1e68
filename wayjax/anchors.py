"""Anchors: a point well inside the cell of each token, from which prompts are held inside it.

A token's embedding is one under Euclidean distance and cosine. Under the dot product it often is
not (Demeter et al. 2020; Grivas et al. 2022), but a point further along the whitened direction
S^-1 (e_t - m), where m and S are mean and covariance of the table, almost always is: it is where a
linear classifier would look for the token. What that does not reach is found by least squares, or
shown not to exist (see `hull`).
"""

import dataclasses

import numpy as np

from wayjax.cells import Cells
from wayjax.config import METRICS
from wayjax.errors import WayjaxError
from wayjax.hull import stand_out

# Distance from every wall that an anchor has, as a share of what the embedding has from its own.
_CLEARANCES = (0.2, 0.05, 0.01)
_LONGER = 2.0 ** np.arange(9)  # so much longer than an average embedding a vector may be
_REACH = 256.0  # how far from its embedding an anchor may be, in lengths of an average embedding


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

  Texts share many tokens, so that what was found of a token is kept with the cells.

  Args:
    cells: the vocabulary's cells.
    ids_P: the tokens.
    metrics: names of metrics.

  Returns:
    The points, (P, D), float64; and the tokens that have none: theirs is the embedding.
  """
  ids_P, known = np.asarray(ids_P), cells.anchors.setdefault(tuple(metrics), {})
  new = np.array([token for token in dict.fromkeys(ids_P.tolist()) if token not in known], int)
  for n in cells.parts(len(new)):
    points_NxD, found_N = _find(cells, new[n], metrics)
    known.update(zip(new[n].tolist(), zip(points_NxD, found_N)))
  points_PxD = np.stack([known[token][0] for token in ids_P.tolist()])
  return points_PxD, np.array([token for token in ids_P.tolist() if not known[token][1]], int)


def _find(cells: Cells, ids_P, metrics) -> tuple[np.ndarray, np.ndarray]:
  """Points inside the cells of distinct tokens, or their embeddings; and which are inside."""
  e_PxD = cells.table_VxD[ids_P].astype(np.float64)
  points_PxD, found_P = e_PxD.copy(), np.ones(len(ids_P), bool)
  if tuple(metrics) != ("euclidean",):
    points_PxD, found_P = along(cells, ids_P, cells.whitened(ids_P), metrics)
  found_P &= cells.inside(points_PxD, ids_P, metrics).all(axis=0)
  if not found_P.all():  # an embedding that is nearly another's does not survive being stored
    aside_PxD = e_PxD + cells.room * _from_nearest(cells, ids_P)
    aside_P = ~found_P & cells.inside(aside_PxD, ids_P, metrics).all(axis=0)
    points_PxD[aside_P], found_P[aside_P] = aside_PxD[aside_P], True
  # What reads as a token by the dot product, made long enough, is nearest to it, too.
  through_origin = [metric for metric in metrics if metric != "euclidean"] or ["dot"]
  for p in np.flatnonzero(~found_P):
    vector_D = stand_out(cells, int(ids_P[p]), *through_origin).vector_D
    if vector_D is None:
      continue
    direction_1xD = (vector_D / np.linalg.norm(vector_D))[None].astype(np.float64)
    point_1xD, _ = along(cells, ids_P[[p]], direction_1xD, metrics)
    # Far from the origin the way from an embedding is long; from the origin it may be short.
    tried_NxD = np.concatenate([point_1xD, _LONGER[:, None] * vector_D.astype(np.float64)])
    inside_N = cells.inside(tried_NxD, np.repeat(ids_P[p], len(tried_NxD)), metrics).all(axis=0)
    if inside_N.any():
      points_PxD[p], found_P[p] = tried_NxD[np.argmax(inside_N)], True
  return np.where(found_P[:, None], points_PxD, e_PxD), found_P


def _from_nearest(cells: Cells, ids_P) -> np.ndarray:
  """The directions from the nearest other embeddings, as long as the embeddings are, (P, D)."""
  e_PxD = cells.table_VxD[ids_P].astype(np.float64)
  nearest_P = np.maximum(cells.margins(e_PxD, ids_P, "euclidean").wall_P, 0)
  away_PxD = e_PxD - cells.table_VxD[nearest_P]
  lengths_Px1 = np.linalg.norm(away_PxD, axis=1, keepdims=True)
  units_PxD = away_PxD / np.where(lengths_Px1 > 0, lengths_Px1, 1)
  return units_PxD * np.linalg.norm(e_PxD, axis=1, keepdims=True)


def along(cells: Cells, ids_P, directions_PxD, metrics) -> tuple[np.ndarray, np.ndarray]:
  """The first point well inside on the way from each embedding in a direction.

  On e + a w every slack is linear in a, so that where a wall is far enough away is an interval.

  Args:
    cells: the vocabulary's cells.
    ids_P: the tokens.
    directions_PxD: the directions, of length 1.
    metrics: under all of which the points are inside.

  Returns:
    The points, (P, D), and which tokens have one, (P,).
  """
  ids_P = np.asarray(ids_P)
  e_PxD = cells.table_VxD[ids_P].astype(np.float64)
  start = cells.slacks(e_PxD, ids_P, metrics)
  ahead = cells.slacks(e_PxD + directions_PxD, ids_P, metrics)
  half_P = cells.half_distances(ids_P)
  normals = {metric: cells.normals(ids_P, metric) for metric in metrics}
  points_PxD, found_P = e_PxD.copy(), np.zeros(len(ids_P), bool)
  for clearance in _CLEARANCES:
    low_P, high_P = np.zeros(len(ids_P)), np.full(len(ids_P), _REACH * cells.length)
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
    points_PxD[new_P] += (low_P[:, None] * directions_PxD)[new_P]
    found_P |= new_P
  return points_PxD, found_P
