"""The word of real text whose hidden state is nearest to a prompt's, by position.

States are compared by the cosine after every dimension is standardised over the bank, because a few
dimensions of large mean and variance would decide alone (Timkey and van Schijndel, 2021). Letters:
P prompt positions, T tokens of a text, B states of the bank, Q states that are looked up, I the
width between the layers.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np

from wayjax.data.encoding import token_ids
from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.generation.requests import Request
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.projection import nearest_tokens
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.nearest import token_texts
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target
from wayjax.readers.states import hidden_states, layer_count, prompt_states, requests_of

_LONGEST = 64  # tokens of a text, so that the bank has many texts
_PART = "\N{REPLACEMENT CHARACTER}"  # what tokenizers decode a part of a character to
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclasses.dataclass(frozen=True)
class Occurrence:
  """A token of real text, and where it stands.

  Attributes:
    word: the word that it is a part of, or its own text where it is of no word.
    token: its own text.
    source: the text, as far as it is in the bank.
    start: where in the text the word begins, in characters.
    similarity: the cosine of the standardised states.
  """

  word: str
  token: str
  source: str
  start: int
  similarity: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ContextualReading(Reading):
  """The words that one prompt is nearest to; its text joins them, each occurrence once in a row.

  Attributes:
    layer: after how many layers.
    nearest: for every position where its nearest state is from; None where the position's own is
      not of numbers.
  """

  layer: int
  nearest: list[Occurrence | None]


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  layer: int | None = None,
  bank: int = 10_000,
) -> list[ContextualReading]:
  """Looks up the states of prompts in a bank of states of real text at the same layer.

  The texts stand where the prompts stand, after the same text. They are drawn until they have as
  many tokens as the bank, each with at most its first 64.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its texts fill the bank, drawn by its seed; its frame stands around the prompts.
    layer: after how many layers, from 0 to the number of layers; None means half of them.
    bank: B, the most states in the bank.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: no texts, or texts without tokens; a prompt that does not fit the model, a layer
      that it does not have, or a bank of no states.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_kind("context", context, Context, "a Context")
  context.require(
    "contextual", "texts", "real text to compare with: give texts, such as a task's inputs"
  )
  if not isinstance(bank, int) or bank < 1:
    raise WayjaxError(f"bank must be a whole number of at least 1, not {bank!r}")
  layer = -(-layer_count(lm) // 2) if layer is None else layer
  requests = requests_of(lm, prompts, context)
  states = [states_1xPxI[0] for states_1xPxI in prompt_states(lm, prompts, context, [layer])]
  found: dict[int, list[Occurrence | None]] = {}
  for frame in dict.fromkeys(request.frame for request in requests):
    members = [i for i, request in enumerate(requests) if request.frame == frame]
    room = lm.max_positions - len(frame.before_ids)
    texts = _draw(lm, context, min(_LONGEST, room), bank)
    sequences = [Request(i, 0, None, frame, ids_T) for i, ids_T in enumerate(texts)]
    bank_BxI = np.concatenate(
      [
        states_1xSxI[0, len(frame.before_ids) :]
        for states_1xSxI in hidden_states(lm, sequences, [layer])
      ]
    )
    found.update(zip(members, _look_up(lm, [states[i] for i in members], bank_BxI, texts)))
  return [_reading(lm, prompt, layer, found[i]) for i, prompt in enumerate(prompts)]


def _draw(lm: LanguageModel, context: Context, longest: int, bank: int) -> list[np.ndarray]:
  """Token ids of different texts until there are as many as the bank has room for."""
  texts = list(dict.fromkeys(text for text in context.texts if text))
  order = np.random.default_rng(context.seed).permutation(len(texts))[:bank]
  drawn, room = [], bank
  for ids in token_ids(lm.tokenizer, [texts[i] for i in order]) if len(order) else []:
    ids = ids[: min(longest, room)]
    room -= len(ids)
    drawn += [np.array(ids, np.int32)] if ids else []
  if not drawn:
    raise WayjaxError("the reader contextual needs texts that have tokens, and all are empty")
  return drawn


@jax.jit
def _nearest(states_QxI, bank_BxI):
  """The number in the bank of the nearest state of each, and the cosine, (Q,) each.

  The cosine is NaN where a state is not of numbers.
  """
  mean_I, deviation_I = jnp.mean(bank_BxI, axis=0), jnp.std(bank_BxI, axis=0)
  scale_I = jnp.where(deviation_I > 0, 1 / deviation_I, 0.0)
  both = ((x_NxI - mean_I[None, :]) * scale_I[None, :] for x_NxI in (states_QxI, bank_BxI))
  rows_Qx1, cosines_Qx1 = nearest_tokens(*both, metric="cosine", k=1)
  real_Q = jnp.all(jnp.isfinite(states_QxI), axis=-1)
  return rows_Qx1[:, 0], jnp.where(real_Q, cosines_Qx1[:, 0], jnp.nan)


def _look_up(
  lm: LanguageModel, states: list[np.ndarray], bank_BxI: np.ndarray, texts: list[np.ndarray]
) -> list[list[Occurrence | None]]:
  """Where the nearest state of every position of prompts is from."""
  states_QxI = np.concatenate(states)
  # Filled up to a round number, so that chunks of similar sizes share one compilation.
  fill = round_up(len(states_QxI), PROMPT_MULTIPLE * 4) - len(states_QxI)
  both = place((np.pad(states_QxI, [(0, fill), (0, 0)]), bank_BxI), lm.layout.everywhere())
  rows_Q, cosines_Q = fetch(_nearest(*both))
  starts = np.cumsum([0, *map(len, texts)])
  numbers_Q = np.searchsorted(starts, rows_Q, side="right") - 1
  occurrences = [
    _occurrence(lm, texts[number], row - starts[number], float(cosine))
    if np.isfinite(cosine)
    else None
    for row, number, cosine in zip(rows_Q, numbers_Q, cosines_Q)
  ]
  ends = np.cumsum([len(states_PxI) for states_PxI in states])
  return [occurrences[end - len(states_PxI) : end] for end, states_PxI in zip(ends, states)]


def _occurrence(
  lm: LanguageModel, ids_T: np.ndarray, position: int, similarity: float
) -> Occurrence:
  source, before, through = (
    lm.tokenizer.decode(ids_T[:count].tolist(), clean_up_tokenization_spaces=False)
    for count in (len(ids_T), position, position + 1)
  )
  word, start = word_at(source, before, through)
  (token,) = token_texts(lm, ids_T[position : position + 1])
  return Occurrence(word, token, source, start, similarity)


def word_at(text: str, before: str, through: str) -> tuple[str, int]:
  """The word that a token is a part of, or its own text without spaces; and where that begins.

  Args:
    text: the text.
    before: its tokens before the one, decoded.
    through: the same with the token.
  """
  start = len(before.rstrip(_PART))  # a part of a character stands for all of it
  end = max(start + 1, len(through))
  for match in _WORD.finditer(text):
    if match.start() < end and start < match.end():
      return match.group(), match.start()
  token = text[start:end]
  return token.strip(), start + len(token) - len(token.lstrip())


def _reading(
  lm: LanguageModel, prompt: SoftPrompt, layer: int, nearest: list[Occurrence | None]
) -> ContextualReading:
  words = [(one.source, one.start, one.word) for one in nearest if one is not None and one.word]
  # Neighbours that are parts of one word are that word once.
  once = [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]
  text = " ".join(word for _, _, word in once)
  return ContextualReading(
    text=text,
    **f1_with_target(text, prompt.reads_as, lm.tokenizer),
    layer=layer,
    nearest=nearest,
  )
