"""A decoder that reads a sequence a few positions at a time and keeps their keys and values.

The families' layers are the same as in training: they call a row, and here it is one that keeps.
Letters: S positions that are read now, W positions that are kept, G key-value heads, K width of a
head, N layers.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from wayjax.models.attention import Visible, cached_attention
from wayjax.models.decoder import Decoder, Row, Turns


@jax.custom_batching.custom_vmap
def _write(kept, new, *start):
  """What is kept, with new positions from a place on."""
  return lax.dynamic_update_slice(kept, new, start)


@_write.def_vmap
def _write_all(size, batched, kept, new, *start):
  # All sequences write the same places. JAX would make a scatter of it, and XLA copies of that.
  assert batched == [True, True, *[False] * len(start)], batched
  return lax.dynamic_update_slice(kept, new, (0, *start)), True


class _CachedRow:
  """A `Row` for one layer that attends over what was kept, and keeps what it is given.

  Attributes:
    kept: keys and values, (G, W, K) each, or (N, G, W, K) of stacked layers; None before the first
      positions.
  """

  def __init__(self, row: Row, kept, layer, index):
    self._visible, self._layer, self._index = row.visible, layer, index
    self.cos_sin, self.project, self.read, self.kept = row.cos_sin, row.project, row.read, kept

  def attend(self, q_SxHxK, k_SxGxK, v_SxGxK, dtype, **how):
    """Attention over all kept positions, heads concatenated: (S, H * K)."""
    seen = new = tuple(x.transpose(1, 0, 2).astype(dtype) for x in (k_SxGxK, v_SxGxK))
    if self.kept is None:
      self.kept = new
    elif self._layer is None:
      # Attention reads the very array that is kept: anything between the two, and XLA copies it.
      self.kept = seen = tuple(
        _write(x, y, 0, self._index, 0) for x, y in zip(self.kept, new, strict=True)
      )
    else:
      self.kept = tuple(
        _write(x, y[None], self._layer, 0, self._index, 0)
        for x, y in zip(self.kept, new, strict=True)
      )
      seen = tuple(lax.dynamic_index_in_dim(x, self._layer, keepdims=False) for x in self.kept)
    y_SxHxK = cached_attention(q_SxHxK, *seen, self._visible.pairs_SxS, dtype, **how)
    return y_SxHxK.reshape(len(y_SxHxK), -1)


def _unchanged(h_SxD, n):
  return h_SxD


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
    self._unrolled = model.platform == "cpu" and not model.remat
    self._weights = weights
    if self._unrolled:
      take = lax.index_in_dim
      self._weights = [
        jax.tree.map(lambda w, i=i: take(w, i, keepdims=False), weights) for i in range(self._count)
      ]

  def hidden(self, x_SxD, positions_S, pairs_SxW, cache=None, index=0, patch=_unchanged):
    """Final hidden states of the next positions of one sequence.

    Args:
      x_SxD: input embeddings.
      positions_S: position of each.
      pairs_SxW: whether position i sees the kept position j; what is read now is kept first.
      cache: what an earlier call returned; None for the first positions, whose W is S.
      index: where in the cache the S positions begin.
      patch: `(h_SxD, n)` -> what goes on after n layers, 0 being before the first; n may be traced.

    Returns:
      (S, D), float32, after the last norm; and the cache: keys and values, (G, W, K) of each layer
      where layers are unrolled, else (N, G, W, K).
    """
    h_SxD, cache, _ = self._layers(x_SxD, positions_S, pairs_SxW, cache, index, patch)
    return self._model.norm(h_SxD), cache

  def states(self, x_SxD, positions_S, pairs_SxS, patch=_unchanged):
    """Hidden states of one whole sequence after 0, 1, ... all layers, before the last norm.

    Args:
      x_SxD: input embeddings.
      positions_S: position of each.
      pairs_SxS: whether position i sees position j.
      patch: as in `hidden`.

    Returns:
      (N + 1, S, D), float32.
    """
    first_SxD, rest_NxSxD = self._layers(x_SxD, positions_S, pairs_SxS, None, 0, patch)[2]
    return jnp.concatenate([first_SxD[None], rest_NxSxD])

  def _layers(self, x_SxD, positions_S, pairs_SxW, cache, index, patch):
    """After all layers; the cache; and, at first, what each layer reads and returns."""
    h_SxD, turns = self._model.enter(x_SxD, positions_S)
    visible = Visible(pairs_SxW, prompt=0, reach=None)

    @jax.jit  # so that equal layers are traced once
    def apply(weights, h_SxD, cos_sin, kept, layer):
      cached = _CachedRow(Row(visible, cos_sin), kept, layer, index)
      return nnx.merge(self._graphdef, weights)(h_SxD, cached), cached.kept

    scanned = functools.partial(_scanned, remat=self._model.remat)
    through = _unrolled if self._unrolled else scanned
    return through(apply, self._weights, patch(h_SxD, 0), turns, cache, patch)


def _unrolled(apply, weights, h_SxD, turns: Turns, cache, patch):
  first_SxD, states, found = h_SxD, [], []
  for i, (layer_weights, kept) in enumerate(zip(weights, cache or [None] * len(weights))):
    h_SxD, kept = apply(layer_weights, h_SxD, turns.of(i), kept, None)
    h_SxD = patch(h_SxD, i + 1)
    states.append(h_SxD)
    found.append(kept)
  return h_SxD, found, (first_SxD, jnp.stack(states))


def _scanned(apply, weights, h_SxD, turns: Turns, cache, patch, *, remat: bool):
  numbered = jnp.arange(len(jax.tree.leaves(weights)[0])), weights

  def first(h_SxD, layer):
    h_SxD, kept = apply(layer[1], h_SxD, turns.of(layer[0]), None, None)
    h_SxD = patch(h_SxD, layer[0] + 1)
    return h_SxD, (kept, h_SxD)

  def later(carry, layer):
    h_SxD, kept = carry
    h_SxD, kept = apply(layer[1], h_SxD, turns.of(layer[0]), kept, layer[0])
    return (patch(h_SxD, layer[0] + 1), kept), None

  if cache is None:
    first = jax.checkpoint(first) if remat else first
    last_SxD, (cache, states_NxSxD) = lax.scan(first, h_SxD, numbered)
    return last_SxD, cache, (h_SxD, states_NxSxD)
  (h_SxD, cache), _ = lax.scan(later, (h_SxD, cache), numbered)
  return h_SxD, cache, None


def with_room(cache, positions: int):
  """A cache with so many more positions, yet to be filled."""
  return jax.tree.map(
    lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, positions), (0, 0)]), cache
  )
