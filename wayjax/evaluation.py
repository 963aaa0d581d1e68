"""How well prompts solve a task: every class of every example scored, all prompts at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax import packing
from wayjax.encoding import EncodedExamples
from wayjax.errors import WayjaxError
from wayjax.loss import token_losses
from wayjax.members import left_mask, pad_left
from wayjax.metrics import macro_f1
from wayjax.models import LanguageModel

ROW_POSITIONS = 512  # text positions of an evaluation row, where no example needs more
PROMPTS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
  """What one prompt scores.

  Attributes:
    accuracy: share of examples whose true class has the smallest mean log-loss.
    macro_f1: F1 of each class, averaged over classes.
    predictions_N: the predicted class of every example; -1 where the losses are not numbers.
    losses_NxC: mean log-loss of every class's continuation, nats.
  """

  accuracy: float
  macro_f1: float
  predictions_N: np.ndarray
  losses_NxC: np.ndarray


@functools.partial(jax.jit, static_argnums=0)
def _score_row(graphdef, params, prompts_MxPxD, mask_MxP, row: packing.PackedRow):
  """Log-loss of every scored token of one row under every prompt, (M, R)."""
  one = functools.partial(token_losses, nnx.merge(graphdef, params))
  return jax.vmap(one, in_axes=(0, 0, None))(prompts_MxPxD, mask_MxP, row)


class Evaluator:
  """Packed examples, ready to be scored under any prompts.

  Args:
    lm: the frozen language model.
    examples: encoded examples with their true classes.
    prompts_at_once: how many prompts are scored in one program.
  """

  def __init__(
    self, lm: LanguageModel, examples: EncodedExamples, prompts_at_once: int = PROMPTS_AT_ONCE
  ):
    self._lm, self._at_once = lm, prompts_at_once
    self._examples = examples
    self._rows, self._slots = packing.pack_evaluation(examples, ROW_POSITIONS)

  def __call__(self, prompts: list[np.ndarray]) -> list[Evaluation]:
    """Scores prompts of any lengths, each (P, D)."""
    width = self._lm.width
    for prompt in prompts:
      if np.ndim(prompt) != 2 or np.shape(prompt)[1] != width:
        raise WayjaxError(
          f"a prompt must have the shape (tokens, {width}), not {np.shape(prompt)}: give a list of "
          "prompts"
        )
    longest = max((len(prompt) for prompt in prompts), default=0)
    if longest + self._examples.longest() > self._lm.max_positions:
      raise WayjaxError(
        f"a prompt of {longest} tokens and an example of {self._examples.longest()} exceed the "
        f"model's {self._lm.max_positions} positions"
      )
    results: dict[int, Evaluation] = {}
    groups: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
      groups.setdefault(packing.round_up(len(prompt), packing.PROMPT_MULTIPLE), []).append(i)
    for padded, members in groups.items():
      for first in range(0, len(members), self._at_once):
        chunk = members[first : first + self._at_once]
        losses_MxNxC = self._losses([prompts[i] for i in chunk], padded)
        results.update(zip(chunk, map(self._summarise, losses_MxNxC)))
    return [results[i] for i in range(len(prompts))]

  def _losses(self, prompts: list[np.ndarray], padded: int) -> np.ndarray:
    # Powers of two bound how many sizes are ever compiled; the fill repeats the first prompt.
    size = 1 << (len(prompts) - 1).bit_length()
    filled = prompts + [prompts[0]] * (size - len(prompts))
    prompts_MxPxD = jnp.stack([pad_left(np.asarray(prompt), padded) for prompt in filled])
    mask_MxP = jnp.stack([left_mask(len(prompt), padded) for prompt in filled])
    scored = [
      _score_row(
        self._lm.graphdef,
        self._lm.params,
        prompts_MxPxD,
        mask_MxP,
        packing.PackedRow(*(array[n] for array in self._rows)),
      )
      for n in range(len(self._rows.ids_T))
    ]
    losses_MxNxR = np.stack([np.asarray(row)[: len(prompts)] for row in scored], axis=1)
    real = self._slots.examples_NxR != packing.PADDING
    slots = (self._slots.examples_NxR[real], self._slots.classes_NxR[real])
    weighted = losses_MxNxR[:, real] * self._rows.weights_R[real]
    losses_MxNxC = np.zeros(
      (len(prompts), len(self._examples), len(self._examples.candidates)), np.float64
    )
    for member, losses in enumerate(weighted):
      np.add.at(losses_MxNxC[member], slots, losses)
    return losses_MxNxC

  def _summarise(self, losses_NxC: np.ndarray) -> Evaluation:
    predictions_N = np.argmin(losses_NxC, axis=1)
    # A prompt that breaks the model predicts nothing, and so nothing by luck.
    predictions_N[np.isnan(losses_NxC).any(axis=1)] = -1
    labels_N = self._examples.labels
    return Evaluation(
      float(np.mean(predictions_N == labels_N)),
      macro_f1(labels_N, predictions_N),
      predictions_N,
      losses_NxC,
    )


def evaluate(
  lm: LanguageModel, examples: EncodedExamples, prompts: list[np.ndarray]
) -> list[Evaluation]:
  """Scores prompts on examples.

  Args:
    lm: the frozen language model.
    examples: encoded examples with their true classes.
    prompts: continuous prompts, each (P, D), of any lengths.

  Returns:
    One evaluation a prompt.

  Raises:
    WayjaxError: a prompt and the longest example exceed the model's positions.
  """
  return Evaluator(lm, examples)(prompts)
