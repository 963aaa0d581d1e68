"""What it is certain that a soft prompt reads as; and any prompt, made to read as a text."""

import dataclasses

import numpy as np

from wayjax.anchors import find_anchors
from wayjax.cells import Cells, Margins
from wayjax.config import CERTIFIED, METRICS
from wayjax.data.encoding import target_ids
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.options import require_choice, require_kind
from wayjax.projection import d_proj
from wayjax.prompts import SoftPrompt, check_prompts


@dataclasses.dataclass(frozen=True, eq=False)
class Certificate:
  """What is certain about what a prompt reads as.

  Attributes:
    metrics: by these it reads as its text, word for word, stored in any type up to the one asked
      for.
    margins: how far it is from being read as anything else, by the metric asked for.
  """

  metrics: tuple[str, ...]
  margins: Margins

  @property
  def margin(self) -> float | None:
    """The smallest distance of a vector to a wall; None where there is no wall."""
    return finite(float(self.margins.distance_P.min()))

  @property
  def margin_relative(self) -> float | None:
    """The smallest relative distance; None where there is no wall."""
    return finite(float(self.margins.relative_P.min()))


def certify(cells: Cells, prompt_PxD, ids_P, metric: str) -> Certificate:
  """Checks, in float64 and against every token, what a prompt reads as.

  Args:
    cells: the vocabulary's cells, which know the coarsest type that the prompt may be stored in.
    prompt_PxD: the prompt.
    ids_P: the tokens that it is to read as.
    metric: the metric of the margins.
  """
  held = cells.reads(prompt_PxD, ids_P, METRICS).all(axis=1)
  metrics = tuple(name for name, holds in zip(METRICS, held, strict=True) if holds)
  return Certificate(metrics, cells.margins(prompt_PxD, ids_P, metric))


def cell_margin(prompt: SoftPrompt, lm: LanguageModel, metric: str = "euclidean") -> Margins:
  """How far a prompt is from being read as anything else.

  Args:
    prompt: a soft prompt. Its distances are to the walls of the text that it is to read as, or, of
      one that was found, of the text that it does read as.
    lm: the model that it belongs to.
    metric: `euclidean`, `dot` or `cosine`.

  Returns:
    By position the distance to the nearest wall, negative beyond it, in float64.

  Raises:
    WayjaxError: the prompt does not fit the model or the text, or there is no such metric.
  """
  _check(prompt, lm, (metric,))
  if prompt.reads_as is None:
    ids_P = np.asarray(d_proj(prompt.vectors_PxD, lm.table_VxD, metric, lm.unused_U))
  else:
    ids_P = _ids(prompt, prompt.reads_as, lm)
  return Cells.of(lm).margins(prompt.vectors_PxD, ids_P, metric)


def into_cell(
  prompt: SoftPrompt,
  target: Target | str,
  lm: LanguageModel,
  metric: str | tuple[str, ...] = "euclidean",
  dtype: str = "bfloat16",
) -> SoftPrompt:
  """A prompt, moved so that it reads as a text, and no further than it has to be on that way.

  Every vector that is not inside the cell of its token goes towards a point inside it, along a
  straight line, until it is; one that is inside keeps every bit.

  Args:
    prompt: a soft prompt.
    target: the text, of as many tokens as the prompt has vectors.
    lm: the model that it belongs to.
    metric: in whose cell, or in whose cells: `euclidean`, `dot`, `cosine`.
    dtype: the coarsest type that it can be stored in and still read as the text: `float32`,
      `float16` or `bfloat16`.

  Raises:
    WayjaxError: prompt, model and text do not fit each other, an unknown metric or type, or there
      is a token that no vector reads as.
  """
  metrics = (metric,) if isinstance(metric, str) else tuple(metric)
  _check(prompt, lm, metrics)
  require_choice("dtype", dtype, CERTIFIED)
  if isinstance(target, str):
    target = Target("text", "text", target)
  require_kind("target", target, Target, "a text or a Target")
  ids_P, cells = _ids(prompt, target, lm), Cells.of(lm, metrics=metrics, dtype=dtype)
  for token in ids_P:
    if (twin := cells.lower_twin(token)) is not None:
      raise WayjaxError(
        f"nothing reads as {cells.name(token)} of target '{target.name}': {cells.name(twin)} has "
        "the same embedding, and ties go to the lower id; use another text"
      )
  anchors = find_anchors(cells, ids_P)
  vectors_PxD = cells.into(prompt.vectors_PxD, ids_P, anchors.points_PxD, metrics)
  return dataclasses.replace(prompt, vectors_PxD=vectors_PxD, reads_as=target)


def _check(prompt: SoftPrompt, lm: LanguageModel, metrics: tuple[str, ...]) -> None:
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  require_kind("prompt", prompt, SoftPrompt, "a SoftPrompt")
  check_prompts([prompt], lm.name, lm.width)
  if not metrics:
    raise WayjaxError(f"metric must be one of {', '.join(METRICS)}, or several of them")
  for metric in metrics:
    require_choice("metric", metric, METRICS)


def _ids(prompt: SoftPrompt, target: Target, lm: LanguageModel) -> np.ndarray:
  ids_P = target_ids(lm, target)
  if len(ids_P) != len(prompt):
    raise WayjaxError(
      f"target '{target.name}' has {len(ids_P)} tokens and the prompt {len(prompt)} vectors: give "
      "a text of as many tokens"
    )
  return ids_P
