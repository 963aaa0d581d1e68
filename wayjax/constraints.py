"""How a prompt is held to its text: one entry in CONSTRAINTS for each way.

What a constraint computes in each step is written for ONE member. Each has its own compiled
program; gamma, the target and what `prepare` makes of it are inputs of that program. To add one,
write its functions here and name it in CONSTRAINTS: `--constraint` then takes it, keys and rows
name it, and reports keep it apart.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from wayjax.anchors import find_anchors
from wayjax.blocks import block_starts
from wayjax.cells import Cells
from wayjax.config import C_DIST, CELL, METRICS
from wayjax.errors import WayjaxError
from wayjax.loss import weighted_c_dist

# Slack at the anchor, relative to what it is the difference of, that is rounding in float32: such
# walls, of twins or nearly so, are left to the float64 of the certificate.
_NO_WALL = 1e-6
_FURTHER = 1e-4  # inside of the room, so that rounding does not have a vector moved again
_log = logging.getLogger("wayjax")


def nothing(target_ids, cells: Cells) -> tuple:
  """Prepares nothing: the target's embeddings are enough."""
  return ()


def unchanged(prompt_PxD, *_):
  """Projects to where the prompt is: a constraint that only penalises."""
  return prompt_PxD


class Constraint(NamedTuple):
  """How prompts are held to their texts.

  Attributes:
    penalty: `(prompt_PxD, target_PxD, mask_P, held, gamma)` -> what is added to cross-entropy.
    project: `(prompt_PxD, target_PxD, mask_P, held, table_VxD, squares_NxB)` -> (P, D), the prompt
      after each optimiser step; `squares_NxB` are the table's squared lengths, infinite for rows
      that belong to no token, in the blocks in which the table may be looked at (`block_starts`).
    prepare: `(target_ids, cells)` -> `held`, a tree of NumPy arrays whose first axis is P; computed
      once a target, on the host, and padded on the left as prompts are.
    settle: `(prompt_PxD, target_ids, held, cells)` -> (P, D), on the host: the prompt before the
      first step, and after the last.
  """

  penalty: Callable
  project: Callable = unchanged
  prepare: Callable[[np.ndarray, Cells], object] = nothing
  settle: Callable = unchanged


def _penalise_c_dist(prompt_PxD, target_PxD, mask_P, held, gamma):
  return weighted_c_dist(prompt_PxD, target_PxD, mask_P, gamma)


class HeldInCell(NamedTuple):
  """What holds the positions of a prompt in the cells of their tokens.

  Attributes:
    anchor_PxD: a point inside each cell.
    reach_P: how much of the way from there to a wall a vector may go.
    euclidean_P: 1 where the cell under Euclidean distance holds a position, else 0.
    dot_P: 1 where that under the dot product does.
    cosine_P: 1 where that under the cosine does.
  """

  anchor_PxD: np.ndarray
  reach_P: np.ndarray
  euclidean_P: np.ndarray
  dot_P: np.ndarray
  cosine_P: np.ndarray

  @property
  def metrics(self) -> tuple[str, ...]:
    """The metrics in whose cells the prompt is held; on the host."""
    return tuple(name for name in METRICS if getattr(self, f"{name}_P")[0])


def _prepare_cell(target_ids, cells: Cells) -> HeldInCell:
  anchors = find_anchors(cells, target_ids)
  anchor_PxD = anchors.points_PxD.astype(np.float32)
  reach_P = np.full(len(target_ids), 1 - cells.room, np.float32)
  holds = (np.full(len(reach_P), name in anchors.metrics, np.float32) for name in METRICS)
  held = HeldInCell(anchor_PxD, reach_P, *holds)
  _warn_of_unreadable(cells, target_ids, held)
  return held


def _warn_of_unreadable(cells: Cells, ids_P, held: HeldInCell) -> None:
  """Names tokens that no prompt certainly reads as, each once, and those that are in their way."""
  reads_P = cells.reads(held.anchor_PxD, ids_P, held.metrics).all(axis=0)
  for token in dict.fromkeys(ids_P[~reads_P].tolist()):
    if token in cells.told:
      continue
    cells.told.add(token)
    twin = cells.lower_twin(token)
    if twin is None:
      (wall,) = cells.margins(cells.table_VxD[[token]], [token], "euclidean").wall_P
      why = f"stored in {cells.dtype}, it is not told from {cells.name(wall)}"
    else:
      why = f"{cells.name(twin)} has the same embedding, and ties go to the lower id"
    _log.warning(
      "no prompt certainly reads as %s: %s; texts with it are held against all other tokens, and "
      "not certified",
      cells.name(token),
      why,
    )


def _settle_in_cell(prompt_PxD, target_ids, held: HeldInCell, cells: Cells) -> np.ndarray:
  return cells.into(prompt_PxD, target_ids, held.anchor_PxD, held.metrics)


