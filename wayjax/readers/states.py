"""Hidden states between a model's layers, at the positions of prompts and texts.

Letters: L layers, S positions, P prompt positions, I the width between the layers, nearly always D.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.data.encoding import require_embeddings
from wayjax.data.frame import Frame
from wayjax.devices.compilation import compile_to_fit
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.generation.generate import frame_of
from wayjax.generation.requests import Batches, Request
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder
from wayjax.prompts import SoftPrompt
from wayjax.readers.reading import Context

_SPREAD = 6  # layers, where there are as many
_AT_ONCE = 32  # sequences in one program, where the memory allows it


def layer_count(lm: LanguageModel) -> int:
  """N, how many layers a model has."""
  return len(jax.tree.leaves(lm.params["layers"])[0])


def inner_width(lm: LanguageModel) -> int:
  """I, the width between the layers."""

  def enter(params, x_1xD):
    return nnx.merge(lm.graphdef, params).enter(x_1xD, jnp.zeros(1, jnp.int32))[0]

  one = jax.ShapeDtypeStruct((1, lm.width), jnp.float32)
  return jax.eval_shape(enter, lm.params, one).shape[1]


def spread_layers(lm: LanguageModel, otherwise: str = "take another reader") -> list[int]:
  """A few of a model's layers, evenly spread, but not before the first or after the last.

  Raises:
    WayjaxError: the model has none in between, with what to do otherwise.
  """
  count = layer_count(lm)
  if count < 2:
    raise WayjaxError(
      f"there is nothing between the layers of {lm.name}, which has {count}: {otherwise}"
    )
  return sorted({round(layer) for layer in np.linspace(1, count - 1, _SPREAD).tolist()})


def hidden_states(lm: LanguageModel, requests: list[Request], layers: list[int]):
  """Hidden states at every position of sequences, which see what precedes them.

  Args:
    lm: the frozen language model.
    requests: the sequences, of any lengths.
    layers: after how many layers, each from 0, before the first, to the number of layers; the last
      norm is not applied.

  Yields:
    Of each sequence (L, S, I), float32.

  Raises:
    WayjaxError: a layer that the model does not have, a token without an embedding, or a sequence
      that is empty or too long for the model.
  """
  for request, states_LxSxI in zip(requests, over_states(lm, requests, layers, _every_position)):
    yield states_LxSxI[:, states_LxSxI.shape[1] - len(request) :]


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

  Raises:
    WayjaxError: as `hidden_states`.
  """
  requests = requests_of(lm, prompts, context)
  found = over_states(lm, requests, layers, prompt_positions)
  return [
    states_LxPxI[:, states_LxPxI.shape[1] - len(prompt) :]
    for states_LxPxI, prompt in zip(found, prompts)
  ]


def requests_of(lm: LanguageModel, prompts: list[SoftPrompt], context: Context) -> list[Request]:
  """Sequences that end with a prompt: its states do not depend on what follows it."""
  frames = [context.frame or frame_of(lm, prompt) for prompt in prompts]
  nothing = np.zeros(0, np.int32)
  return [
    Request(i, 0, prompt, Frame(before=frame.before, before_ids=frame.before_ids), nothing)
    for i, (frame, prompt) in enumerate(zip(frames, prompts))
  ]


def over_states(lm: LanguageModel, requests: list[Request], layers: list[int], compute, *arrays):
  """What is computed on the device of the hidden states of each sequence.

  Args:
    lm: the frozen language model.
    requests: the sequences, of any lengths.
    layers: as in `hidden_states`.
    compute: of the model, the states (L, S, I) of a sequence, the sequence as the program reads it,
      padded on its left, and the arrays; it is hashable, and equal ones share a program.
    *arrays: what it takes besides, the same of every sequence.

  Yields:
    Of each sequence what it returns, on the host.

  Raises:
    WayjaxError: as `hidden_states`.
  """
  if not requests:
    return
  _check(lm, requests, layers)
  batches = Batches(lm, requests)
  shared = place((np.array(layers, np.int32), *arrays), lm.layout.everywhere())

  program = compile_to_fit(
    lambda size: _over_sequences.lower(
      lm.graphdef, compute, lm.params, batches.of(requests[:1], size), *shared
    ),
    min(len(requests), _AT_ONCE),
  )
  for start in range(0, len(requests), program.size):
    chunk = requests[start : start + program.size]
    found = fetch(program.compiled(lm.params, batches.of(chunk, program.size), *shared))
    yield from (jax.tree.map(lambda x, i=i: x[i], found) for i in range(len(chunk)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _over_sequences(graphdef, compute, params, sequences: Sequences, layers_L, *arrays):
  model = nnx.merge(graphdef, params)
  decoder = CachedDecoder(model)

  def of_one(sequence: Sequences):
    states_NxSxI = decoder.states(*read_at_first(model, sequence), patch_of(sequence))
    return compute(model, states_NxSxI[layers_L], sequence, *arrays)

  return jax.vmap(of_one)(sequences)


def _every_position(model, states_LxSxI, sequence: Sequences):
  return states_LxSxI


def prompt_positions(model, states_LxSxI, sequence: Sequences):
  """For `over_states`: the last positions of sequences that end with a prompt, padded as it is."""
  return states_LxSxI[:, states_LxSxI.shape[1] - len(sequence.soft_PxD) :]


def _check(lm: LanguageModel, requests: list[Request], layers: list[int]) -> None:
  # Wrong numbers would be clamped by XLA, and other states read.
  count = layer_count(lm)
  for layer in layers:
    whole = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
    if not whole or not 0 <= layer <= count:
      raise WayjaxError(
        f"states are read after 0 to {count} layers of {lm.name}, not after {layer!r}"
      )
  for request in requests:
    if not len(request):
      raise WayjaxError("there is nothing to read: give a prompt, a frame or a text")
    if len(request) > lm.max_positions:
      raise WayjaxError(
        f"{request.vectors} prompt tokens and {len(request) - request.vectors} of text exceed the "
        f"model's {lm.room}: give fewer"
      )
    frame = request.frame
    ids = [*frame.before_ids, *frame.after_ids, *request.ids, *frame.reply_ids]
    require_embeddings(lm, np.array(ids, np.int32), "a sequence that is read")
