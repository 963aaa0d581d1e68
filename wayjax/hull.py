"""Whether any vector reads as a token under the dot product or cosine: found, or shown not to be.

All walls of such a cell go through the origin: x reads as the token where x . n_v < 0 for every
wall v (see `cells`). Either there is such an x, or there are weights l_v >= 0, not all of them 0,
with sum_v l_v n_v = 0 (Gordan 1873): then the token is in the hull of others, where no vector
reaches it (Demeter et al. 2020; Grivas et al. 2022). The point nearest to the origin in the hull of
the n_v decides: seen from there the origin is on the far side of every wall, or it is the origin.
"""

from typing import NamedTuple

import numpy as np

from wayjax.cells import ROUNDING, Cells

_WALLS = 512  # that are added at a time: those that the vector so far is furthest beyond
_MOST_ROUNDS = 20
_MOST_PIVOTS = 10  # of least squares, times the walls


class Outcome(NamedTuple):
  """What is known of a token.

  Attributes:
    vector_D: reads as the token, float32; None where none was found.
    in_hull: whether it is shown that no vector certainly does. Where neither is, it is undecided.
  """

  vector_D: np.ndarray | None
  in_hull: bool


def stand_out(cells: Cells, token: int, *metrics: str) -> Outcome:
  """A vector that reads as a token under each of some metrics, or that there is none.

  Both are checked in float64: the vector by `Cells.reads`, and of the weights that what they leave
  of sum_v l_v n_v is so short that some slack is within rounding for every vector of length 1.

  Args:
    cells: the vocabulary's cells.
    token: one whose embedding no lower token shares.
    *metrics: `dot`, `cosine` or both.
  """
  vector_D = cells.whitened([token])[0].astype(np.float32)
  walls = {metric: np.array([], np.int64) for metric in metrics}
  for _ in range(_MOST_ROUNDS):
    slacks = cells.slacks(vector_D[None], [token], metrics)
    slacks = {metric: slack_1xV[0] for metric, slack_1xV in slacks.items()}
    ahead = min(slack_V.min() for slack_V in slacks.values()) > 0
    if ahead and cells.reads(vector_D[None], [token], metrics).all():
      return Outcome(vector_D, False)
    known = sum(map(len, walls.values()))
    for metric, slack_V in slacks.items():
      worst = np.argsort(slack_V)[: _WALLS // len(metrics)]
      walls[metric] = np.union1d(walls[metric], worst[np.isfinite(slack_V[worst])])
    if sum(map(len, walls.values())) == known:
      break
    nearest_D, in_hull = _nearest_to_origin(cells, token, walls)
    if in_hull:
      return Outcome(None, True)
    if nearest_D is None:
      break
    vector_D = (-nearest_D / np.linalg.norm(nearest_D) * cells.length).astype(np.float32)
  return Outcome(None, False)


def _nearest_to_origin(cells: Cells, token: int, walls: dict[str, np.ndarray]):
  """A point of the hull of some walls' normals, None without one; whether it is the origin."""
  from scipy.optimize import nnls  # imported here: it takes long, and few tokens need it

  normals_NxD, lost_N = map(
    np.concatenate, zip(*(_normals(cells, token, own, name) for name, own in walls.items()))
  )
  lengths_N = np.linalg.norm(normals_NxD, axis=1)
  if np.any(lengths_N <= lost_N):  # another token with the same direction, or nearly so
    return None, True
  # Least |sum_v l_v n_v|^2 + (1 - sum_v l_v)^2: of normals of length 1, so that all walls count.
  system_DxN = np.vstack([(normals_NxD / lengths_N[:, None]).T, np.ones(len(lengths_N))])
  most = _MOST_PIVOTS * len(lengths_N)
  try:
    weights_N, _ = nnls(system_DxN, np.eye(len(system_DxN))[-1], maxiter=most)
  except RuntimeError:  # it did not converge
    return None, False
  weights_N /= lengths_N
  point_D = weights_N @ normals_NxD
  # sum_v l_v slack_v = -x . point, which is at most |point| for x of length 1.
  return point_D, bool(np.linalg.norm(point_D) <= weights_N @ lost_N)


def _normals(cells: Cells, token: int, walls_N, metric: str) -> tuple[np.ndarray, np.ndarray]:
  """n_v of some walls, (N, D), and what rounding may take of their slack at length 1, (N,)."""
  e_NxD, e_D = (cells.table_VxD[ids].astype(np.float64) for ids in (walls_N, token))
  if metric == "cosine":
    e_NxD, e_D = e_NxD * cells.inverse_norms_V[walls_N, None], e_D * cells.inverse_norms_V[token]
    return e_NxD - e_D, np.full(len(walls_N), ROUNDING)
  return e_NxD - e_D, ROUNDING * np.sqrt(cells.squares_V[walls_N])
