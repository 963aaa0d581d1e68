"""The compiled program: many sequences are read at once, then go on a token at a time.

Sequences are padded on their left to one length, so that all of them write the same place of the
cache. Letters: B sequences, L positions that are read at first, N tokens that are generated, P
vectors of a soft prompt, W = L + N - 1 positions that are kept, V vocabulary.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from wayjax.generation.sampling import Sampling, choose
from wayjax.models.cached import CachedDecoder, with_room

NOTHING = -1  # where a sequence has ended


class Sequences(NamedTuple):
  """What the model reads at first; every array has a leading axis B.

  Attributes:
    ids_L: token ids; 0 in the padding and under the soft prompt.
    soft_PxD: the vectors of the soft prompt, then zeros.
    start: where in L the soft prompt begins.
    vectors: how many vectors it has.
    length: how many of the L positions are not padding.
    prompt: the number of the prompt.
    input: the number of the input.
    live: whether it is a sequence at all, and not there to fill the batch.
    states_PxI: in place of a soft prompt, hidden states that stand there after some layers, then
      zeros; None in a program without them.
    layer: after how many layers.
  """

  ids_L: jax.Array
  soft_PxD: jax.Array
  start: jax.Array
  vectors: jax.Array
  length: jax.Array
  prompt: jax.Array
  input: jax.Array
  live: jax.Array
  states_PxI: jax.Array | None = None
  layer: jax.Array | None = None


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def decode(
  graphdef, sampling: Sampling, tokens: int, params, seed, sequences: Sequences, ends_V, never_V
):
  """Goes on with sequences until all have ended.

  Args:
    graphdef: the model's structure.
    sampling: how tokens are chosen, but for its seed.
    tokens: N, the most tokens generated.
    params: the model's weights.
    seed: the seed of the draws.
    sequences: what is read at first.
    ends_V: the tokens that end a sequence.
    never_V: the tokens that are never generated.

  Returns:
    (B, N), int32: the generated tokens, with the one that ended it, then `NOTHING`.
  """
  model = nnx.merge(graphdef, params)
  decoder = CachedDecoder(model)
  size = sequences.ids_L.shape[1]

  def choose_next(h_D, sequence: Sequences, step):
    logits_V = jnp.where(never_V, -jnp.inf, model.lm_head(h_D[None])[0])
    return choose(sampling, seed, logits_V, sequence.prompt, sequence.input, step)

  def read(sequence: Sequences):
    h_LxD, cache = decoder.hidden(*read_at_first(model, sequence), patch=patch_of(sequence))
    return choose_next(h_LxD[-1], sequence, 0), with_room(cache, tokens - 1)

  def go_on(sequence: Sequences, last, cache, step):
    index = size + step - 1
    places_W = jnp.arange(size + tokens - 1)
    seen_W = (places_W >= size - sequence.length) & (places_W <= index)
    position = sequence.length + step - 1
    h_1xD, cache = decoder.hidden(
      model.embed(last[None]), position[None], seen_W[None], cache, index
    )
    return choose_next(h_1xD[0], sequence, step), cache

  def unfinished(state):
    step, _, _, live_B, _ = state
    return (step < tokens) & jnp.any(live_B)

  def advance(state):
    step, last_B, ids_NxB, live_B, cache = state
    next_B, cache = jax.vmap(go_on, (0, 0, 0, None))(sequences, last_B, cache, step)
    return note(step, next_B, ids_NxB, live_B, cache)

  def note(step, next_B, ids_NxB, live_B, cache):
    ids_NxB = ids_NxB.at[step].set(jnp.where(live_B, next_B, NOTHING))
    return step + 1, next_B, ids_NxB, live_B & ~ends_V[next_B], cache

  ids_NxB = jnp.full((tokens, len(sequences.live)), NOTHING, jnp.int32)
  first_B, cache = jax.vmap(read)(sequences)
  state = note(jnp.int32(0), first_B, ids_NxB, sequences.live, cache)
  return lax.while_loop(unfinished, advance, state)[2].T


def read_at_first(model, sequence: Sequences):
  """Input embeddings, positions and what sees what, of one sequence."""
  places_L = jnp.arange(len(sequence.ids_L))
  x_LxD = model.embed(sequence.ids_L)
  if sequence.states_PxI is None:
    x_LxD = _put(sequence, sequence.soft_PxD, x_LxD)
  padding = len(places_L) - sequence.length
  seen_LxL = (places_L[None, :] <= places_L[:, None]) & (places_L >= padding)[None, :]
  itself_LxL = places_L[None, :] == places_L[:, None]  # also in the padding
  return x_LxD, jnp.maximum(places_L - padding, 0), seen_LxL | itself_LxL


def patch_of(sequence: Sequences):
  """What `CachedDecoder` does to a sequence's hidden states after each layer."""

  def patch(h_LxI, n):
    if sequence.states_PxI is None:
      return h_LxI
    return jnp.where(n == sequence.layer, _put(sequence, sequence.states_PxI, h_LxI), h_LxI)

  return patch


def _put(sequence: Sequences, vectors_PxI, x_LxI):
  """A row with vectors in the place of the soft prompt."""
  soft_L = jnp.arange(len(x_LxI)) - sequence.start
  is_soft_L = (soft_L >= 0) & (soft_L < sequence.vectors)
  there_LxI = vectors_PxI[jnp.clip(soft_L, 0, len(vectors_PxI) - 1)]
  return jnp.where(is_soft_L[:, None], there_LxI, x_LxI)
