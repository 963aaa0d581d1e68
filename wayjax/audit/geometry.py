"""Where a prompt's vectors are among the embeddings, and how far other texts are.

Letters: P prompt positions, D width, V vocabulary, N positions of several texts, U tokens drawn.
"""

import numpy as np

from wayjax.anchors import points_inside
from wayjax.audit.findings import Position, Possible, Scale
from wayjax.cells import Cells
from wayjax.data.encoding import token_ids
from wayjax.data.targets import Target
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt
from wayjax.readers.nearest import project, token_texts

_METRIC = "euclidean"
_DRAWN = 512  # tokens whose nearest others are looked for
_AT_ONCE = 32  # texts, so that memory does not grow with their number


def squared_distance(one_PxD, other_PxD) -> float:
  """c-dist (Eq. 7) in float64: squared distance, summed over D, the mean over positions."""
  difference_PxD = np.asarray(one_PxD, np.float64) - np.asarray(other_PxD, np.float64)
  return float(np.mean(np.sum(np.square(difference_PxD), axis=1)))


class Geometry:
  """The embedding table of a model, and what is where in it.

  Args:
    lm: the frozen language model.

  Attributes:
    cells: the cells of its tokens, under Euclidean distance, for vectors stored in bfloat16 or
      finer.
    scale: how large things are.
  """

  def __init__(self, lm: LanguageModel):
    self._lm, self.cells = lm, Cells.of(lm, metrics=(_METRIC,))
    used_V = np.setdiff1d(np.arange(len(self.cells.table_VxD)), self.cells.unused_U)
    self._norms_V = np.sort(np.sqrt(self.cells.squares_V[used_V]))
    count = min(_DRAWN, len(used_V))
    drawn_U = np.random.default_rng(0).choice(used_V, count, replace=False)
    nearest_U = 2 * self.cells.half_distances(drawn_U)
    self.scale = Scale(
      tokens=len(used_V),
      norm=finite(np.median(self._norms_V)),
      nearest_squared=finite(np.median(np.square(nearest_U))),
      drawn=count,
    )

  def nearest(self, prompt: SoftPrompt) -> np.ndarray:
    """The nearest token of every vector, (P,)."""
    return project(self._lm, [prompt], _METRIC)[0]

  def positions(self, prompt: SoftPrompt) -> tuple[Position, ...]:
    """What is known of every vector of a prompt."""
    ids_P = self.nearest(prompt)
    away_PxD = prompt.vectors_PxD.astype(np.float64) - self.cells.table_VxD[ids_P]
    margins = self.cells.margins(prompt.vectors_PxD, ids_P, _METRIC)
    norms_P = np.linalg.norm(prompt.vectors_PxD.astype(np.float64), axis=1)
    not_longer_P = np.searchsorted(self._norms_V, norms_P, side="right") / len(self._norms_V)
    tokens = token_texts(self._lm, ids_P)
    walls = token_texts(self._lm, np.maximum(margins.wall_P, 0))
    targets = self._targets(prompt)
    return tuple(
      Position(
        token=tokens[p],
        distance=finite(np.linalg.norm(away_PxD[p])),
        margin=finite(margins.distance_P[p]),
        margin_relative=finite(margins.relative_P[p]),
        wall=walls[p] if margins.wall_P[p] >= 0 else None,
        norm=finite(norms_P[p]),
        norm_percentile=100 * float(not_longer_P[p]),
        target=targets[p],
      )
      for p in range(len(prompt))
    )

  def _targets(self, prompt: SoftPrompt) -> list[str | None]:
    """The tokens that a prompt is to read as; None where it has another length, or no target."""
    if prompt.reads_as is not None:
      (ids,) = token_ids(self._lm.tokenizer, [prompt.reads_as.text])
      if len(ids) == len(prompt):
        return token_texts(self._lm, ids)
    return [None] * len(prompt)

  def possible(
    self, prompt: SoftPrompt, texts: list[Target]
  ) -> tuple[tuple[Possible, ...], int, dict[str, str]]:
    """How far a prompt is from reading as other texts.

    Every vector that is not in the cell of its token moves along a straight line towards a point
    inside, until it is in it; see `wayjax.into_cell`. What has to be moved is at most that.

    Args:
      prompt: the prompt.
      texts: the texts, each of which counts once.

    Returns:
      What is possible, nearest first; how many texts have another number of tokens than the prompt
      has vectors; and those that nothing reads as, with the reason.
    """
    texts = list({target.text: target for target in texts}.values())
    encoded = token_ids(self._lm.tokenizer, [target.text for target in texts]) if texts else []
    fitting, impossible = [], {}
    for target, ids in zip(texts, encoded, strict=True):
      if len(ids) != len(prompt):
        continue
      if why := self._why_not(ids):
        impossible[target.text] = why
      else:
        fitting.append((target, np.array(ids)))
    found = []
    for start in range(0, len(fitting), _AT_ONCE):
      found += self._moved(prompt, fitting[start : start + _AT_ONCE], impossible)
    found.sort(key=lambda one: np.inf if one.c_dist is None else one.c_dist)
    return tuple(found), sum(len(ids) != len(prompt) for ids in encoded), impossible

  def _why_not(self, ids: list[int]) -> str | None:
    """Why nothing can read as some tokens; None where something may."""
    for token in ids:
      if token >= len(self.cells.table_VxD):
        return f"the model has no embedding of its token {token}"
      if (twin := self.cells.lower_twin(token)) is not None:
        return f"{self.cells.name(twin)} has the embedding of {self.cells.name(token)}"
    return None

  def _moved(
    self, prompt: SoftPrompt, fitting: list[tuple[Target, np.ndarray]], impossible: dict[str, str]
  ) -> list[Possible]:
    """The prompt, moved to where it reads as each of some texts, all at once."""
    ids_N = np.concatenate([ids_P for _, ids_P in fitting])
    points_NxD, lacking = points_inside(self.cells, ids_N, (_METRIC,))
    vectors_NxD = np.tile(prompt.vectors_PxD, (len(fitting), 1))
    moved_NxD = self.cells.into(vectors_NxD, ids_N, points_NxD, (_METRIC,))
    found = []
    for i, (target, ids_P) in enumerate(fitting):
      if len(without := np.intersect1d(ids_P, lacking)):
        impossible[target.text] = f"no vector certainly reads as {self.cells.name(without[0])}"
        continue
      moved_PxD = moved_NxD[i * len(prompt) : (i + 1) * len(prompt)]
      found.append(
        Possible(
          text=target.text,
          c_dist=finite(squared_distance(moved_PxD, prompt.vectors_PxD)),
          c_dist_to_text=finite(squared_distance(self.cells.table_VxD[ids_P], prompt.vectors_PxD)),
          moved=int(np.any(moved_PxD != prompt.vectors_PxD, axis=1).sum()),
        )
      )
    return found
