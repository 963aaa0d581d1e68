"""The wayward loss: cross-entropy plus gamma times c-dist. Pure, for ONE member."""

import jax
import jax.numpy as jnp

from wayjax import packing

SCORE_BLOCK = 64  # scored tokens whose logits exist at a time


def token_losses(model, prompt_PxD, mask_P, row: packing.PackedRow):
  """Negative log-likelihood of every scored token of a packed row.

  Args:
    model: a frozen language model.
    prompt_PxD: the continuous prompt, padded on the left.
    mask_P: 1 where a prompt position is real, 0 where it is padding.
    row: the text part of the row.

  Returns:
    (R,), nats; padding slots hold a finite number without meaning.
  """
  prompt_PxD = jnp.where(mask_P[:, None] > 0, prompt_PxD, 0.0)
  x_SxD = jnp.concatenate([prompt_PxD, model.embed(row.ids_T)])
  h_SxD = model.hidden(x_SxD, packing.positions(row, mask_P), packing.visible(row, mask_P))
  # A one-hot product, for its backward pass is a product too; a gather's is a scatter-add.
  previous_RxS = jax.nn.one_hot(mask_P.shape[0] + row.previous_R, h_SxD.shape[0])
  h_RxD = jnp.matmul(previous_RxS, h_SxD, precision=jax.lax.Precision.HIGHEST)

  @jax.checkpoint
  def losses(block):
    h_D, label = block
    logits_V = model.unembed(h_D[None])[0]
    chosen = jnp.sum(jnp.where(jnp.arange(logits_V.shape[0]) == label, logits_V, 0.0))
    return jax.nn.logsumexp(logits_V) - chosen

  if row.labels_R.shape[0] <= SCORE_BLOCK:
    return jax.vmap(losses)((h_RxD, row.labels_R))
  return jax.lax.map(losses, (h_RxD, row.labels_R), batch_size=SCORE_BLOCK)


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
    A scalar, in squared embedding units: sum over D, mean over real positions.
  """
  squared_P = jnp.sum(jnp.square(prompt_PxD - target_PxD), axis=-1)
  return jnp.sum(jnp.where(mask_P > 0, squared_P, 0.0)) / jnp.sum(mask_P)


def wayward_loss(model, prompt_PxD, target_PxD, mask_P, gamma, row: packing.PackedRow):
  """Cross-entropy + gamma * c-dist (Eq. 5).

  Args:
    model: a frozen language model.
    prompt_PxD: the continuous prompt, padded on the left.
    target_PxD: c-proj of the target text, padded likewise.
    mask_P: 1 where a position is real, 0 where it is padding.
    gamma: weight of c-dist.
    row: the batch as a packed row.

  Returns:
    The loss, and its two parts (cross-entropy, c-dist).
  """
  ce = cross_entropy(model, prompt_PxD, mask_P, row)
  distance = c_dist(prompt_PxD, target_PxD, mask_P)
  return ce + gamma * distance, (ce, distance)
