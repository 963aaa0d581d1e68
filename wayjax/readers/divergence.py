"""How far what a text does is from what a soft prompt does: KL over rows of a task.

Rows are packed as in training and evaluation, so that one forward pass reads all of them behind one
prompt, and its gradient is that of one example a row. Letters: M prompts, P positions, D width, V
vocabulary, N packed rows, E examples of one, C classes, T text positions, R scored tokens, Q
positions that they are predicted at, S all positions.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.blocks import even_size
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.packing import PADDING, PackedRow, left_mask, pad_left, round_up
from wayjax.devices.sharding import fetch
from wayjax.evaluation import ROW_POSITIONS
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt

CLASSES, VOCABULARY = "classes", "vocabulary"


def drawn_rows(examples: EncodedExamples, rows: int, seed: int) -> EncodedExamples:
  """So many of the examples, drawn by a seed and in their order; all where there are no more."""
  rng = np.random.default_rng(seed)
  chosen = np.sort(rng.permutation(len(examples))[:rows])
  prefixes = tuple(examples.prefixes[i] for i in chosen)
  return dataclasses.replace(examples, prefixes=prefixes, labels=examples.labels[chosen])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScoredRows:
  """Packed rows, and where in them what is compared; every array has a leading axis N.

  Attributes:
    packed: the packed rows.
    previous_Q: the positions in T at which scored tokens are predicted, each once; -1 is what
      precedes the text.
    weights_Q: the weight of each in the mean over an example's, then over examples; 0 is padding.
    places_R: which of these positions predicts each scored token.
    owners_R: the example and class of each scored token, `e * C + c`; E * C is padding.
    weights_E: 1 / all examples; 0 is padding.
    classes: C.
  """

  packed: PackedRow
  previous_Q: jax.Array
  weights_Q: jax.Array
  places_R: jax.Array
  owners_R: jax.Array
  weights_E: jax.Array
  classes: int = dataclasses.field(metadata={"static": True})


def scored_rows(examples: EncodedExamples, multiple: int) -> ScoredRows:
  """Packs examples with all their classes, or answers, in as few even rows as there can be.

  Args:
    examples: the examples.
    multiple: what T of the rows is a multiple of.
  """
  packed, slots = _pack_evenly(examples, multiple)
  classes = len(examples.scored(0))
  firsts = [owners_R[owners_R != PADDING].min() for owners_R in slots.examples_NxR]
  counts = np.diff([*firsts, len(examples)])  # examples are packed in their order
  parts = []
  for n, count in enumerate(counts):
    real = slots.examples_NxR[n] != PADDING
    own = slots.examples_NxR[n][real] - firsts[n]
    pairs = np.stack([own, packed.previous_R[n][real]])
    (of_Q, previous_Q), places = np.unique(pairs, axis=1, return_inverse=True)
    places_R, owners_R = np.zeros(len(real)), np.full(len(real), counts.max() * classes)
    places_R[real], owners_R[real] = places.reshape(-1), own * classes + slots.classes_NxR[n][real]
    weights_Q = 1 / (len(examples) * np.bincount(of_Q)[of_Q])
    weights_E = np.repeat(1 / len(examples), count)
    parts.append((previous_Q, weights_Q, places_R, owners_R, weights_E))
  types = np.int32, np.float32, np.int32, np.int32, np.float32
  return ScoredRows(packed, *map(_stacked, zip(*parts), types), classes)


def _stacked(rows, dtype) -> np.ndarray:
  """Rows of several lengths as one array, filled up with zeros."""
  longest = max(map(len, rows))
  return np.stack([np.pad(row, (0, longest - len(row))) for row in rows]).astype(dtype)


def _pack_evenly(examples: EncodedExamples, multiple: int):
  """Evaluation's rows, no longer than it takes for their number."""
  own = sum(len(candidate) - 1 for candidate in examples.candidates)
  total = sum(len(prefix) + own for prefix in examples.prefixes)
  text = even_size(max(total, 1), ROW_POSITIONS)
  most = -(-total // text)
  while True:
    packed, slots = packing.pack_evaluation(examples, text, multiple)
    if len(packed.ids_T) <= max(most, 1):
      return packed, slots
    text += multiple


@dataclasses.dataclass(frozen=True)
class Divergence:
  """KL of what a prompt does from what is aimed at, the mean over rows: an objective of `search`.

  Attributes:
    over: `classes` or `vocabulary`.
  """

  over: str

  def __call__(self, model, rows: ScoredRows, aims_N, prompt_PxD, mask_P):
    """KL(aim || prompt), nats; `aims_N` is what `behaviour` returns for the soft prompt."""

    def of_row(row_and_aim):
      row, aim = row_and_aim
      log_q = self._of_row(model, row, prompt_PxD, mask_P)
      weights = row.weights_E if self.over == CLASSES else row.weights_Q
      return jnp.sum(weights * jnp.sum(jnp.exp(aim) * (aim - log_q), axis=-1))

    return jnp.sum(jax.lax.map(of_row, (rows, aims_N)))

  def behaviour(self, model, rows: ScoredRows, prompt_PxD, mask_P):
    """Log-probabilities under a prompt: (N, E, C) of classes, (N, Q, V) of the next tokens."""
    return jax.lax.map(lambda row: self._of_row(model, row, prompt_PxD, mask_P), rows)

  def _of_row(self, model, row: ScoredRows, prompt_PxD, mask_P):
    logits_QxV = _next_token_logits(model, row, prompt_PxD, mask_P)
    if self.over == VOCABULARY:
      return jax.nn.log_softmax(logits_QxV)
    normalisers_Q = jax.nn.logsumexp(logits_QxV, axis=-1)
    tokens_R = logits_QxV[row.places_R, row.packed.labels_R] - normalisers_Q[row.places_R]
    owners = len(row.weights_E) * row.classes
    # A mean over each continuation's tokens, as accuracy compares them.
    sums = jax.ops.segment_sum(tokens_R * row.packed.weights_R, row.owners_R, owners + 1)
    return jax.nn.log_softmax(sums[:owners].reshape(-1, row.classes))


def _next_token_logits(model, row: ScoredRows, prompt_PxD, mask_P):
  """The next token's logits wherever a scored token is predicted, (Q, V)."""
  shared_HxD = jnp.where(mask_P[:, None] > 0, prompt_PxD, 0.0)
  frame = row.packed.frame
  before_BxD, after_AxD = (
    model.embed(jnp.array(ids, jnp.int32)) for ids in (frame.before_ids, frame.after_ids)
  )
  shared_HxD = jnp.concatenate([before_BxD, shared_HxD, after_AxD])
  x_SxD = jnp.concatenate([shared_HxD, model.embed(row.packed.ids_T)])
  scored_QxS = jax.nn.one_hot(len(shared_HxD) + row.previous_Q, len(x_SxD), dtype=jnp.float32)
  positions_S, visible = (part(row.packed, mask_P) for part in (packing.positions, packing.visible))
  return model.lm_head(model.hidden(x_SxD, positions_S, visible, scored_QxS))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _behaviours(divergence, graphdef, params, rows, prompts_MxPxD, mask_MxP):
  model = nnx.merge(graphdef, params)
  return jax.lax.map(
    lambda prompt: divergence.behaviour(model, rows, *prompt), (prompts_MxPxD, mask_MxP)
  )


def aims(
  lm: LanguageModel, divergence: Divergence, rows: ScoredRows, prompts: list[SoftPrompt]
) -> list[np.ndarray]:
  """What each soft prompt does, as `Divergence` takes it for its aim."""
  padded = round_up(max(map(len, prompts)), packing.PROMPT_MULTIPLE)
  prompts_MxPxD = np.stack([pad_left(prompt.vectors_PxD, padded) for prompt in prompts])
  mask_MxP = np.stack([left_mask(len(prompt), padded) for prompt in prompts])
  return list(fetch(_behaviours(divergence, lm.graphdef, lm.params, rows, prompts_MxPxD, mask_MxP)))
