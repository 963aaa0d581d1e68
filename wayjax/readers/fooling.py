"""The attack on the readers: how unlikely a reader is to say a text of a prompt, as a loss.

A prompt that is to solve a task, and of which a reader is to say a text, is tuned on

  cross-entropy + γ · c-dist + β · NLL(text | what the reader computes of the prompt),

the last in nats a token. Everything that is computed here is of ONE prompt and is what its reader
computes, by the same frozen model, so that the gradient reaches the prompt. Letters: P prompt
positions and S tokens that are to be said, both padded on the left, L positions of a sequence, N
layers, I the width between them.
"""

import abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from wayjax.config import FOOLED, options
from wayjax.data.encoding import require_embeddings, target_ids, token_ids
from wayjax.data.frame import Frame
from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import read_at_first
from wayjax.models import LanguageModel
from wayjax.models.cached import CachedDecoder
from wayjax.options import check_value, require_choice
from wayjax.readers import inspect, logit_lens, verbalise
from wayjax.readers.continuation import NOTHING, continuation_loss, mean_loss, sequence_of
from wayjax.readers.states import spread_layers

_PAIRS = 2  # of layers that a step of `FoolInspect` draws: each is a run of the model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fooling(abc.ABC):
  """A reader as a part of the loss; equal ones share a compiled program.

  Attributes:
    weight: β.
    before: ids of the text before the prompt, where the reader has the model read it.
    size: S, for all texts of a sweep; 0 means the prompt's own P.
  """

  weight: float
  before: tuple[int, ...] = ()
  size: int = 0

  @abc.abstractmethod
  def encode(self, lm: LanguageModel, target: Target) -> np.ndarray:
    """The tokens that are to be said of a prompt with this target, (S,) unpadded, int32.

    Raises:
      WayjaxError: one has no embedding.
    """

  @property
  def around(self) -> int:
    """Positions besides the prompt's and of what is said, in the longest sequence that is read."""
    return len(self.before)

  def padded(self, said_S: np.ndarray, prompt: int) -> np.ndarray:
    """What is to be said as a program takes it, (S,), beside prompts padded to that many."""
    fill = (self.size or prompt) - len(said_S)
    return np.pad(said_S, (fill, 0), constant_values=NOTHING)

  @abc.abstractmethod
  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """The mean negative log-likelihood of what is to be said, nats a token.

    The softmax is over all rows of the head, as in cross-entropy; readers leave out those that
    belong to no token.

    Args:
      model: the frozen language model.
      prompt_PxD: the prompt, padded on the left.
      mask_P: 1 where a position is real, 0 where it is padding.
      said_S: what is to be said, padded on the left with -1.
      step: the number of the step, by which layers are drawn.

    Returns:
      A scalar.
    """


class FoolLogitLens(Fooling):
  """The states at the prompt's positions are to stand for the text's tokens, one for one.

  The mean is over the layers that the reader looks at: a quarter, a half, three quarters and all.
  """

  def encode(self, lm: LanguageModel, target: Target) -> np.ndarray:
    """The target's own tokens, (P,): the prompt has as many positions."""
    return target_ids(lm, target)

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    sequence = sequence_of(prompt_PxD, mask_P, before=self.before)
    states_NxLxI = CachedDecoder(model).states(*read_at_first(model, sequence))
    layers = logit_lens.quarters(len(states_NxLxI) - 1)
    states_KxPxI = states_NxLxI[np.array(layers), -len(prompt_PxD) :]
    losses_K = jax.lax.map(lambda h_PxI: mean_loss(model, model.norm(h_PxI), said_S), states_KxPxI)
    return jnp.mean(losses_K)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoolVerbalise(Fooling):
  """The model is to answer the question about the prompt with the text's first line.

  Attributes:
    after: ids of the question and what follows it.
    lead: what an answer begins with.
    end: the token that ends it.
  """

  after: tuple[int, ...]
  lead: str
  end: int

  @property
  def around(self) -> int:
    """See `Fooling`."""
    return len(self.before) + len(self.after)

  def encode(self, lm: LanguageModel, target: Target) -> np.ndarray:
    """See `Fooling`."""
    return _encode(lm, target, self.lead + sayable("verbalise", target.text), [self.end])

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    sequence = sequence_of(prompt_PxD, mask_P, before=self.before, after=self.after, said_S=said_S)
    return continuation_loss(model, sequence, said_S)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoolInspect(Fooling):
  """The model is to go on from the prompt's states with the text, at two drawn pairs of layers.

  Attributes:
    descriptions: ids of the text before the states, in the target run.
    placeholder: the token under them.
    pairs: of a source and a target layer, all that the reader looks at.
    end: ids of what ends a description.
  """

  descriptions: tuple[int, ...]
  placeholder: int
  pairs: tuple[tuple[int, int], ...]
  end: tuple[int, ...]

  @property
  def around(self) -> int:
    """See `Fooling`."""
    return max(len(self.before), len(self.descriptions))

  def encode(self, lm: LanguageModel, target: Target) -> np.ndarray:
    """See `Fooling`."""
    return _encode(lm, target, " " + sayable("inspect", target.text), self.end)

  def __call__(self, model, prompt_PxD, mask_P, said_S, step):
    """See `Fooling`."""
    source = sequence_of(prompt_PxD, mask_P, before=self.before)
    states_NxLxI = CachedDecoder(model).states(*read_at_first(model, source))
    states_NxPxI = states_NxLxI[:, -len(prompt_PxD) :]
    # By the step alone, so that members tuned together draw the same and resumed runs do, too.
    key = jax.random.fold_in(jax.random.key(0), step)
    count = min(_PAIRS, len(self.pairs))
    drawn_Kx2 = jax.random.choice(key, np.array(self.pairs), (count,), replace=False)

    def of_pair(pair_2):
      sequence = sequence_of(
        prompt_PxD,
        mask_P,
        before=self.descriptions,
        said_S=said_S,
        under=self.placeholder,
        states_PxI=states_NxPxI[pair_2[0]],
        layer=pair_2[1],
      )
      return continuation_loss(model, sequence, said_S)

    return jnp.mean(jax.lax.map(of_pair, drawn_Kx2))


