"""How unlikely a text is after ONE prompt, so that the gradient reaches the prompt.

Letters: P prompt positions and S tokens of the text, both padded on the left, L positions of a
sequence, D width of a prompt, I the width between the layers.
"""

import jax.numpy as jnp

from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.loss import head_losses
from wayjax.models.cached import CachedDecoder

NOTHING = -1  # in the padding of a text


def mean_loss(model, h_SxD, said_S):
  """The mean log-loss of tokens by the states that are to predict them.

  Args:
    model: the frozen language model.
    h_SxD: final hidden states.
    said_S: the tokens; NOTHING does not count.

  Returns:
    A scalar, nats a token.
  """
  losses_S = head_losses(model, h_SxD, jnp.maximum(said_S, 0))
  real_S = said_S != NOTHING
  return jnp.sum(jnp.where(real_S, losses_S, 0.0)) / jnp.sum(real_S).astype(jnp.float32)


def continuation_loss(model, sequence: Sequences, said_S):
  """The mean log-loss of a sequence's last tokens.

  Args:
    model: the frozen language model.
    sequence: a sequence that ends with the text.
    said_S: the text, padded on the left with NOTHING.

  Returns:
    A scalar, nats a token.
  """
  h_LxD, _ = CachedDecoder(model).hidden(*read_at_first(model, sequence), patch=patch_of(sequence))
  return mean_loss(model, h_LxD[-len(said_S) - 1 : -1], said_S)


def sequence_of(
  prompt_PxD,
  mask_P,
  *,
  before,
  after=(),
  said_S=None,
  under=0,
  states_PxI=None,
  layer=None,
) -> Sequences:
  """`[before][prompt][after][said]` without gaps, padded on the left alone.

  Args:
    prompt_PxD: the prompt.
    mask_P: 1 where a position is real, 0 where it is padding.
    before: token ids, not an array.
    after: token ids likewise.
    said_S: the text, padded with NOTHING; None for none.
    under: the token under the prompt.
    states_PxI: hidden states that stand in the prompt's place after some layers; None for none.
    layer: after how many.
  """
  said_S = jnp.zeros(0, jnp.int32) if said_S is None else said_S
  real_L = jnp.concatenate(
    [jnp.ones(len(before), bool), mask_P > 0, jnp.ones(len(after), bool), said_S != NOTHING]
  )
  order_L = jnp.argsort(real_L)  # stable: what is real keeps its order, behind the padding
  ids_L = jnp.concatenate(
    [
      jnp.array(before, jnp.int32),
      jnp.full(len(mask_P), under, jnp.int32),
      jnp.array(after, jnp.int32),
      jnp.maximum(said_S, 0),
    ]
  )
  vectors = jnp.sum(mask_P > 0)
  length = jnp.sum(real_L)
  zero = jnp.int32(0)
  first = vectors - len(mask_P)  # a sequence has the vectors first, then their padding
  return Sequences(
    ids_L=ids_L[order_L],
    soft_PxD=jnp.roll(prompt_PxD, first, axis=0),
    start=len(ids_L) - length + len(before),
    vectors=vectors,
    length=length,
    prompt=zero,
    input=zero,
    live=jnp.bool_(True),
    states_PxI=None if states_PxI is None else jnp.roll(states_PxI, first, axis=0),
    layer=layer,
  )
