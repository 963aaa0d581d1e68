"""A decoder that reads a sequence a few positions at a time and keeps their keys and values.

The families' layers are the same as in training: they call a row, and here it is one that keeps.
Letters: S positions that are read now, W positions that are kept, G key-value heads, K width of a
head, N layers.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from wayjax.models.attention import Visible, cached_attention
from wayjax.models.decoder import Decoder, Row


class _CachedRow:
  """A `Row` for one layer that attends over what was kept, and keeps what it is given.

  Attributes:
    kept: keys and values of stacked layers, (N, G, W, K) each; None before the first positions.
  """

  def __init__(self, row: Row, kept, layer, index):
    self._visible, self._layer, self._index = row.visible, layer, index
    self.cos_sin, self.project, self.read, self.kept = row.cos_sin, row.project, row.read, kept

  def attend(self, q_SxHxK, k_SxGxK, v_SxGxK, dtype):
    """Attention over all kept positions, heads concatenated: (S, H * K)."""
    new = tuple(x.transpose(1, 0, 2).astype(dtype)[None] for x in (k_SxGxK, v_SxGxK))
    if self.kept is None:
      self.kept, (k_GxWxK, v_GxWxK) = new, (x[0] for x in new)
    else:
      # Only the new positions are written, so that a loop updates the cache in place.
      start = (self._layer, 0, self._index, 0)
      self.kept = jax.tree.map(lambda x, y: lax.dynamic_update_slice(x, y, start), self.kept, new)
      take = lax.dynamic_index_in_dim
      k_GxWxK, v_GxWxK = (take(x, self._layer, keepdims=False) for x in self.kept)
    y_SxHxK = cached_attention(q_SxHxK, k_GxWxK, v_GxWxK, self._visible.pairs_SxS, dtype)
    return y_SxHxK.reshape(len(y_SxHxK), -1)


class CachedDecoder:
  """A decoder, its layers taken apart; made once, outside of the loop over steps.

  Args:
    model: the decoder.
  """

  def __init__(self, model: Decoder):
    self._model = model
    self._graphdef, weights = nnx.split(model.layers)
    self._count = len(jax.tree.leaves(weights)[0])
    # As in apply_layers; taken apart here, because a loop would copy them at every step.
    unrolled = jax.default_backend() == "cpu"
    take = lax.index_in_dim
    self._stacks = (
      [jax.tree.map(lambda w, i=i: take(w, i), weights) for i in range(self._count)]
      if unrolled
      else [weights]
    )

  def hidden(self, x_SxD, positions_S, pairs_SxW, cache=None, index=0):
    """Final hidden states of the next positions of one sequence.

    Args:
      x_SxD: input embeddings.
      positions_S: position of each.
      pairs_SxW: whether position i sees the kept position j; what is read now is kept first.
      cache: what an earlier call returned; None for the first positions, whose W is S.
      index: where in the cache the S positions begin.

    Returns:
      (S, D), float32, after the last norm; and the cache: of each stack of layers its keys and
      values, (N, G, W, K).
    """
    h_SxD, cos_sin = self._model.enter(x_SxD, positions_S)
    row = Row(Visible(pairs_SxW, prompt=0, reach=None), cos_sin)

    @jax.jit  # so that equal layers are traced once
    def apply(weights, h_SxD, row, kept, layer):
      cached = _CachedRow(row, kept, layer, index)
      return nnx.merge(self._graphdef, weights)(h_SxD, cached), cached.kept

    found = []
    for stack, kept in zip(self._stacks, cache or [None] * len(self._stacks), strict=True):
      h_SxD, kept = _through(apply, stack, h_SxD, row, kept)
      found.append(kept)
    return self._model.norm(h_SxD), found


def _through(apply, stack, h_SxD, row: Row, kept):
  """All layers of a stack, one after the other."""
  count = len(jax.tree.leaves(stack)[0])
  if count == 1:
    return apply(jax.tree.map(lambda w: w[0], stack), h_SxD, row, kept, 0)
  if kept is None:

    def first(h_SxD, weights):
      h_SxD, kept = apply(weights, h_SxD, row, None, 0)
      return h_SxD, jax.tree.map(lambda x: x[0], kept)

    return lax.scan(first, h_SxD, stack)

  def later(carry, layer_and_weights):
    h_SxD, kept = carry
    layer, weights = layer_and_weights
    return apply(weights, h_SxD, row, kept, layer), None

  carry, _ = lax.scan(later, (h_SxD, kept), (jnp.arange(count), stack))
  return carry


def with_room(cache, positions: int):
  """A cache with so many more positions, yet to be filled."""
  return jax.tree.map(
    lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, positions), (0, 0)]), cache
  )