def sayable(reader: str, text: str) -> str:
  """As much of a text as a reader gives back where the model says all of it.

  Args:
    reader: the reader's name.
    text: the text.

  Returns:
    Of `verbalise` the first line, of `inspect` what its cut leaves; of others the text.
  """
  text = text.strip()
  if reader == "verbalise":
    return verbalise.first_line(text)
  if reader == "inspect":
    return inspect.cut(f" {text} |") or text
  return text


def _encode(lm: LanguageModel, target: Target, text: str, end) -> np.ndarray:
  (ids,) = token_ids(lm.tokenizer, [text])
  said_S = np.array([*ids, *end], np.int32)
  require_embeddings(lm, said_S, f"target '{target.name}'")
  return said_S


def _fool_logit_lens(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  return FoolLogitLens(weight=weight, before=frame.before_ids)


def _fool_verbalise(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  asked = verbalise.asked(lm, frame if frame.reply else verbalise.own_frame(lm))
  return FoolVerbalise(
    weight=weight,
    before=asked.before_ids,
    after=asked.after_ids + asked.reply_ids,
    lead=verbalise.lead(asked),
    end=lm.tokenizer.eos_token_id,
  )


def _fool_inspect(lm: LanguageModel, weight: float, frame: Frame) -> Fooling:
  layers = spread_layers(lm)
  (bar,) = token_ids(lm.tokenizer, [" |"])  # as after each of the descriptions before
  return FoolInspect(
    weight=weight,
    before=frame.before_ids,
    descriptions=inspect.target_frame(lm).before_ids,
    placeholder=inspect.placeholder(lm),
    pairs=tuple((source, target) for source in layers for target in layers),
    end=tuple(bar),
  )


# Of a model, a weight and the frame that prompts stand in, by reader: what there is in FOOLED.
MAKE = {"inspect": _fool_inspect, "logit_lens": _fool_logit_lens, "verbalise": _fool_verbalise}
# The most tokens that these readers generate.
_GENERATED = {"inspect": inspect.MAX_NEW_TOKENS, "verbalise": verbalise.MAX_NEW_TOKENS}


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
  rules = {field.name: field for field in options()}
  require_choice("--fool", reader, FOOLED)
  weight = float(check_value(rules["fool_weight"], weight))
  fooling = MAKE[reader](lm, weight, frame)
  said = [fooling.encode(lm, target) for target in targets]
  # The reader goes on for as long as it takes; the logit lens has a token for each position.
  most = _GENERATED.get(reader, 0)
  if most:
    longest = max(map(len, said), default=0)
    fooling = dataclasses.replace(fooling, size=round_up(longest, PROMPT_MULTIPLE))
  for target, said_S in zip(targets, said, strict=True):
    follow = max(len(said_S), most) if most else 0
    needed = fooling.around + len(target_ids(lm, target)) + follow
    if needed > lm.max_positions:
      raise WayjaxError(
        f"to fool {reader}, target '{target.name}' takes {needed} positions, more than the model's "
        f"{lm.room}: shorten the target"
      )
  return fooling
