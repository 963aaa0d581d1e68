"""The wayward loss: cross-entropy plus gamma times c-dist. Pure, for ONE member."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from wayjax.blocks import even_size
from wayjax.data import packing

SCORE_BLOCK = 64  # scored tokens whose logits exist at a time, or, of a large vocabulary, so many
_LOGITS = 2**22  # as have about this many logits


def token_losses(model, prompt_PxD, mask_P, row: packing.PackedRow):
  """Negative log-likelihood of every scored token of a packed row.

  Args:
    model: a frozen language model.
    prompt_PxD: the continuous prompt, padded on the left.
    mask_P: 1 where a prompt position is real, 0 where it is padding.
    row: the text part of the row.

  Returns:
    (R,), nats; finite but meaningless in padding slots.
  """
  shared_HxD = jnp.where(mask_P[:, None] > 0, prompt_PxD, 0.0)
  if row.frame.size:
    ids = (row.frame.before_ids, row.frame.after_ids)
    before_BxD, after_AxD = (model.embed(jnp.array(part, jnp.int32)) for part in ids)
    shared_HxD = jnp.concatenate([before_BxD, shared_HxD, after_AxD])
  x_SxD = jnp.concatenate([shared_HxD, model.embed(row.ids_T)])
  scored_RxS = jax.nn.one_hot(len(shared_HxD) + row.previous_R, len(x_SxD), dtype=jnp.float32)
  h_RxD = model.hidden(
    x_SxD, packing.positions(row, mask_P), packing.visible(row, mask_P), scored_RxS
  )
  return head_losses(model, h_RxD, row.labels_R)


def head_losses(model, h_RxD, labels_R):
  """Log-losses of labels under the vocabulary head, a block of the logits at a time.

  Args:
    model: a frozen language model.
    h_RxD: final hidden states.
    labels_R: the token that each is to predict.

  Returns:
    (R,), nats.
  """
  head = nnx.split(model.lm_head)
  scored, vocabulary = len(labels_R), len(model.embedding_table())
  size = even_size(scored, max(1, min(SCORE_BLOCK, _LOGITS // vocabulary)))
  blocks = -(-scored // size)
  fill = blocks * size - scored
  h_NxRxD = jnp.pad(h_RxD, [(0, fill), (0, 0)]).reshape(blocks, size, -1)
  labels_NxR = jnp.pad(labels_R, (0, fill)).reshape(blocks, size)
  if blocks == 1:
    return _head_losses(*head, h_NxRxD[0], labels_NxR[0])
  losses_NxR = jax.lax.map(lambda block: _head_losses(*head, *block), (h_NxRxD, labels_NxR))
  return losses_NxR.reshape(-1)[:scored]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _head_losses(graphdef, head, h_RxD, labels_R):
  """Log-losses of labels under the vocabulary head; no logits are kept for the backward pass.

  Each loss has a single cotangent, so the forward pass can compute the gradient as well and the
  logits are computed once: the gradient is the head's pullback of `softmax - one-hot`, times the
  cotangent.
  """
  return _losses_and_shares(nnx.merge(graphdef, head)(h_RxD), labels_R)[0]


def _losses_and_shares(logits_RxV, labels_R):
  ids_V = jnp.arange(logits_RxV.shape[1], dtype=jnp.int32)
  chosen_RxV = ids_V[None, :] == labels_R[:, None]
  normalisers_R = jax.nn.logsumexp(logits_RxV, axis=-1)
  losses_R = normalisers_R - jnp.sum(jnp.where(chosen_RxV, logits_RxV, 0.0), axis=-1)
  return losses_R, jnp.exp(logits_RxV - normalisers_R[:, None]) - chosen_RxV.astype(jnp.float32)


def _head_losses_forward(graphdef, head, h_RxD, labels_R):
  logits_RxV, pullback = jax.vjp(nnx.merge(graphdef, head), h_RxD)
  losses_R, shares_RxV = _losses_and_shares(logits_RxV, labels_R)
  return losses_R, pullback(shares_RxV)[0]


def _head_losses_backward(graphdef, gradients_RxD, g_R):
  return None, g_R[:, None] * gradients_RxD, None


_head_losses.defvjp(_head_losses_forward, _head_losses_backward)


def cross_entropy(model, prompt_PxD, mask_P, row: packing.PackedRow):
  """Mean negative log-likelihood over each label's tokens, then over the batch (Eq. 3).

  Args:
    model: a frozen language model.
    prompt_PxD: the continuous prompt, padded on the left.
    mask_P: 1 where a prompt position is real, 0 where it is padding.
    row: the batch as a packed row.

  Returns:
    A scalar, nats.
  """
  losses_R = token_losses(model, prompt_PxD, mask_P, row)
  return jnp.sum(jnp.where(row.weights_R > 0, losses_R * row.weights_R, 0.0))


def c_dist(prompt_PxD, target_PxD, mask_P):
  """Squared L2 distance of a prompt to a text's embeddings, per token (Eq. 7).

  Args:
    prompt_PxD: the continuous prompt.
    target_PxD: c-proj of the target text.
    mask_P: 1 where a position is real, 0 where it is padding.

  Returns:
    A scalar, in squared embedding units: summed over D, averaged over the real positions.
  """
  squared_P = jnp.sum(jnp.square(prompt_PxD - target_PxD), axis=-1)
  return jnp.sum(jnp.where(mask_P > 0, squared_P, 0.0)) / jnp.sum(mask_P)


def weighted_c_dist(prompt_PxD, target_PxD, mask_P, gamma):
  """The paper's penalty, gamma * c-dist (Eq. 5)."""
  return gamma * c_dist(prompt_PxD, target_PxD, mask_P)


def wayward_loss(
  model,
  prompt_PxD,
  target_PxD,
  mask_P,
  gamma,
  row: packing.PackedRow,
  penalty: Callable = weighted_c_dist,
):
  """Cross-entropy + gamma * c-dist (Eq. 5), or cross-entropy + another penalty.

  Args:
    model: a frozen language model.
    prompt_PxD: the continuous prompt, padded on the left.
    target_PxD: c-proj of the target text, padded likewise.
    mask_P: 1 where a position is real, 0 where it is padding.
    gamma: weight of the penalty.
    row: the batch as a packed row.
    penalty: of prompt, target, mask and gamma.

  Returns:
    The loss, and the two numbers that runs record: cross-entropy and c-dist.
  """
  ce = cross_entropy(model, prompt_PxD, mask_P, row)
  distance = c_dist(prompt_PxD, target_PxD, mask_P)
  return ce + penalty(prompt_PxD, target_PxD, mask_P, gamma), (ce, distance)
