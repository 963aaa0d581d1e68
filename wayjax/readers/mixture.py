"""A prompt as a mixture of given texts, with weights that predict most nearly what it predicts.

`min_w mean over rows d of KL(P(. | p, d) || softmax(sum_k w_k log P(. | x_k, d)))`, over weights
that are not negative and add up to 1. It is convex in w: the normaliser of a geometric mixture is a
log-sum-exp of what is linear in w, and the rest is linear. Letters: M prompts, N rows, C classes, K
texts.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts, text_prompt
from wayjax.readers.divergence import drawn_rows
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MixtureReading(Reading):
  """The mixture of texts that comes nearest to one prompt; its text is that of the largest weight.

  Attributes:
    texts: the texts.
    weights_K: the weight of each; they add up to 1.
    kl: KL(prompt || mixture) of the classes' probabilities, the mean over rows, nats.
    kl_K: KL(prompt || text) of each text alone.
    gap: how much smaller the KL of other weights could be at most, nats (Frank and Wolfe, 1956).
  """

  texts: tuple[str, ...]
  weights_K: np.ndarray
  kl: float
  kl_K: np.ndarray
  gap: float

  def to_json(self) -> dict:
    """As a row holds it under `readings`: weights that are not 0 by their texts, largest first."""
    order = np.argsort(-self.weights_K, kind="stable")
    weights = [(self.texts[k], float(self.weights_K[k])) for k in order if self.weights_K[k] > 0]
    return {**super().to_json(), "weights": weights, "kl": finite(self.kl)}


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  rows: int = 64,
  iterations: int = 2000,
) -> list[MixtureReading]:
  """Weights of given texts, all prompts at once.

  A class's probability is the softmax of minus the mean log-loss of its continuation, as accuracy
  compares classes. The weights are found by accelerated projected gradient (Beck and Teboulle,
  2009) with restarts (O'Donoghue and Candès, 2015).

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its candidates are the texts, 20 to 100 of them for a useful reading, and its examples
      are what prompts and texts are compared on; its seed decides which of these are drawn.
    rows: how many examples are drawn.
    iterations: steps of the solver.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: no examples or candidates, examples with free-text answers, a wrong option, or a
      prompt or a text that does not fit the model.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_kind("context", context, Context, "a Context")
  for name, value in {"rows": rows, "iterations": iterations}.items():
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
      raise WayjaxError(f"{name} must be a whole number of at least 1, not {value!r}")
  texts = context.require("mixture", "candidates", "texts to mix: candidates")
  examples = context.require("mixture", "examples", "a task's rows, to compare texts on: examples")
  if examples.answers is not None:
    raise WayjaxError(
      "the reader mixture compares classes, and this task has free-text answers: give the rows of "
      "a task with classes"
    )
  if not prompts:
    return []
  evaluator = Evaluator(lm, drawn_rows(examples, rows, context.seed))
  found = evaluator([*prompts, *(text_prompt(lm, text) for text in texts)])
  log_NxC = [-evaluation.losses_NxC for evaluation in found]
  log_p_MxNxC, log_q_KxNxC = map(np.stack, (log_NxC[: len(prompts)], log_NxC[len(prompts) :]))
  mixed = mix(log_p_MxNxC, log_q_KxNxC, iterations)
  readings = []
  for prompt, weights_K, kl, kl_K, gap in zip(prompts, *mixed, strict=True):
    text = texts[int(np.argmax(weights_K))]
    readings.append(
      MixtureReading(
        text=text,
        **f1_with_target(text, prompt.reads_as, lm.tokenizer),
        texts=tuple(texts),
        weights_K=weights_K,
        kl=float(kl),
        kl_K=kl_K,
        gap=float(gap),
      )
    )
  return readings


def mix(log_p_MxNxC, log_q_KxNxC, iterations: int):
  """The weights of the nearest geometric mixtures.

  Args:
    log_p_MxNxC: log-probabilities of the classes under each prompt, up to a constant of each row.
    log_q_KxNxC: the same of each text.
    iterations: steps of the solver.

  Returns:
    Weights (M, K); KL of the mixtures (M,) and of each text alone (M, K), nats; and by how much the
    first of these is above the smallest at most, (M,).
  """
  # Only differences of classes matter; small numbers round less in float32.
  centred = [x - x.mean(axis=2, keepdims=True) for x in map(np.asarray, (log_p_MxNxC, log_q_KxNxC))]
  log_p_MxNxC, log_q_KxNxC = (np.float32(x) for x in centred)
  texts, rows, _ = log_q_KxNxC.shape
  # Weights add up to 1, so that what all texts have in common bends nothing; a softmax bends by at
  # most 1/2 in any direction.
  apart_KxB = (centred[1] - centred[1].mean(axis=0, keepdims=True)).reshape(texts, -1)
  largest = float(np.linalg.norm(apart_KxB, 2) ** 2) / rows if np.isfinite(apart_KxB).all() else 1.0
  curvature = np.float32(max(largest / 2, 1e-12))
  return jax.device_get(_mix(log_p_MxNxC, log_q_KxNxC, curvature, iterations))


@functools.partial(jax.jit, static_argnums=3)
def _mix(log_p_MxNxC, log_q_KxNxC, curvature, iterations: int):
  texts = len(log_q_KxNxC)
  products = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)

  def of_one(log_p_NxC):
    log_p_NxC = jax.nn.log_softmax(log_p_NxC)

    def kl_of(weights_K):
      log_q_NxC = jax.nn.log_softmax(products("k,knc->nc", weights_K, log_q_KxNxC))
      return jnp.mean(jnp.sum(jnp.exp(log_p_NxC) * (log_p_NxC - log_q_NxC), axis=1))

    slope_of = jax.grad(kl_of)

    def iterate(_, state):
      weights_K, ahead_K, momentum = state
      slope_K = slope_of(ahead_K)
      next_K = onto_simplex(ahead_K - slope_K / curvature)
      # The momentum is dropped where it has led uphill.
      uphill = jnp.vdot(ahead_K - next_K, next_K - weights_K) > 0
      momentum = jnp.where(uphill, 1.0, momentum)
      next_momentum = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
      ahead_K = next_K + (momentum - 1) / next_momentum * (next_K - weights_K)
      return next_K, ahead_K, next_momentum

    start_K = jnp.full(texts, 1 / texts, jnp.float32)
    weights_K, _, _ = lax.fori_loop(0, iterations, iterate, (start_K, start_K, jnp.float32(1)))
    slope_K = slope_of(weights_K)
    gap = jnp.vdot(slope_K, weights_K) - jnp.min(slope_K)
    return weights_K, kl_of(weights_K), lax.map(kl_of, jnp.eye(texts)), gap

  return jax.vmap(of_one)(log_p_MxNxC)


def onto_simplex(point_K):
  """The nearest weights, of those that are not negative and add up to 1 (Duchi et al., 2008)."""
  descending_K = -jnp.sort(-point_K)
  counts_K = jnp.arange(1, len(point_K) + 1, dtype=jnp.float32)
  excess_K = (jnp.cumsum(descending_K) - 1) / counts_K
  # As many of the largest stay above 0 as are larger than what is taken from each of them.
  return jnp.maximum(point_K - excess_K[jnp.sum(descending_K > excess_K) - 1], 0)
