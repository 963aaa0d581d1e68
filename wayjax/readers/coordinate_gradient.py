"""Greedy coordinate gradient (Zou et al., 2023): tokens that make a loss small, of many prompts.

A step takes the loss's gradient at the one-hot vectors of the tokens, keeps at every position the
tokens along which it falls most steeply, draws replacements of one token from them, and goes on
with that of the smallest loss, as nanoGCG does. One compiled program does a step of all prompts.

The host has one thing to do between steps, because it takes the tokenizer: replacements come back
in the order of their losses, and the first that is still the same tokens when it is decoded and
encoded again is taken. Nearly always that is the very first, so that a step costs one such look a
prompt, about a tenth of a millisecond; looking at all replacements costs hundreds of times as much.

Letters: M prompts, P positions, V vocabulary, K tokens kept at a position, W replacements a step.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from wayjax.blocks import even_size
from wayjax.data.encoding import token_ids
from wayjax.data.packing import PROMPT_MULTIPLE, left_mask, pad_left, round_up
from wayjax.devices.compilation import compile_to_fit
from wayjax.devices.sharding import fetch, place
from wayjax.models import LanguageModel

PROMPTS_AT_ONCE = 16
# Sequences that are read at once, of all prompts together; a CPU is fastest where they fit a cache.
SEQUENCES_AT_ONCE = {"cpu": 16}
_ON_ACCELERATORS = 512


class Found(NamedTuple):
  """The tokens with the smallest loss that were seen.

  Attributes:
    ids_P: the tokens; decoded and encoded again they are the same.
    start: the loss of the tokens at the start.
    loss: the loss of these.
    steps: how many steps were made.
  """

  ids_P: np.ndarray
  start: float
  loss: float
  steps: int


class Sizes(NamedTuple):
  """How many replacements a step draws, W; from how many tokens, K; and how many it reads at once.

  The last of these is of each prompt, and changes no result.
  """

  width: int
  top_k: int
  at_once: int


class Ranked(NamedTuple):
  """What a step returns of one prompt.

  Attributes:
    loss: of the tokens before the step.
    places_W: the position that each replacement changes; smallest loss first.
    tokens_W: the token that it puts there.
    losses_W: its loss; infinite where there is no replacement.
  """

  loss: jax.Array
  places_W: jax.Array
  tokens_W: jax.Array
  losses_W: jax.Array


def search(
  lm: LanguageModel,
  objective: Callable,
  rows,
  aims: list,
  starts: list[np.ndarray],
  *,
  steps: int = 250,
  width: int = 512,
  top_k: int = 256,
  enough: float = -np.inf,
  seed: int = 0,
) -> list[Found]:
  """Finds tokens with a small loss, all prompts in one program.

  What a prompt finds depends on the seed and itself, not on the prompts beside it.

  Args:
    lm: the frozen language model.
    objective: the loss of ONE prompt, a pure and hashable function of the model, `rows`, an aim,
      vectors (P, D) padded on the left and their mask (P,).
    rows: arrays that all prompts share.
    aims: of each prompt the arrays that are its own, of the same shapes.
    starts: the tokens that each starts from, of any lengths; they survive being decoded and encoded
      again.
    steps: the most steps.
    width: W, how many replacements are drawn in a step, all of them different.
    top_k: K, how many tokens a position draws from.
    enough: the loss at which a prompt is done.
    seed: of the draws.

  Returns:
    What was found for each prompt.
  """
  allowed_V = whole_tokens(lm)
  top_k = min(top_k, int(allowed_V.sum()) - 1)  # one of them may be there already
  longest = max(map(len, starts))
  width = min(width, longest * top_k)
  padded = round_up(longest, PROMPT_MULTIPLE)
  members = even_size(len(starts), PROMPTS_AT_ONCE)
  count = lm.layout.rounded(members)
  seed, number = np.uint32(seed % 2**32), np.uint32(0)

  def batch(first: int):
    """The aims and masks of some prompts; the first of them again fills the last batch."""
    chosen = [i if i < len(starts) else first for i in range(first, first + members)]
    chosen += [first] * (count - members)
    aims_M = jax.tree.map(lambda *each: np.stack(each), *(aims[i] for i in chosen))
    mask_MxP = np.stack([left_mask(len(starts[i]), padded) for i in chosen])
    return place((aims_M, mask_MxP), lm.layout.members())

  def placed(ids: list[np.ndarray]):
    filled = ids + [ids[0]] * (count - len(ids))
    ids_MxP = np.stack([pad_left(ids_P, padded) for ids_P in filled]).astype(np.int32)
    return place(ids_MxP, lm.layout.members())

  aims_M, mask_MxP = batch(0)

  def lower(size: int) -> jax.stages.Lowered:
    sizes = Sizes(width, top_k, max(1, size * lm.layout.rounded(1) // count))
    arrays = lm.params, rows, allowed_V, aims_M, placed(starts[:members]), mask_MxP, seed, number
    return step.lower(objective, sizes, lm.graphdef, *arrays)

  at_once = SEQUENCES_AT_ONCE.get(lm.layout.platform, _ON_ACCELERATORS)
  program = compile_to_fit(lower, at_once).compiled
  found = []
  for first in range(0, len(starts), members):
    aims_M, mask_MxP = batch(first)

    def ranked(ids: list[np.ndarray], number: int, aims_M=aims_M, mask_MxP=mask_MxP) -> Ranked:
      arrays = lm.params, rows, allowed_V, aims_M, placed(ids), mask_MxP, seed, np.uint32(number)
      return fetch(program(*arrays))

    found += _descend(lm, ranked, starts[first : first + members], padded, steps, enough)
  return found


def _descend(lm, ranked: Callable, starts: list, padded: int, steps: int, enough: float):
  """Makes steps until all prompts are done; `ranked` is the compiled one."""
  ids, found = [np.array(start, np.int32) for start in starts], [None] * len(starts)
  for number in range(steps):
    after: Ranked = ranked(ids, number)
    for m, ids_P in enumerate(ids):
      if found[m] is None:
        found[m] = Found(ids_P, float(after.loss[m]), float(after.loss[m]), 0)
      if found[m].loss <= enough:
        continue
      found[m] = found[m]._replace(steps=number + 1)
      replacements = zip(after.places_W[m], after.tokens_W[m], after.losses_W[m])
      for where, token, loss in itertools.takewhile(lambda each: each[2] < np.inf, replacements):
        changed_P = ids_P.copy()
        changed_P[where - (padded - len(ids_P))] = token
        if survives(lm.tokenizer, changed_P):
          ids[m] = changed_P
          if loss < found[m].loss:
            found[m] = found[m]._replace(ids_P=changed_P, loss=float(loss))
          break
    if all(each.loss <= enough for each in found):
      break
  return found


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def step(
  objective,
  sizes: Sizes,
  graphdef,
  params,
  rows,
  allowed_V,
  aims_M,
  ids_MxP,
  mask_MxP,
  seed,
  number,
) -> Ranked:
  """One step of all prompts, (M, ...) each.

  Args:
    objective: as in `search`.
    sizes: how many of everything.
    graphdef: the model's structure.
    params: its weights.
    rows: arrays that all prompts share.
    allowed_V: the tokens that may be put anywhere.
    aims_M: arrays of each prompt.
    ids_MxP: their tokens, padded on the left.
    mask_MxP: 1 where a position is real.
    seed: of the draws.
    number: of the step.
  """
  model = nnx.merge(graphdef, params)
  key = jax.random.fold_in(jax.random.key(seed), number)

  def of_one(aim, ids_P, mask_P):
    def loss_of(vectors_PxD):
      return objective(model, rows, aim, vectors_PxD, mask_P)

    def loss_with(where, token):
      return loss_of(model.embed(jnp.where(jnp.arange(len(ids_P)) == where, token, ids_P)))

    loss, gradient_PxD = jax.value_and_grad(loss_of)(model.embed(ids_P))
    table_VxD = model.embedding_table()
    slopes_PxV = jnp.matmul(gradient_PxD, table_VxD.T, precision=lax.Precision.HIGHEST)
    tokens_PxK = steepest(slopes_PxV, ids_P, allowed_V, sizes.top_k)
    places_W, tokens_W, real_W = draw(key, tokens_PxK, mask_P, sizes.width)
    changes = places_W, tokens_W
    losses_W = lax.map(lambda change: loss_with(*change), changes, batch_size=sizes.at_once)
    # What is not a number comes last, too.
    losses_W = jnp.where(real_W & ~jnp.isnan(losses_W), losses_W, jnp.inf)
    order_W = jnp.argsort(losses_W)
    return Ranked(loss, places_W[order_W], tokens_W[order_W], losses_W[order_W])

  return jax.vmap(of_one)(aims_M, ids_MxP, mask_MxP)


def steepest(slopes_PxV, ids_P, allowed_V, top_k: int):
  """The other tokens along whose one-hot vectors the loss falls most steeply, (P, K)."""
  own_PxV = jnp.arange(len(allowed_V), dtype=jnp.int32)[None, :] == ids_P[:, None]
  return lax.top_k(jnp.where(allowed_V[None, :] & ~own_PxV, -slopes_PxV, -jnp.inf), top_k)[1]


def draw(key, tokens_PxK, mask_P, width: int):
  """Draws different replacements of one token.

  Args:
    key: of the draws.
    tokens_PxK: the tokens that each position draws from.
    mask_P: 1 where a position is real.
    width: W.

  Returns:
    Their positions, their tokens, and which of them are any: the padding has none. (W,) each.
  """
  positions, kept = tokens_PxK.shape
  # A position's draws depend on its distance from the end, so that padding changes none.
  from_end_P = jnp.arange(positions)[::-1]
  keys_P = jax.vmap(functools.partial(jax.random.fold_in, key))(from_end_P)
  noise_PxK = jax.vmap(lambda each: jax.random.uniform(each, (kept,)))(keys_P)
  noise_PxK = jnp.where(mask_P[:, None] > 0, noise_PxK, -1.0)
  noise_W, drawn_W = lax.top_k(noise_PxK.reshape(-1), width)
  return drawn_W // kept, tokens_PxK.reshape(-1)[drawn_W], noise_W >= 0


def survives(tokenizer, ids_P) -> bool:
  """Whether tokens are the same when they are decoded and encoded again."""
  ids = [int(i) for i in ids_P]
  return token_ids(tokenizer, [as_text(tokenizer, ids)])[0] == ids


def as_text(tokenizer, ids_P) -> str:
  """Tokens as a text, special ones and all spaces too."""
  ids = [int(i) for i in ids_P]
  return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def whole_tokens(lm: LanguageModel) -> np.ndarray:
  """The tokens that a text may be made of: no special ones, and no parts of a character, (V,)."""
  allowed_V = np.ones(lm.vocab_size, bool)
  allowed_V[list(lm.rows_of_no_token)] = False
  special = [i for i in lm.tokenizer.all_special_ids if i < lm.vocab_size]
  allowed_V[special] = False
  ids = np.flatnonzero(allowed_V)
  texts = lm.tokenizer.batch_decode(ids[:, None].tolist(), clean_up_tokenization_spaces=False)
  allowed_V[ids] = [text != "" and "\N{REPLACEMENT CHARACTER}" not in text for text in texts]
  return allowed_V
