"""An embedding table in float64: products with it, what stands out from it, and its twins."""

import functools

import numpy as np

from wayjax.visible import visible

_BLOCK = 8192  # tokens whose embeddings are in float64 at a time
_KEPT = 2**27  # numbers of a table of which a copy in float64 is kept: 1 GiB


class Vocabulary:
  """The tokens of a model and their embeddings.

  Args:
    table_VxD: the embedding table.
    unused_U: rows that belong to no token.
    decode: a tokenizer's, which names tokens in messages; None means that they are numbers there.
  """

  def __init__(self, table_VxD, unused_U=None, decode=None):
    self.table_VxD, self._decode = np.asarray(table_VxD), decode
    self.unused_U = np.array([] if unused_U is None else unused_U, np.int64)

  @functools.cached_property
  def squares_V(self) -> np.ndarray:
    """Squared lengths of the embeddings, (V,)."""
    return np.concatenate([np.sum(np.square(e_BxD), axis=1) for e_BxD in self._blocks()])

  @functools.cached_property
  def inverse_norms_V(self) -> np.ndarray:
    """1 / length of the embeddings, and 0 where that is 0: the reader takes such a cosine for 0."""
    with np.errstate(divide="ignore"):
      return np.where(self.squares_V > 0, 1 / np.sqrt(self.squares_V), 0.0)

  @functools.cached_property
  def length(self) -> float:
    """The length of an average embedding."""
    return float(np.sqrt(self.squares_V).mean()) or 1.0

  @functools.cached_property
  def _mean_and_inverse_covariance(self) -> tuple[np.ndarray, np.ndarray]:
    mean_D = self.table_VxD.mean(axis=0, dtype=np.float64)
    covariance_DxD = sum((e_BxD - mean_D).T @ (e_BxD - mean_D) for e_BxD in self._blocks())
    width = len(mean_D)
    ridge = 1e-9 * (np.trace(covariance_DxD) / width or 1.0)  # a table of few tokens has no inverse
    return mean_D, np.linalg.inv(covariance_DxD + ridge * np.eye(width))

  @functools.cached_property
  def _kept(self) -> list[np.ndarray] | None:
    if self.table_VxD.size > _KEPT:
      return None
    return np.split(self.table_VxD.astype(np.float64), range(_BLOCK, len(self.table_VxD), _BLOCK))

  def whitened(self, ids_P) -> np.ndarray:
    """The directions in which embeddings stand out from the table, of length 1, (P, D)."""
    mean_D, inverse_DxD = self._mean_and_inverse_covariance
    w_PxD = (self.table_VxD[ids_P] - mean_D) @ inverse_DxD
    lengths_Px1 = np.linalg.norm(w_PxD, axis=1, keepdims=True)
    return w_PxD / np.where(lengths_Px1 > 0, lengths_Px1, 1.0)

  def name(self, token: int) -> str:
    """A token as messages name it."""
    text = f" ('{visible(self._decode([int(token)]))}')" if self._decode else ""
    return f"token {token}{text}"

  def twins(self, token: int) -> np.ndarray:
    """Other tokens with exactly the same embedding."""
    alike = np.flatnonzero(self.squares_V == self.squares_V[token])
    same = alike[np.all(self.table_VxD[alike] == self.table_VxD[token], axis=1)]
    return np.setdiff1d(same, [token, *self.unused_U])

  def lower_twin(self, token: int) -> int | None:
    """The token that every vector near this one's embedding reads as instead: ties go to it."""
    twins = self.twins(token)
    return int(twins[0]) if len(twins) and twins[0] < token else None

  def products(self, points_PxD) -> np.ndarray:
    """Those of points with all embeddings, (P, V)."""
    points_PxD = np.asarray(points_PxD, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
      return np.concatenate([points_PxD @ e_BxD.T for e_BxD in self._blocks()], axis=1)

  def _blocks(self):
    """The table in float64, which is kept unless it is large: that takes longer than a product."""
    if self._kept is not None:
      return iter(self._kept)
    starts = range(0, len(self.table_VxD), _BLOCK)
    return (self.table_VxD[start : start + _BLOCK].astype(np.float64) for start in starts)
