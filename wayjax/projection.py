"""c-proj and d-proj: from token ids to vectors, and from vectors to the nearest tokens."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wayjax.blocks import block_starts, even_size
from wayjax.config import METRICS
from wayjax.errors import WayjaxError
from wayjax.options import require_choice

_RERANKED = 16  # more tokens than are wanted, scored exactly after the product has found them
_VECTORS = 1024  # prompt vectors that are scored at a time
_TOKENS = 8192  # tokens that they are scored against at a time


def c_proj(ids_P, table_VxD):
  """The embeddings of token ids (Eq. 1).

  Args:
    ids_P: token ids.
    table_VxD: the input embedding table.

  Returns:
    (P, D).
  """
  chex.assert_rank(table_VxD, 2)
  return table_VxD[ids_P]


def d_proj(prompt_PxD, table_VxD, metric: str = "euclidean", unused_U=None):
  """The nearest vocabulary token to every prompt vector (Eq. 2).

  The paper's Eq. 2 takes the highest dot product, its released code the smallest Euclidean
  distance, the default here: `argmax_v (p . e_v - |e_v|^2 / 2)`, one product with the table.

  Args:
    prompt_PxD: vectors of one or more prompts.
    table_VxD: the input embedding table.
    metric: `euclidean`, `dot` or `cosine`.
    unused_U: rows of the table that are never chosen, such as `LanguageModel.unused_U`.

  Returns:
    (P,) token ids; ties go to the lowest id.
  """
  return nearest_tokens(prompt_PxD, table_VxD, unused_U, metric=metric, k=1)[0][:, 0]


@functools.partial(jax.jit, static_argnames=("metric", "k"))
def nearest_tokens(prompt_PxD, table_VxD, unused_U=None, *, metric: str = "euclidean", k: int = 5):
  """The k nearest vocabulary tokens to every prompt vector, nearest first.

  Args:
    prompt_PxD: vectors of one or more prompts.
    table_VxD: the input embedding table.
    unused_U: rows of the table that are never chosen, because they belong to no token.
    metric: `euclidean`, `dot` or `cosine`.
    k: how many tokens per vector.

  Returns:
    (P, k) token ids, and (P, k) scores: the negative Euclidean distance, the dot product or the
    cosine. Equal scores are ordered by id.

  Raises:
    WayjaxError: an unknown metric, or a prompt and a table of different widths.
  """
  require_choice("metric", metric, METRICS)
  prompt_PxD = jnp.asarray(prompt_PxD, jnp.float32)
  table_VxD = jnp.asarray(table_VxD, jnp.float32)
  chex.assert_rank([prompt_PxD, table_VxD], 2)
  if prompt_PxD.shape[1] != table_VxD.shape[1]:
    raise WayjaxError(
      f"the prompt's vectors have {prompt_PxD.shape[1]} dimensions, but the embedding "
      f"table's have {table_VxD.shape[1]}: use the model that the prompt was tuned for"
    )
  vectors, (tokens, width) = len(prompt_PxD), table_VxD.shape
  used_V, unused = jnp.ones(tokens, bool), 0
  if unused_U is not None:
    used_V, unused = used_V.at[unused_U].set(False), len(unused_U)
  count = min(k + _RERANKED, tokens - unused)
  origin_D = jnp.zeros(width, jnp.float32)
  if metric == "euclidean":
    # Distances do not change when everything is shifted, and round less once the mean is removed.
    origin_D = jnp.mean(table_VxD, axis=0)
  size = even_size(vectors, _VECTORS)

  def nearest_of_block(start):
    p_NxD = lax.dynamic_slice_in_dim(prompt_PxD, start, size)
    ids_NxC = _candidates(p_NxD, table_VxD, origin_D, used_V, metric, count)

    def reranked(p_D, ids_C):
      # The product loses digits where a vector is close to a token, so the best are scored exactly.
      exact_C = _exact_scores(p_D, table_VxD[ids_C], metric)
      order = jnp.lexsort((ids_C, -exact_C))[:k]
      return ids_C[order], exact_C[order]

    return jax.vmap(reranked)(p_NxD, ids_NxC)

  starts = block_starts(vectors, size)
  found = lax.map(nearest_of_block, starts)
  # The last block begins where it is whole, so that it repeats some of the one before.
  repeated = len(starts) * size - vectors
  return tuple(
    jnp.concatenate([part[:-1].reshape(-1, part.shape[2]), part[-1, repeated:]]) for part in found
  )


def _candidates(p_NxD, table_VxD, origin_D, used_V, metric: str, count: int):
  """The tokens with the highest scores as a product finds them, (N, count); ties by id.

  The table is taken in blocks: of a large one neither a second copy exists nor all scores.
  """
  tokens = len(table_VxD)
  size = max(even_size(tokens, _TOKENS), count)

  def best_of_block(first):
    # The last block begins where it is whole; what it repeats is not found twice.
    start = jnp.minimum(first, tokens - size)
    ids_B = start + jnp.arange(size, dtype=jnp.int32)
    e_BxD = lax.dynamic_slice_in_dim(table_VxD, start, size) - origin_D[None, :]
    squared_B = jnp.sum(jnp.square(e_BxD), axis=-1)
    score_NxB = jnp.matmul(p_NxD - origin_D[None, :], e_BxD.T, precision=lax.Precision.HIGHEST)
    if metric == "euclidean":
      score_NxB -= 0.5 * squared_B[None, :]
    elif metric == "cosine":
      tiny = jnp.finfo(jnp.float32).tiny
      score_NxB *= lax.rsqrt(jnp.maximum(squared_B, tiny))[None, :]
    wanted_B = lax.dynamic_slice_in_dim(used_V, start, size) & (ids_B >= first)
    score_NxC, places_NxC = lax.top_k(jnp.where(wanted_B[None, :], score_NxB, -jnp.inf), count)
    return score_NxC, ids_B[places_NxC]

  firsts = jnp.arange(0, tokens, size, dtype=jnp.int32)
  score_NxF, ids_NxF = (
    jnp.moveaxis(part, 0, 1).reshape(len(p_NxD), -1) for part in lax.map(best_of_block, firsts)
  )
  # Of equal scores the first counts, and earlier blocks come first.
  return jnp.take_along_axis(ids_NxF, lax.top_k(score_NxF, count)[1], axis=1)


def margins(table_VxD) -> np.ndarray:
  """Half the Euclidean distance from every token's embedding to the nearest other (Proposition 1).

  It is the radius of the largest ball around the embedding whose inside projects to that token.

  Args:
    table_VxD: the input embedding table.

  Returns:
    (V,) float32, in the table's units; 0 where another token has the same embedding.
  """
  ids_Vx2, scores_Vx2 = map(np.asarray, nearest_tokens(table_VxD, table_VxD, k=2))
  # A token is its own nearest one, except for a twin with a lower id.
  other_V = np.where(ids_Vx2[:, 0] == np.arange(len(ids_Vx2)), scores_Vx2[:, 1], scores_Vx2[:, 0])
  return np.maximum(-other_V, 0) / 2


def _exact_scores(p_D, e_NxD, metric: str):
  if metric == "euclidean":
    return -jnp.sqrt(jnp.sum(jnp.square(e_NxD - p_D[None, :]), axis=-1))
  products_N = jnp.sum(e_NxD * p_D[None, :], axis=-1)
  if metric == "dot":
    return products_N
  norms_N = jnp.linalg.norm(e_NxD, axis=-1) * jnp.linalg.norm(p_D)
  return jnp.where(norms_N > 0, products_N / jnp.where(norms_N > 0, norms_N, 1.0), 0.0)
