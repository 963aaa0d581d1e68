"""Hidden states between a model's layers, at the positions of prompts and texts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.devices.compilation import compile_to_fit
from wayjax.devices.sharding import fetch, place
from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.generation.generate import frame_of
from wayjax.generation.generator import LENGTH_MULTIPLE, Request
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder
from wayjax.prompts import SoftPrompt
from wayjax.readers.reading import Context

_AT_ONCE = 32  # sequences in one program, where the memory allows it


def layer_count(lm: LanguageModel) -> int:
  """N, how many layers a model has."""
  return len(jax.tree.leaves(lm.params["layers"])[0])


@functools.partial(jax.jit, static_argnums=0)
def _states(graphdef, params, layers_L, sequences: Sequences):
  """Hidden states after some numbers of layers, (B, L, S, I)."""
  model = nnx.merge(graphdef, params)
  decoder = CachedDecoder(model)

  def of_one(sequence):
    return decoder.states(*read_at_first(model, sequence), patch_of(sequence))[layers_L]

  return jax.vmap(of_one)(sequences)


def hidden_states(lm: LanguageModel, requests: list[Request], layers: list[int]):
  """Hidden states at every position of sequences, which see what precedes them.

  Args:
    lm: the frozen language model.
    requests: the sequences, of any lengths.
    layers: after how many layers, each from 0, before the first, to the number of layers; the last
      norm is not applied.

  Yields:
    Of each sequence (L, S, I), float32: I is the width between the layers, nearly always D.
  """
  if not requests:
    return
  length = round_up(max(map(len, requests)), LENGTH_MULTIPLE)
  vectors = round_up(max(1, *(request.vectors for request in requests)), PROMPT_MULTIPLE)
  layers_L = jnp.array(layers, jnp.int32)

  def batch_of(chunk: list[Request], size: int) -> Sequences:
    padded = [request.padded(length, vectors, lm.width) for request in chunk]
    filled = padded + [padded[0]] * (lm.layout.rounded(size) - len(chunk))
    return place(jax.tree.map(lambda *x: np.stack(x), *filled), lm.layout.members())

  program = compile_to_fit(
    lambda size: _states.lower(lm.graphdef, lm.params, layers_L, batch_of(requests[:1], size)),
    min(len(requests), _AT_ONCE),
  )
  for start in range(0, len(requests), program.size):
    chunk = requests[start : start + program.size]
    found = fetch(program.compiled(lm.params, layers_L, batch_of(chunk, program.size)))
    for request, states_LxSxI in zip(chunk, found):
      yield states_LxSxI[:, length - len(request) :]


def prompt_states(
  lm: LanguageModel, prompts: list[SoftPrompt], context: Context, layers: list[int]
) -> list[np.ndarray]:
  """Hidden states of soft prompts at their own positions, after the text that stands before them.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its frame stands around them.
    layers: as in `hidden_states`.

  Returns:
    (L, P, I) of each.
  """
  nothing = np.zeros(0, np.int32)
  requests = [
    Request(i, 0, prompt, context.frame or frame_of(lm, prompt), nothing)
    for i, prompt in enumerate(prompts)
  ]
  starts = [len(request.frame.before_ids) for request in requests]
  states = hidden_states(lm, requests, layers)
  return [
    states_LxSxI[:, start : start + len(prompt)]
    for states_LxSxI, start, prompt in zip(states, starts, prompts, strict=True)
  ]
