"""How well prompts solve a task: every class or answer scored, all prompts at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax.answers import Answerer, matches, rouge_l
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.packing import left_mask, pad_left
from wayjax.devices import compilation
from wayjax.devices.compilation import Fitted
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.loss import token_losses
from wayjax.metrics import macro_f1
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts

ROW_POSITIONS = 512  # text positions of an evaluation row, where no example needs more
ROWS_PER_DISPATCH = 8  # so that the program's memory is allocated once for several
PROMPTS_AT_ONCE = {"cpu": 4, "gpu": 16, "tpu": 16}  # that one program scores
LENGTH_MULTIPLE = 32  # of the tokens that prompts are padded to; rows have hundreds
SPARE = 64  # tokens more than needed, to which a program that is there is used all the same
_KEPT = 4  # programs of an evaluator, which all hold memory
MANY_LENGTHS = 64  # a `length_multiple` with which a few texts of many lengths share a program


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
  """What one prompt scores.

  Attributes:
    accuracy: share of examples whose true class has the smallest mean log-loss, or whose answer
      is right after normalisation.
    macro_f1: F1 of each class, averaged over classes; None for free-text answers.
    log_loss: mean log-loss of the true class or answer, nats a token.
    predictions_N: the predicted class of every example; -1 where the losses are not numbers, or
      where the answer is none of the true ones.
    losses_NxC: mean log-loss of every class's continuation, nats; of free-text answers C is 1.
    answers_N: free-text answers; None for classes.
    rouge_l: ROUGE-L F1 of free-text answers; None for classes, or without rouge-score.
  """

  accuracy: float
  macro_f1: float | None
  log_loss: float
  predictions_N: np.ndarray
  losses_NxC: np.ndarray
  answers_N: tuple[str, ...] | None = None
  rouge_l: float | None = None


@functools.partial(jax.jit, static_argnums=0)
def _score_rows(graphdef, params, prompts_MxPxD, mask_MxP, rows_K: packing.PackedRow):
  """Log-loss of every scored token of K rows under every prompt, (K, M, R)."""
  score_row = functools.partial(token_losses, nnx.merge(graphdef, params))
  score = jax.vmap(score_row, in_axes=(0, 0, None))
  return jax.lax.map(lambda row: score(prompts_MxPxD, mask_MxP, row), rows_K)


class Evaluator:
  """Packed examples, ready to be scored under any prompts.

  Args:
    lm: the frozen language model.
    examples: encoded examples with their true classes or answers.
    prompts_at_once: how many prompts are scored in one program at most; None means as many as suit
      the device. Fewer are where the memory does not allow it.
    length_multiple: prompts share a program up to multiples of that many tokens. A larger one is
      for prompts of many lengths: compiling takes longer than padding does.

  Attributes:
    examples: the examples.
  """

  def __init__(
    self,
    lm: LanguageModel,
    examples: EncodedExamples,
    prompts_at_once: int | None = None,
    length_multiple: int = LENGTH_MULTIPLE,
  ):
    require_kind("lm", lm, LanguageModel, "what load_lm returns")
    require_kind("examples", examples, EncodedExamples, "what encode returns")
    examples.require_fit(lm)
    most = PROMPTS_AT_ONCE.get(lm.layout.platform, 16)
    self._at_once = min(most, prompts_at_once or most)
    self._lm, self._multiple = lm, length_multiple
    self.examples = examples
    self._answerer = None if examples.answers is None else Answerer(lm, examples)
    self._rows, self._slots = packing.pack_evaluation(
      examples, ROW_POSITIONS, packing.row_multiple(lm.layout.platform)
    )
    self._programs: dict[tuple[int, int], Fitted] = {}  # by tokens of prompts, and prompts

  def __call__(self, prompts: list[SoftPrompt | None]) -> list[Evaluation]:
    """Scores prompts of any lengths; None is no prompt at all.

    Raises:
      WayjaxError: a prompt is of another width than the model, or too long for it.
    """
    is_list = isinstance(prompts, list | tuple)
    given = [prompt for prompt in prompts if prompt is not None] if is_list else prompts
    check_prompts(given, self._lm.name, self._lm.width)
    nothing_PxD = np.zeros((0, self._lm.width), np.float32)
    vectors = [nothing_PxD if prompt is None else prompt.vectors_PxD for prompt in prompts]
    longest = max(map(len, vectors), default=0)
    if longest + self.examples.longest() > self._lm.max_positions:
      raise WayjaxError(
        f"a prompt of {longest} tokens and an example of {self.examples.longest()} exceed the "
        f"model's {self._lm.room}"
      )
    losses: dict[int, np.ndarray] = {}
    groups: dict[int, list[int]] = {}
    for i, prompt_PxD in enumerate(vectors):
      padded = packing.round_up(max(len(prompt_PxD), 1), self._multiple)
      groups.setdefault(padded, []).append(i)
    for needed, members in sorted(groups.items(), reverse=True):
      while members:
        padded, program = self._program(needed, min(len(members), self._at_once))
        chunk, members = members[: program.size], members[program.size :]
        losses_MxNxC = self._losses(program, [vectors[i] for i in chunk], padded)
        losses.update(zip(chunk, losses_MxNxC))
    answers = self._answerer(prompts) if self._answerer else [None] * len(prompts)
    return [self._summarise(losses[i], answers[i]) for i in range(len(prompts))]

  def forget_programs(self) -> None:
    """Lets go of all compiled programs; those that are needed again are compiled again."""
    self._programs = {}
    if self._answerer:
      self._answerer.forget_programs()

  def dispatches(self) -> list[packing.PackedRow]:
    """The rows, a few a dispatch and in each as many; the last one again fills the last."""
    rows = len(self._rows.ids_T)
    dispatches = -(-rows // ROWS_PER_DISPATCH)
    each = -(-rows // dispatches)
    filled = [min(i, rows - 1) for i in range(dispatches * each)]
    starts = range(0, len(filled), each)
    return [jax.tree.map(lambda x, i=i: x[filled[i : i + each]], self._rows) for i in starts]

  def _program(self, needed: int, prompts: int) -> tuple[int, Fitted]:
    """What prompts are padded to, and the program for so many, or for as many as fit the memory."""
    # Powers of two bound how many sizes are ever compiled.
    size = 1 << (prompts - 1).bit_length()
    # Filling up what is there takes less time than compiling another.
    suiting = [
      (padded, most)
      for padded, most in self._programs
      if needed <= padded <= needed + SPARE and most >= size
    ]
    key = min(suiting, default=(needed, size))
    if key not in self._programs:
      if len(self._programs) == _KEPT:
        self._programs.pop(next(iter(self._programs)))  # the oldest
      lower = functools.partial(self.lower, needed)
      self._programs[key] = compilation.compile_to_fit(lower, size)
    return key[0], self._programs[key]

  def lower(self, padded: int, size: int) -> jax.stages.Lowered:
    """The program for prompts.

    Args:
      padded: how many tokens they are padded to.
      size: how many prompts.
    """
    lm = self._lm
    count, sharding = lm.layout.rounded(size), lm.layout.members()
    shapes = (
      jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
      for shape in ((count, padded, lm.width), (count, padded))
    )
    return _score_rows.lower(lm.graphdef, lm.params, *shapes, self.dispatches()[0])

  def _losses(self, program: Fitted, prompts: list[np.ndarray], padded: int) -> np.ndarray:
    layout = self._lm.layout
    filled = prompts + [prompts[0]] * (layout.rounded(program.size) - len(prompts))
    prompts_MxPxD = np.stack([pad_left(prompt, padded) for prompt in filled])
    mask_MxP = np.stack([left_mask(len(prompt), padded) for prompt in filled])
    prompts_MxPxD, mask_MxP = place((prompts_MxPxD, mask_MxP), layout.members())
    scored = [
      program.compiled(self._lm.params, prompts_MxPxD, mask_MxP, rows) for rows in self.dispatches()
    ]
    losses_NxMxR = np.concatenate(fetch(scored))
    losses_NxMxR = losses_NxMxR[: len(self._rows.ids_T), : len(prompts)]
    losses_MxNxR = losses_NxMxR.swapaxes(0, 1)
    real = self._slots.examples_NxR != packing.PADDING
    slots = (self._slots.examples_NxR[real], self._slots.classes_NxR[real])
    weighted = losses_MxNxR[:, real] * self._rows.weights_R[real]
    columns = len(self.examples.scored(0))
    losses_MxNxC = np.zeros((len(prompts), len(self.examples), columns), np.float64)
    for member, losses in enumerate(weighted):
      np.add.at(losses_MxNxC[member], slots, losses)
    return losses_MxNxC

  def _summarise(self, losses_NxC: np.ndarray, answers_N: tuple[str, ...] | None) -> Evaluation:
    labels_N = self.examples.labels
    if answers_N is not None:
      right_N = matches(answers_N, self.examples)
      return Evaluation(
        float(np.mean(right_N)),
        None,
        float(losses_NxC.mean()),
        np.where(right_N, labels_N, -1),
        losses_NxC,
        answers_N,
        rouge_l(answers_N, self.examples),
      )
    predictions_N = np.argmin(losses_NxC, axis=1)
    # A prompt that breaks the model predicts nothing, and so nothing by luck.
    predictions_N[np.isnan(losses_NxC).any(axis=1)] = -1
    return Evaluation(
      float(np.mean(predictions_N == labels_N)),
      macro_f1(labels_N, predictions_N),
      float(losses_NxC[np.arange(len(labels_N)), labels_N].mean()),
      predictions_N,
      losses_NxC,
    )


def evaluate(
  lm: LanguageModel, examples: EncodedExamples, prompts: list[SoftPrompt | None]
) -> list[Evaluation]:
  """Scores prompts on examples.

  Args:
    lm: the frozen language model.
    examples: encoded examples with their true classes.
    prompts: soft prompts of any lengths; None is no prompt at all.

  Returns:
    An evaluation of each prompt.

  Raises:
    WayjaxError: an argument of another kind, or a prompt that does not fit the model's width, or
      its positions with the longest example.
  """
  return Evaluator(lm, examples)(prompts)
