"""The attack on the readers: how unlikely a reader is to say a text of a prompt, as a loss.

A prompt that is to solve a task, and of which a reader is to say a text, is tuned on

  cross-entropy + γ · c-dist + β · NLL(text | what the reader computes of the prompt),

the last in nats a token. Everything that is computed here is of ONE prompt and is what its reader
computes, by the same frozen model, so that the gradient reaches the prompt. Letters: P prompt
positions and S tokens that are to be said, both padded on the left, L positions of a sequence, N
layers, I the width between them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from wayjax.config import FOOLED
from wayjax.data.encoding import require_embeddings, target_ids, token_ids
from wayjax.data.frame import Frame
from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import Sequences, patch_of, read_at_first
from wayjax.loss import head_losses
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder
from wayjax.options import require_choice
from wayjax.readers import inspect, logit_lens, verbalise
from wayjax.readers.states import spread_layers

_NOTHING = -1  # in the padding of what is to be said
_PAIRS = 2  # of layers that a step of `FoolInspect` draws: each is a run of the model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fooling:
  """A reader as a part of the loss; equal ones share a compiled program.

  Attributes:
    weight: β.
    before: ids of the text before the prompt, where the reader has the model read it.
    after: ids of the text between the prompt and what is said.
    lead: what the text that is to be said begins with.
    end: ids of what ends it.
    size: S; 0 means the prompt's own P.
  """

  weight: float
  before: tuple[int, ...] = ()
  after: tuple[int, ...] = ()
  lead: str = ""
  end: tuple[int, ...] = ()
  size: int = 0

  def encode(self, lm: LanguageModel, target: Target) -> np.ndarray:
    """The tokens that are to be said of a prompt with this target, int32.

    Raises:
      WayjaxError: one has no embedding.
    """
    (ids,) = token_ids(lm.tokenizer, [self.lead + target.text.strip()])
    ids_S = np.array([*ids, *self.end], np.int32)
    require_embeddings(lm, ids_S, f"target '{target.name}'")
    return ids_S

  def padded(self, ids_S: np.ndarray, prompt: int) -> np.ndarray:
    """The same as a program takes it, beside prompts that are padded to so many positions."""
    fill = (self.size or prompt) - len(ids_S)
    return np.pad(ids_S, (fill, 0), constant_values=_NOTHING)

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """The mean negative log-likelihood of what is to be said, nats a token.

    Args:
      model: the frozen language model.
      prompt_PxD: the prompt, padded on the left.
      mask_P: 1 where a position is real, 0 where it is padding.
      said_S: what is to be said, padded on the left with -1.
      step: the number of the step, by which layers are drawn.

    Returns:
      A scalar.
    """
    raise NotImplementedError


class FoolLogitLens(Fooling):
  """The states at the prompt's positions are to stand for the text's tokens, one for one.

  The mean is over the layers that the reader looks at: a quarter, a half, three quarters and all.
  """

  def encode(self, lm, target):
    """The target's own tokens: the prompt has as many positions."""
    return target_ids(lm, target)

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    sequence = _sequence(self.before, prompt_PxD, mask_P)
    states_NxLxI = CachedDecoder(model).states(*read_at_first(model, sequence))
    layers = logit_lens.quarters(len(states_NxLxI) - 1)
    states_KxPxI = states_NxLxI[np.array(layers), -len(prompt_PxD) :]
    losses_K = jax.lax.map(lambda h_PxI: _mean_loss(model, model.norm(h_PxI), said_S), states_KxPxI)
    return jnp.mean(losses_K)


class FoolVerbalise(Fooling):
  """The model is to answer the question about the prompt with the text."""

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    sequence = _sequence(self.before, prompt_PxD, mask_P, self.after, said_S)
    return _continuation_loss(model, sequence, said_S)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoolInspect(Fooling):
  """The model is to go on from the prompt's states with the text, at two drawn pairs of layers.

  Attributes:
    descriptions: ids of the text before the states, in the target run.
    placeholder: the token under them.
    pairs: of a source and a target layer, all that the reader looks at.
  """

  descriptions: tuple[int, ...]
  placeholder: int
  pairs: tuple[tuple[int, int], ...]

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    source = _sequence(self.before, prompt_PxD, mask_P)
    states_NxLxI = CachedDecoder(model).states(*read_at_first(model, source))
    states_NxPxI = states_NxLxI[:, -len(prompt_PxD) :]
    # By the step alone, so that members tuned together draw the same and resumed runs do, too.
    key = jax.random.fold_in(jax.random.key(0), step)
    count = min(_PAIRS, len(self.pairs))
    drawn_Kx2 = jax.random.choice(key, np.array(self.pairs), (count,), replace=False)

    def of_pair(pair_2):
      states_PxI = states_NxPxI[pair_2[0]]
      sequence = _sequence(
        *(self.descriptions, prompt_PxD, mask_P, (), said_S),
        under=self.placeholder,
        states_PxI=states_PxI,
        layer=pair_2[1],
      )
      return _continuation_loss(model, sequence, said_S)

    return jnp.mean(jax.lax.map(of_pair, drawn_Kx2))


