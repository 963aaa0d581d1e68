"""Logit lens (nostalgebraist, 2020): the tokens that hidden states of a prompt already stand for.

Letters: L layers, P prompt positions, K tokens kept, N positions of all layers, R of them at a
time, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wayjax.blocks import even_size
from wayjax.errors import WayjaxError
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.nearest import token_texts
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target
from wayjax.readers.states import layer_count, over_states, prompt_positions, requests_of

_LOGITS = 2**22  # of one prompt that exist at a time


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LogitLensReading(Reading):
  """What the states of one prompt stand for; its text is the last layer's best tokens, joined.

  Attributes:
    layers: after how many layers, L of them.
    ids_LxPxK: the most probable token ids at every position, most probable first.
    probabilities_LxPxK: their probabilities.
    tokens: by layer and position the same as pairs of text and probability, which is None where it
      is not a number.
  """

  layers: list[int]
  ids_LxPxK: np.ndarray
  probabilities_LxPxK: np.ndarray
  tokens: list[list[list[tuple[str, float | None]]]]


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  layers: list[int] | None = None,
  k: int = 5,
) -> list[LogitLensReading]:
  """The most probable tokens of `softmax(head(norm(h_l)))` at every position of prompts.

  The softmax is over the rows of the head that belong to a token.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its frame stands around them.
    layers: after how many layers, each from 0 to the number of layers, after all of which it is
      what the model says next; None means a quarter, a half, three quarters and all of them.
    k: how many tokens of each position.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: a prompt that does not fit the model, a layer that it does not have, no layers, or
      not from one to all tokens.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_kind("context", context, Context, "a Context")
  layers = quarters(layer_count(lm)) if layers is None else list(layers)
  if not layers:
    raise WayjaxError("there are no layers to read: give at least one, or None for some of all")
  tokens = lm.vocab_size - len(lm.rows_of_no_token)
  if not isinstance(k, int) or not 1 <= k <= tokens:
    raise WayjaxError(f"k must be a whole number from 1 to the {tokens:,} tokens, not {k!r}")
  never_V = np.zeros(lm.vocab_size, bool)
  never_V[list(lm.rows_of_no_token)] = True
  found = over_states(lm, requests_of(lm, prompts, context), layers, _MostProbable(k), never_V)
  return [
    _reading(lm, prompt, layers, *(x[:, x.shape[1] - len(prompt) :] for x in best))
    for prompt, best in zip(prompts, found)
  ]


def quarters(count: int) -> list[int]:
  """A quarter, a half, three quarters and all of so many layers, each number once."""
  return sorted({-(-count * part // 4) for part in (1, 2, 3, 4)})


@dataclasses.dataclass(frozen=True)
class _MostProbable:
  """For `over_states`: the k most probable tokens, (L, P, K) ids and probabilities."""

  k: int

  def __call__(self, model, states_LxSxI, sequence, never_V):
    h_LxPxI = prompt_positions(model, states_LxSxI, sequence)
    h_NxI = h_LxPxI.reshape(-1, h_LxPxI.shape[-1])
    count = len(h_NxI)
    size = even_size(count, max(1, _LOGITS // len(never_V)))
    fill = -count % size

    def best(h_RxI):
      logits_RxV = jnp.where(never_V[None, :], -jnp.inf, model.lm_head(model.norm(h_RxI)))
      best_RxK, ids_RxK = lax.top_k(logits_RxV, self.k)
      total_R = jax.nn.logsumexp(logits_RxV, axis=-1)
      return ids_RxK, jnp.exp(best_RxK - total_R[:, None])

    blocks_BxRxI = jnp.pad(h_NxI, [(0, fill), (0, 0)]).reshape(-1, size, h_NxI.shape[1])
    shape = (*h_LxPxI.shape[:2], self.k)
    return [x.reshape(-1, self.k)[:count].reshape(shape) for x in lax.map(best, blocks_BxRxI)]


def _reading(
  lm: LanguageModel, prompt: SoftPrompt, layers: list[int], ids_LxPxK, probabilities_LxPxK
) -> LogitLensReading:
  text = lm.tokenizer.decode(ids_LxPxK[-1, :, 0].tolist())
  ids_U, places = np.unique(ids_LxPxK, return_inverse=True)
  names = token_texts(lm, ids_U)
  places_LxPxK = places.reshape(ids_LxPxK.shape)
  return LogitLensReading(
    text=text,
    **f1_with_target(text, prompt.reads_as, lm.tokenizer),
    layers=layers,
    ids_LxPxK=ids_LxPxK,
    probabilities_LxPxK=probabilities_LxPxK,
    tokens=[
      [
        [(names[place], finite(share)) for place, share in zip(places_K, shares_K)]
        for places_K, shares_K in zip(places_PxK, shares_PxK)
      ]
      for places_PxK, shares_PxK in zip(places_LxPxK, probabilities_LxPxK)
    ],
  )
