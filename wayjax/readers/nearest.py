"""The reader of the paper: every vector's nearest vocabulary embedding, d-proj (Eq. 2)."""

import dataclasses
import functools

import jax
import numpy as np

from wayjax.config import METRICS
from wayjax.data.encoding import target_ids
from wayjax.data.packing import left_mask, pad_left, round_up
from wayjax.devices.sharding import fetch, place
from wayjax.loss import c_dist
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.options import require_choice, require_kind
from wayjax.projection import nearest_tokens
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target

_NEAREST = 5  # tokens that are kept for every position
_SMALL_BLOCK, _BLOCK = 32, 256  # vectors that are projected at once, so that two programs do


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class NearestReading(Reading):
  """What one prompt reads as when each vector is taken for its nearest token.

  Attributes:
    ids_P: projected token ids under the chosen metric.
    texts: projected text under each metric.
    token_match: share of positions whose projected id is the target's; None for a prompt without a
      target, or of another length.
    c_dist: distance from the target's embeddings (Eq. 7); None likewise.
    target_tokens: the target's tokens as texts.
    nearest: for every position its nearest tokens, nearest first, as pairs of text and Euclidean
      distance, which is None where it overflows.
  """

  ids_P: np.ndarray
  texts: dict[str, str]
  token_match: float | None
  c_dist: float | None
  target_tokens: list[str]
  nearest: list[list[tuple[str, float | None]]]


def read(
  lm: LanguageModel, prompts: list[SoftPrompt], context: Context = DEFAULT
) -> list[NearestReading]:
  """Projects prompts to the vocabulary, all positions of all prompts at once.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its metric is that of the projection that text, F1 and token match are of.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: a prompt does not fit the model, or the metric is not one of these.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  require_kind("context", context, Context, "a Context")
  metric = context.metric
  require_choice("metric", metric, METRICS)
  check_prompts(prompts, lm.name, lm.width)
  if not prompts:
    return []
  found = _nearest(lm, prompts)
  table_VxD = fetch(lm.table_VxD)
  readings = []
  for i, prompt in enumerate(prompts):
    ids = {name: nearest[i][0][:, 0] for name, nearest in found.items()}
    texts = {name: lm.tokenizer.decode(ids[name].tolist()) for name in METRICS}
    target_ids = _target_ids(lm, prompt)
    distance = match = None
    if len(target_ids) == len(prompt):
      distance = _distance(prompt.vectors_PxD, table_VxD[target_ids])
      match = float(np.mean(ids[metric] == target_ids))
    readings.append(
      NearestReading(
        text=texts[metric],
        **f1_with_target(texts[metric], prompt.reads_as, lm.tokenizer),
        ids_P=ids[metric],
        texts=texts,
        token_match=match,
        c_dist=distance,
        target_tokens=token_texts(lm, target_ids),
        nearest=[
          list(zip(token_texts(lm, ids_k), map(finite, (-scores_k).round(4).tolist())))
          for ids_k, scores_k in zip(*found["euclidean"][i])
        ],
      )
    )
  return readings


def project(lm: LanguageModel, prompts: list[SoftPrompt], metric: str) -> list[np.ndarray]:
  """The token ids that prompts of any lengths project to, (P,) each."""
  if not prompts:
    return []
  found = _nearest(lm, prompts, (metric,))[metric]
  return [ids_Pxk[:, 0] for ids_Pxk, _ in found]


def _nearest(
  lm: LanguageModel, prompts: list[SoftPrompt], metrics: tuple[str, ...] = METRICS
) -> dict[str, list[tuple]]:
  """By metric, the nearest token ids of prompts of any lengths, and their scores, (P, k) each."""
  vectors_NxD = np.concatenate([prompt.vectors_PxD for prompt in prompts])
  size = _SMALL_BLOCK if len(vectors_NxD) <= _SMALL_BLOCK else _BLOCK
  fill = round_up(len(vectors_NxD), size) - len(vectors_NxD)
  padded_NxD = np.pad(vectors_NxD, [(0, fill), (0, 0)])
  blocks = [
    place(padded_NxD[start : start + size], lm.layout.everywhere())
    for start in range(0, len(padded_NxD), size)
  ]
  table_VxD = lm.table_VxD
  found = fetch([_nearest_of_block(block, table_VxD, lm.unused_U, metrics) for block in blocks])
  ends = np.cumsum([len(prompt) for prompt in prompts])
  nearest = {}
  for metric in metrics:
    whole = (np.concatenate(parts) for parts in zip(*(block[metric] for block in found)))
    nearest[metric] = list(zip(*(np.split(part_Nxk[: ends[-1]], ends[:-1]) for part_Nxk in whole)))
  return nearest


@functools.partial(jax.jit, static_argnums=3)
def _nearest_of_block(vectors_BxD, table_VxD, unused_U, metrics: tuple[str, ...]):
  """By metric, the nearest token ids of a block of vectors, and their scores, (B, k) each."""
  return {
    metric: nearest_tokens(vectors_BxD, table_VxD, unused_U, metric=metric, k=_NEAREST)
    for metric in metrics
  }


_c_dist = jax.jit(c_dist)


def _distance(prompt_PxD, target_PxD) -> float:
  """The c-dist of a prompt; those of similar lengths share a program."""
  padded = round_up(len(prompt_PxD), _SMALL_BLOCK)
  filled = (pad_left(vectors_PxD, padded) for vectors_PxD in (prompt_PxD, target_PxD))
  return float(_c_dist(*filled, left_mask(len(prompt_PxD), padded)))


def _target_ids(lm: LanguageModel, prompt: SoftPrompt) -> np.ndarray:
  return np.array([], np.int32) if prompt.reads_as is None else target_ids(lm, prompt.reads_as)


def token_texts(lm: LanguageModel, ids_P) -> list[str]:
  """Tokens as texts; parts of a character, which all look alike, as the tokenizer names them."""
  ids = np.asarray(ids_P).tolist()
  texts = [lm.tokenizer.decode([token]) for token in ids]
  names = lm.tokenizer.convert_ids_to_tokens(ids)
  return [name if "\N{REPLACEMENT CHARACTER}" in text else text for text, name in zip(texts, names)]
