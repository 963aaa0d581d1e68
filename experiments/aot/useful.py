"""The operations that programs need: products by the weights, without padding; attention's own,
which are few, are left out, as is customary.
"""

import jax

from experiments.aot.programs import ANSWER, WeightlessModel, Work, evaluator
from wayjax.tuning.groups import STEPS_PER_DISPATCH


def training(lm: WeightlessModel, work: Work, members: int) -> float:
  """Of a dispatch: two operations a weight forward, two backward, none for weight gradients."""
  positions, scored = work.prompt_tokens + work.text, ANSWER * work.batch_size
  return STEPS_PER_DISPATCH * members * 2 * _forward(lm, positions, scored)


def evaluation(lm: WeightlessModel, work: Work, prompts: int) -> float:
  """Of a dispatch."""
  rows = evaluator(lm, work).dispatches()[0]
  real = rows.examples_T >= 0
  positions = float(real.sum()) + len(real) * work.prompt_tokens
  return prompts * _forward(lm, positions, float((rows.weights_R > 0).sum()))


def projection(lm: WeightlessModel, work: Work, prompts: int) -> float:
  """Of d-proj: one product with the table."""
  return 2 * lm.vocab_size * lm.width * work.prompt_tokens * prompts


def generation(lm: WeightlessModel, work: Work, sequences: int) -> float:
  """Of all sequences; the last token that is generated is not read."""
  read = work.prompt_tokens + work.text // work.batch_size + work.new_tokens - 1
  return sequences * _forward(lm, read, work.new_tokens)


def _forward(lm: WeightlessModel, positions: float, scored: float) -> float:
  """Of so many positions through the layers, and so many of them through the head."""
  weights = sum(x.size for x in jax.tree.leaves(lm.params) if x.ndim == 3)
  return 2 * (weights * positions + lm.vocab_size * lm.width * scored)