def retract(prompt_PxD, target_PxD, mask_P, held: HeldInCell, table_VxD, squares_NxB):
  """Moves every vector that is too near to a wall of its cell, or beyond it, towards its anchor.

  On the ray from the anchor c through x the wall of token v is reached at 1 / r_v, where r_v = (x -
  c) . n_v / (b_v - c . n_v) (see `cells`); x goes to c + min(1, reach / max_v r_v) (x - c). That
  is inside, up to what float32 cannot tell, and is not the nearest point of the cell. A vector that
  is inside keeps every bit.

  Args:
    prompt_PxD: the prompt after an optimiser step.
    target_PxD: the embeddings of the tokens.
    mask_P: 1 where a position is real, 0 where it is padding.
    held: what holds it.
    table_VxD: the embedding table.
    squares_NxB: squared lengths of its rows, infinite for those that belong to no token, in blocks.

  Returns:
    (P, D).
  """
  away_PxD = prompt_PxD - held.anchor_PxD
  used_P = lax.stop_gradient(_largest_share(away_PxD, target_PxD, held, table_VxD, squares_NxB))
  outside_P = used_P > held.reach_P
  share_P = jnp.where(outside_P, (1 - _FURTHER) * held.reach_P / used_P, 1.0)
  return jnp.where(outside_P[:, None], held.anchor_PxD + share_P[:, None] * away_PxD, prompt_PxD)


def _largest_share(away_PxD, target_PxD, held: HeldInCell, table_VxD, squares_NxB):
  """max_v r_v: of the way from the anchor to the first wall that it meets, how much is gone."""
  blocks, size = squares_NxB.shape
  if blocks == 1:
    return _block_shares(away_PxD, target_PxD, held, table_VxD, squares_NxB[0])

  def largest(so_far_P, block):
    start, squares_B = block
    e_BxD = lax.dynamic_slice_in_dim(table_VxD, start, size)
    shares_P = _block_shares(away_PxD, target_PxD, held, e_BxD, squares_B)
    return jnp.maximum(so_far_P, shares_P), None

  starts_N = block_starts(len(table_VxD), size)
  return lax.scan(largest, jnp.zeros(len(away_PxD), jnp.float32), (starts_N, squares_NxB))[0]


def _block_shares(away_PxD, target_PxD, held: HeldInCell, e_BxD, squares_B):
  # One product: a CPU lays the table out anew for each.
  both_2PxD = jnp.concatenate([away_PxD, held.anchor_PxD])
  both_2PxB = jnp.matmul(both_2PxD, e_BxD.T, precision=lax.Precision.HIGHEST)
  away_PxB, anchor_PxB = jnp.split(both_2PxB, 2)
  squares_P = jnp.sum(jnp.square(target_PxD), axis=-1)
  own_away_P, own_anchor_P = (
    jnp.sum(x_PxD * target_PxD, axis=-1) for x_PxD in (away_PxD, held.anchor_PxD)
  )

  def share(rise_PxB, limit_PxB, before_PxB, size_PxB):
    slack_PxB = limit_PxB - before_PxB
    is_wall = jnp.isfinite(squares_B)[None, :] & (slack_PxB > _NO_WALL * size_PxB)
    return jnp.max(jnp.where(is_wall, rise_PxB / slack_PxB, 0.0), axis=1)

  # Euclidean walls and the dot product's differ in their limits alone: the tighter ones count.
  nearer_PxB = 0.5 * (squares_B[None, :] - squares_P[:, None])
  nearer_PxB = jnp.where(held.euclidean_P[:, None] > 0, nearer_PxB, jnp.inf)
  limit_PxB = jnp.where(held.dot_P[:, None] > 0, jnp.minimum(nearer_PxB, 0.0), nearer_PxB)
  size_PxB = squares_B[None, :] + squares_P[:, None]
  straight_P = share(
    away_PxB - own_away_P[:, None], limit_PxB, anchor_PxB - own_anchor_P[:, None], size_PxB
  )
  inverse_B, inverse_P = (
    jnp.where(squares > 0, lax.rsqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
    for squares in (squares_B, squares_P)
  )
  cosine_P = share(
    away_PxB * inverse_B[None, :] - (own_away_P * inverse_P)[:, None],
    0.0,
    anchor_PxB * inverse_B[None, :] - (own_anchor_P * inverse_P)[:, None],
    jnp.sqrt(squares_P)[:, None],
  )
  return jnp.maximum(straight_P, jnp.where(held.cosine_P > 0, cosine_P, 0.0))


CONSTRAINTS: dict[str, Constraint] = {
  # The paper's penalty, gamma * c-dist (Eq. 5); with gamma 0 the prompt is unconstrained.
  C_DIST: Constraint(_penalise_c_dist),
  # Every vector stays in the cell of its token, so the prompt reads as its text by construction.
  CELL: Constraint(_penalise_c_dist, retract, _prepare_cell, _settle_in_cell),
}


def get_constraint(name: str) -> Constraint:
  """The constraint of that name.

  Raises:
    WayjaxError: there is none.
  """
  if name not in CONSTRAINTS:
    raise WayjaxError(f"unknown constraint '{name}': choose one of {', '.join(CONSTRAINTS)}")
  return CONSTRAINTS[name]
