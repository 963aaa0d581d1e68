"""What tuned prompts read as: their projections, as tokens and as text, and the prompt F1."""

import dataclasses

import numpy as np

from wayjax.layout import fetch, place
from wayjax.metrics import finite, prompt_f1, prompt_f1_lemma
from wayjax.models import LanguageModel
from wayjax.packing import PROMPT_MULTIPLE, round_up
from wayjax.projection import METRICS, nearest_tokens
from wayjax.training import TunedPrompt

_NEAREST = 5  # tokens that are kept for every position


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
  """What one prompt reads as.

  Attributes:
    ids_P: projected token ids under the chosen metric.
    texts: projected text under each metric.
    prompt_f1: word-overlap F1 with the target, under the chosen metric.
    prompt_f1_lemma: the same on WordNet's noun lemmas; None where WordNet is not installed.
    token_match: share of positions whose projected id is the target's; None where the prompt is not
      as long as its target.
    c_dist: distance from the target's embeddings (Eq. 7); None likewise.
    target_tokens: the target's tokens as texts.
    nearest: for every position its nearest tokens, nearest first, as pairs of text and Euclidean
      distance, which is None where it overflows.
  """

  ids_P: np.ndarray
  texts: dict[str, str]
  prompt_f1: float
  prompt_f1_lemma: float | None
  token_match: float | None
  c_dist: float | None
  target_tokens: list[str]
  nearest: list[list[tuple[str, float | None]]]


def project(lm: LanguageModel, prompts: list[np.ndarray], metric: str) -> list[np.ndarray]:
  """The token ids that prompts of any lengths project to, (P,) each."""
  return [ids_Pxk[:, 0] for ids_Pxk, _ in _nearest(lm, prompts, metric)]


def _nearest(lm: LanguageModel, prompts: list[np.ndarray], metric: str) -> list[tuple]:
  """The nearest token ids of prompts of any lengths, and their scores, (P, k) each."""
  vectors_NxD = np.concatenate(prompts)
  # Filled up to a round number, so that chunks of much the same size share one compilation.
  fill = round_up(len(vectors_NxD), PROMPT_MULTIPLE * 4) - len(vectors_NxD)
  padded_NxD = place(np.pad(vectors_NxD, [(0, fill), (0, 0)]), lm.layout.everywhere())
  found = nearest_tokens(padded_NxD, lm.table_VxD, metric=metric, k=_NEAREST)
  ends = np.cumsum([len(prompt) for prompt in prompts])
  return list(zip(*(np.split(fetch(part_Nxk)[: ends[-1]], ends[:-1]) for part_Nxk in found)))


def read_prompts(lm: LanguageModel, tuned: list[TunedPrompt], metric: str) -> list[Reading]:
  """Projects prompts to the vocabulary, all positions of all prompts at once.

  Args:
    lm: the frozen language model.
    tuned: tuned prompts.
    metric: `euclidean`, `dot` or `cosine`: the reading that F1 and token match are taken of.

  Returns:
    One reading a prompt.
  """
  prompts = [one.prompt_PxD for one in tuned]
  found = {name: _nearest(lm, prompts, name) for name in METRICS}
  readings = []
  for i, one in enumerate(tuned):
    ids = {name: nearest[i][0][:, 0] for name, nearest in found.items()}
    member, ids_P = one.member, ids[metric]
    texts = {name: lm.tokenizer.decode(ids[name].tolist()) for name in METRICS}
    distance = match = None
    if member.has_c_dist:
      distance = float(np.sum(np.square(one.prompt_PxD - member.target_PxD)) / len(ids_P))
      match = float(np.mean(ids_P == member.target_ids))
    readings.append(
      Reading(
        ids_P=ids_P,
        texts=texts,
        prompt_f1=prompt_f1(texts[metric], member.target.text),
        prompt_f1_lemma=prompt_f1_lemma(texts[metric], member.target.text),
        token_match=match,
        c_dist=distance,
        target_tokens=_tokens(lm, member.target_ids),
        nearest=[
          list(zip(_tokens(lm, ids_k), map(finite, (-scores_k).round(4).tolist())))
          for ids_k, scores_k in zip(*found["euclidean"][i])
        ],
      )
    )
  return readings


def _tokens(lm: LanguageModel, ids_P: np.ndarray) -> list[str]:
  """Tokens as texts; parts of a character, which look all alike, as the tokenizer names them."""
  texts = [lm.tokenizer.decode([token]) for token in ids_P.tolist()]
  names = lm.tokenizer.convert_ids_to_tokens(ids_P.tolist())
  return [name if "\N{REPLACEMENT CHARACTER}" in text else text for text, name in zip(texts, names)]
