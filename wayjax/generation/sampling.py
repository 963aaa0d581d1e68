"""The choice of the next token: greedy, or drawn as Hugging Face's `generate` draws it."""

import dataclasses
import numbers

import jax
import jax.numpy as jnp
from jax import lax

from wayjax.errors import WayjaxError

_SEEDS = 2**32


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How the next token is chosen.

  Attributes:
    temperature: what logits are divided by; 0 means the most probable token.
    top_k: draw among this many most probable tokens only; None means all.
    top_p: then among the fewest most probable ones whose probabilities add up to this (Holtzman et
      al., 2020); None means all.
    seed: of the draws, below 2**32.

  Raises:
    WayjaxError: a value out of its range.
  """

  temperature: float = 0.0
  top_k: int | None = None
  top_p: float | None = None
  seed: int = 0

  def __post_init__(self):
    if not _is(self.temperature, numbers.Real) or not 0 <= self.temperature < float("inf"):
      raise WayjaxError(f"temperature must be a number of at least 0, not {self.temperature!r}")
    if self.top_k is not None and (not _is(self.top_k, numbers.Integral) or self.top_k < 1):
      raise WayjaxError(f"top_k must be a whole number of at least 1, not {self.top_k!r}")
    if self.top_p is not None and (not _is(self.top_p, numbers.Real) or not 0 < self.top_p <= 1):
      raise WayjaxError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")
    if self.temperature == 0 and (self.top_k, self.top_p) != (None, None):
      raise WayjaxError("top_k and top_p say what is drawn among: give a temperature above 0 too")
    if not _is(self.seed, numbers.Integral) or not 0 <= self.seed < _SEEDS:
      raise WayjaxError(f"seed must be a whole number from 0 to {_SEEDS - 1}, not {self.seed!r}")


def _is(value, kind) -> bool:
  return isinstance(value, kind) and not isinstance(value, bool)


def choose(sampling: Sampling, seed, logits_V, prompt, input, step):
  """The next token of one sequence.

  Args:
    sampling: how it is chosen, compiled in; its seed is not read.
    seed: the seed of the draws, uint32.
    logits_V: of the whole vocabulary, -inf for what may not be chosen.
    prompt: the number of the sequence's prompt: what is drawn depends on the seed and on these
      three alone, not on what else is in the batch.
    input: the number of its input.
    step: how many tokens were chosen before.

  Returns:
    Its id, int32.
  """
  if sampling.temperature == 0:
    return jnp.argmax(logits_V).astype(jnp.int32)
  key = jax.random.key(seed)
  for number in (prompt, input, step):
    key = jax.random.fold_in(key, number)
  # The largest becomes 0, so that no temperature makes it infinite.
  logits_V = (logits_V - jnp.max(logits_V)) / sampling.temperature
  if sampling.top_k is None and sampling.top_p is None:
    return jax.random.categorical(key, logits_V).astype(jnp.int32)
  best_K, ids_K = lax.top_k(logits_V, min(sampling.top_k or len(logits_V), len(logits_V)))
  if sampling.top_p is not None:
    probabilities_K = jax.nn.softmax(best_K)
    above_K = jnp.cumsum(probabilities_K) - probabilities_K
    # The first stays whatever its probability.
    kept_K = (above_K < sampling.top_p) | (jnp.arange(len(best_K)) == 0)
    best_K = jnp.where(kept_K, best_K, -jnp.inf)
  return ids_K[jax.random.categorical(key, best_K)].astype(jnp.int32)
