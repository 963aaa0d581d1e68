"""c-proj and d-proj: from token ids to vectors, and from vectors to the nearest token ids."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from wayjax.errors import WayjaxError

METRICS = ("euclidean", "dot", "cosine")
_RERANKED = 16  # nearest by the product, ordered again by the exact score
_BLOCK = 1024  # prompt vectors whose scores against the vocabulary exist at a time


def c_proj(ids_P, table_VxD):
  """The embeddings of token ids (Eq. 1).

  Args:
    ids_P: token ids.
    table_VxD: the input embedding table.

  Returns:
    (P, D).
  """
  return table_VxD[ids_P]


def d_proj(prompt_PxD, table_VxD, metric: str = "euclidean"):
  """The nearest vocabulary token of every prompt vector (Eq. 2).

  The paper's Eq. 2 takes the highest dot product, its released code the smallest Euclidean
  distance, the default here: `argmax_v (p . e_v - |e_v|^2 / 2)`, one product with the table.

  Args:
    prompt_PxD: vectors of one or more prompts.
    table_VxD: the input embedding table.
    metric: `euclidean`, `dot` or `cosine`.

  Returns:
    (P,) token ids; ties go to the lowest id.
  """
  return nearest_tokens(prompt_PxD, table_VxD, metric=metric, k=1)[0][:, 0]


@functools.partial(jax.jit, static_argnames=("metric", "k"))
def nearest_tokens(prompt_PxD, table_VxD, *, metric: str = "euclidean", k: int = 5):
  """The k nearest vocabulary tokens of every prompt vector, nearest first.

  Args:
    prompt_PxD: vectors of one or more prompts.
    table_VxD: the input embedding table.
    metric: `euclidean`, `dot` or `cosine`.
    k: how many.

  Returns:
    (P, k) token ids, and (P, k) scores: the negative Euclidean distance, the dot product or the
    cosine. Equal scores are ordered by id.
  """
  if metric not in METRICS:
    raise WayjaxError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
  prompt_PxD = jnp.asarray(prompt_PxD, jnp.float32)
  table_VxD = jnp.asarray(table_VxD, jnp.float32)
  count = min(k + _RERANKED, table_VxD.shape[0])
  # Distances do not change when all is moved, and round less when the table's mean is not in them.
  origin_D = jnp.mean(table_VxD, axis=0) * (metric == "euclidean")
  moved_VxD = table_VxD - origin_D[None, :]
  squared_V = jnp.sum(jnp.square(moved_VxD), axis=-1)

  def nearest(p_D):
    products_V = jnp.matmul(moved_VxD, p_D - origin_D, precision=lax.Precision.HIGHEST)
    if metric == "euclidean":
      coarse_V = products_V - 0.5 * squared_V
    elif metric == "dot":
      coarse_V = products_V
    else:
      coarse_V = products_V * lax.rsqrt(jnp.maximum(squared_V, jnp.finfo(jnp.float32).tiny))
    ids = lax.top_k(coarse_V, count)[1]
    # The product cancels where a vector is close to a token, so the best are scored exactly.
    exact = _exact_scores(p_D, table_VxD[ids], metric)
    order = jnp.lexsort((ids, -exact))[:k]
    return ids[order], exact[order]

  return lax.map(nearest, prompt_PxD, batch_size=_BLOCK)


def _exact_scores(p_D, e_NxD, metric: str):
  if metric == "euclidean":
    return -jnp.sqrt(jnp.sum(jnp.square(e_NxD - p_D[None, :]), axis=-1))
  products_N = jnp.sum(e_NxD * p_D[None, :], axis=-1)
  if metric == "dot":
    return products_N
  norms_N = jnp.linalg.norm(e_NxD, axis=-1) * jnp.linalg.norm(p_D)
  return jnp.where(norms_N > 0, products_N / jnp.where(norms_N > 0, norms_N, 1.0), 0.0)