def _mean_loss(model, h_SxD, said_S):
  """Over the tokens that are to be said, of the states that are to predict them."""
  losses_S = head_losses(model, h_SxD, jnp.maximum(said_S, 0))
  real_S = said_S != _NOTHING
  return jnp.sum(jnp.where(real_S, losses_S, 0.0)) / jnp.sum(real_S).astype(jnp.float32)


def _continuation_loss(model, sequence: Sequences, said_S):
  """The mean log-loss of a sequence's last tokens."""
  h_LxD, _ = CachedDecoder(model).hidden(*read_at_first(model, sequence), patch=patch_of(sequence))
  return _mean_loss(model, h_LxD[-len(said_S) - 1 : -1], said_S)


def _sequence(
  before, prompt_PxD, mask_P, after=(), said_S=None, *, under=0, states_PxI=None, layer=None
) -> Sequences:
  """`[before][prompt][after][said]` without gaps, padded on the left alone."""
  said_S = jnp.zeros(0, jnp.int32) if said_S is None else said_S
  real_L = jnp.concatenate(
    [jnp.ones(len(before), bool), mask_P > 0, jnp.ones(len(after), bool), said_S != _NOTHING]
  )
  order_L = jnp.argsort(real_L)  # stable: what is real keeps its order, behind the padding
  ids_L = jnp.concatenate(
    [
      jnp.array(before, jnp.int32),
      jnp.full(len(mask_P), under, jnp.int32),
      jnp.array(after, jnp.int32),
      jnp.maximum(said_S, 0),
    ]
  )
  vectors = jnp.sum(mask_P > 0)
  length = jnp.sum(real_L)
  zero = jnp.int32(0)
  first = vectors - len(mask_P)  # a sequence has the vectors first, then their padding
  return Sequences(
    ids_L=ids_L[order_L],
    soft_PxD=jnp.roll(prompt_PxD, first, axis=0),
    start=len(ids_L) - length + len(before),
    vectors=vectors,
    length=length,
    prompt=zero,
    input=zero,
    live=jnp.bool_(True),
    states_PxI=None if states_PxI is None else jnp.roll(states_PxI, first, axis=0),
    layer=layer,
  )


def _fool_logit_lens(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  return FoolLogitLens(weight=weight, before=frame.before_ids)


def _fool_verbalise(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  asked = verbalise.asked(lm, frame if frame.reply else verbalise.own_frame(lm))
  return FoolVerbalise(
    weight=weight,
    before=asked.before_ids,
    after=asked.after_ids + asked.reply_ids,
    # A reply begins on a line of its own in a chat, and after `A:` else.
    lead="" if asked.reply[-1:].isspace() else " ",
    end=(lm.tokenizer.eos_token_id,),
  )


def _fool_inspect(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  layers = spread_layers(lm)
  (bar,) = token_ids(lm.tokenizer, [" |"])  # as after each of the descriptions before
  return FoolInspect(
    weight=weight,
    before=frame.before_ids,
    lead=" ",
    end=tuple(bar),
    descriptions=inspect.target_frame(lm).before_ids,
    placeholder=inspect.placeholder(lm),
    pairs=tuple((source, target) for source in layers for target in layers),
  )


# Of a model, a weight and the frame that prompts stand in, by reader.
_MAKE = dict(zip(FOOLED, (_fool_inspect, _fool_logit_lens, _fool_verbalise), strict=True))


def make_fooling(
  lm: LanguageModel, reader: str, weight: float, frame: Frame, targets: list[Target]
) -> Fooling:
  """The attack on a reader by prompts that are as long as their targets.

  Args:
    lm: the frozen language model.
    reader: one of `config.FOOLED`.
    weight: β.
    frame: the text around the prompts.
    targets: what they are to have the reader say.

  Raises:
    WayjaxError: there is no such reader to be fooled, it cannot be used with the model, or what it
      would read is longer than the model's context.
  """
  require_choice("--fool", reader, FOOLED)
  fooling = _MAKE[reader](lm, weight, frame)
  said = [fooling.encode(lm, target) for target in targets]
  if not isinstance(fooling, FoolLogitLens):
    longest = max(map(len, said), default=0)
    fooling = dataclasses.replace(fooling, size=round_up(longest, PROMPT_MULTIPLE))
  around = len(getattr(fooling, "descriptions", fooling.before)) + len(fooling.after)
  for target, ids_S in zip(targets, said, strict=True):
    vectors = len(target_ids(lm, target))
    if around + vectors + len(ids_S) > lm.max_positions:
      raise WayjaxError(
        f"to fool {reader}, target '{target.name}' takes {around + vectors + len(ids_S)} "
        f"positions, more than the model's {lm.room}: shorten the target"
      )
  return fooling
