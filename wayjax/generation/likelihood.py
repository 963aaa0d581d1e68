"""How probable texts are after sequences: what a model would go on with, without generating it.

Letters: B sequences, L positions of one, D width, V vocabulary, C the most tokens of a text.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wayjax.devices.compilation import compile_to_fit
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.generation.requests import Batches, Request
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder

_AT_ONCE = 32  # sequences in one program, where the memory allows it


def log_likelihoods(
  lm: LanguageModel, requests: list[Request], texts: list[np.ndarray]
) -> np.ndarray:
  """log P(text | sequence), summed over the text's tokens.

  Args:
    lm: the frozen language model.
    requests: the sequences, all of patches or none.
    texts: token ids of each text.

  Returns:
    (requests, texts), nats.

  Raises:
    WayjaxError: there is nothing before a text, a text is empty, or both are too long for the
      model.
  """
  if not requests or not texts:
    return np.zeros((len(requests), len(texts)))
  if min(map(len, requests)) == 0:
    raise WayjaxError("there is nothing to go on from: give a prompt, a frame or an input")
  most, longest = max(map(len, texts)), max(map(len, requests))
  if min(map(len, texts)) == 0:
    raise WayjaxError("a text without tokens has no probability: give one that has some")
  if longest + most > lm.max_positions:
    raise WayjaxError(
      f"a sequence of {longest} and a text of {most} tokens exceed the model's {lm.room}"
    )
  rows = [_followed_by(request, ids) for request in requests for ids in texts]
  counts_N = np.tile([np.int32(len(ids)) for ids in texts], len(requests))
  batches = Batches(lm, rows)

  def batch_of(first: int, size: int):
    """Some rows and how many of their last tokens count; 0 of what fills the batch up."""
    counts_B = np.zeros(lm.layout.rounded(size), np.int32)
    chosen_B = counts_N[first : first + size]
    counts_B[: len(chosen_B)] = chosen_B
    sequences = batches.of(rows[first : first + size], size)
    return sequences, place(counts_B, lm.layout.members())

  program = compile_to_fit(
    lambda size: _log_likelihoods.lower(lm.graphdef, most, lm.params, *batch_of(0, size)),
    min(len(rows), _AT_ONCE),
  )
  found = []
  for first in range(0, len(rows), program.size):
    log_p_B = fetch(program.compiled(lm.params, *batch_of(first, program.size)))
    found.append(log_p_B[: len(rows[first : first + program.size])])
  return np.concatenate(found).astype(np.float64).reshape(len(requests), len(texts))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_likelihoods(graphdef, most: int, params, sequences: Sequences, counts_B):
  """The sum of log-probabilities of the last tokens of each sequence, (B,); at most `most`."""
  model = nnx.merge(graphdef, params)
  decoder = CachedDecoder(model)

  def states(sequence: Sequences):
    h_LxD, _ = decoder.hidden(*read_at_first(model, sequence), patch=patch_of(sequence))
    return h_LxD[-most - 1 : -1]

  def score(h_CxD, labels_C, count):
    log_p_CxV = jax.nn.log_softmax(model.lm_head(h_CxD))
    chosen_C = jnp.take_along_axis(log_p_CxV, labels_C[:, None], axis=1)[:, 0]
    return jnp.sum(jnp.where(jnp.arange(most) >= most - count, chosen_C, 0.0))

  h_BxCxD = jax.vmap(states)(sequences)
  # One sequence at a time: logits of all would be the largest array there is.
  return lax.map(lambda each: score(*each), (h_BxCxD, sequences.ids_L[:, -most:], counts_B))


def _followed_by(request: Request, ids: np.ndarray) -> Request:
  """A sequence that goes on with a text."""
  reply_ids = (*request.frame.reply_ids, *np.asarray(ids).tolist())
  frame = dataclasses.replace(request.frame, reply_ids=reply_ids)
  return dataclasses.replace(request, frame=frame)
