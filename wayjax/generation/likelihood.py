"""How probable texts are after sequences: what a model would go on with, without generating it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.devices.compilation import compile_to_fit
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.generation.generator import LENGTH_MULTIPLE, Request
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder

_AT_ONCE = 32  # sequences in one program, where the memory allows it


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_likelihoods(graphdef, most: int, params, sequences: Sequences, counts_B):
  """The sum of log-probabilities of the last tokens of each sequence, (B,); at most `most`."""
  model = nnx.merge(graphdef, params)
  decoder = CachedDecoder(model)

  def states(sequence):
    h_LxD, _ = decoder.hidden(*read_at_first(model, sequence), patch=patch_of(sequence))
    return h_LxD[-most - 1 : -1]

  def score(h_CxD, labels_C, count):
    logits_CxV = model.lm_head(h_CxD)
    chosen_C = jnp.take_along_axis(logits_CxV, labels_C[:, None], axis=1)[:, 0]
    log_p_C = chosen_C - jax.nn.logsumexp(logits_CxV, axis=1)
    return jnp.sum(jnp.where(jnp.arange(most) >= most - count, log_p_C, 0.0))

  h_BxCxD = jax.vmap(states)(sequences)
  return lax.map(lambda each: score(*each), (h_BxCxD, sequences.ids_L[:, -most:], counts_B))


def log_likelihoods(
  lm: LanguageModel, requests: list[Request], texts: list[np.ndarray]
) -> np.ndarray:
  """log P(text | sequence), summed over the text's tokens.

  Args:
    lm: the frozen language model.
    requests: the sequences, all of prompts or all of patches.
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
  most, longest = max(map(len, texts)), max(requests, key=len)
  if min(map(len, texts)) == 0:
    raise WayjaxError("a text without tokens has no probability: give one that has some")
  if len(longest) + most > lm.max_positions:
    raise WayjaxError(
      f"a sequence of {len(longest)} and a text of {most} tokens exceed the model's {lm.room}"
    )
  length = round_up(len(longest) + most, LENGTH_MULTIPLE)
  vectors = round_up(max(1, *(request.vectors for request in requests)), PROMPT_MULTIPLE)
  rows = [(_followed_by(request, ids), len(ids)) for request in requests for ids in texts]

  def batch_of(chunk, size: int):
    padded = [(request.padded(length, vectors, lm.width), np.int32(n)) for request, n in chunk]
    filled = padded + [padded[0]] * (lm.layout.rounded(size) - len(chunk))
    return place(jax.tree.map(lambda *x: np.stack(x), *filled), lm.layout.members())

  program = compile_to_fit(
    lambda size: _log_likelihoods.lower(lm.graphdef, most, lm.params, *batch_of(rows[:1], size)),
    min(len(rows), _AT_ONCE),
  )
  found = []
  for start in range(0, len(rows), program.size):
    chunk = rows[start : start + program.size]
    found.append(fetch(program.compiled(lm.params, *batch_of(chunk, program.size)))[: len(chunk)])
  return np.concatenate(found).astype(np.float64).reshape(len(requests), len(texts))


def _followed_by(request: Request, ids: np.ndarray) -> Request:
  """A sequence that goes on with a text."""
  reply_ids = (*request.frame.reply_ids, *np.asarray(ids).tolist())
  frame = dataclasses.replace(request.frame, reply_ids=reply_ids)
  return dataclasses.replace(request, frame=frame)
