"""Prompts and inputs as token ids -> what a model goes on with, in batches that fit the memory."""

import dataclasses

import jax
import numpy as np

from wayjax.data.encoding import require_embeddings
from wayjax.data.frame import NO_FRAME, Frame
from wayjax.devices import compilation
from wayjax.devices.compilation import Fitted
from wayjax.devices.sharding import fetch, place
from wayjax.errors import WayjaxError
from wayjax.generation.decoding import NOTHING, Sequences, decode
from wayjax.generation.requests import Batches, Patch, Request
from wayjax.generation.sampling import Sampling
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts

SEQUENCES_AT_ONCE = 64


class Generator:
  """A model that goes on with sequences; its compiled program is kept between calls.

  Args:
    lm: the frozen language model.
    max_new_tokens: the most tokens generated after each sequence.
    sampling: how they are chosen.
    end_ids: tokens that end a sequence, besides the tokenizer's end of sequence.
    sequences_at_once: how many sequences are in one program, where the memory allows it.

  Raises:
    WayjaxError: an argument of another kind, or no token to generate.
  """

  def __init__(
    self,
    lm: LanguageModel,
    *,
    max_new_tokens: int = 20,
    sampling: Sampling | None = None,
    end_ids: tuple[int, ...] = (),
    sequences_at_once: int = SEQUENCES_AT_ONCE,
  ):
    require_kind("lm", lm, LanguageModel, "what load_lm returns")
    whole = isinstance(max_new_tokens, int | np.integer) and not isinstance(max_new_tokens, bool)
    if not whole or max_new_tokens < 1:
      raise WayjaxError(
        f"max_new_tokens must be a whole number of at least 1, not {max_new_tokens!r}"
      )
    self._lm, self._new, self._at_once = lm, int(max_new_tokens), sequences_at_once
    sampling = sampling or Sampling()
    # Another seed is no other program.
    self._sampling, self._seed = dataclasses.replace(sampling, seed=0), np.uint32(sampling.seed)
    ends_V, never_V = np.zeros((2, lm.vocab_size), bool)
    ends_V[[lm.tokenizer.eos_token_id, *end_ids]] = True
    never_V[list(lm.rows_of_no_token)] = True
    self._masks = place((ends_V, never_V), lm.layout.everywhere())
    self.forget_programs()

  def forget_programs(self) -> None:
    """Lets go of the compiled program; it is compiled again when it is needed."""
    self._shapes, self._size, self._program = None, 0, None

  def __call__(
    self,
    prompts: list[SoftPrompt | Patch | None],
    inputs: list[np.ndarray],
    frame: Frame | list[Frame] = NO_FRAME,
  ) -> list[list[np.ndarray]]:
    """Goes on with `[before][soft prompt][after][input][reply]`, every prompt with every input.

    Args:
      prompts: soft prompts of any lengths, or patches; None, or no prompt in the list, means none.
      inputs: token ids of each input; it may have none.
      frame: the text around the prompts and after the inputs, or a list with that of each.

    Returns:
      For each prompt (without prompts, for none) and each input the generated ids, int32, with the
      one that ended the sequence.

    Raises:
      WayjaxError: a prompt of another width than the model, a token without an embedding, a
        sequence that is empty, or too long for the model with what is generated.
    """
    require_kind("prompts", prompts, list | tuple, "a list of SoftPrompts")
    prompts = list(prompts) or [None]
    soft = [prompt for prompt in prompts if not isinstance(prompt, Patch | None)]
    check_prompts(soft, self._lm.name, self._lm.width)
    inputs = [np.asarray(ids, np.int32).reshape(-1) for ids in inputs]
    frames = [frame] * len(prompts) if isinstance(frame, Frame) else list(frame)
    pairs = [(m, n) for m in range(len(prompts)) for n in range(len(inputs))]
    found = self.go_on([Request(m, n, prompts[m], frames[m], inputs[n]) for m, n in pairs])
    rows = iter(found)
    return [[next(rows) for _ in inputs] for _ in prompts]

  def go_on(self, requests: list[Request]) -> list[np.ndarray]:
    """Goes on with sequences.

    Args:
      requests: the sequences, all of patches or none.

    Returns:
      As `__call__` of each sequence.

    Raises:
      WayjaxError: see `__call__`.
    """
    if not requests:
      return []
    if len({isinstance(request.prompt, Patch) for request in requests}) > 1:
      raise WayjaxError("patches and other prompts take two programs: give them in two calls")
    for ids in {id(request.ids): request.ids for request in requests}.values():
      require_embeddings(self._lm, ids, "an input")
    for frame in {request.frame for request in requests}:
      around = frame.before_ids + frame.after_ids + frame.reply_ids
      require_embeddings(self._lm, np.array(around, np.int32), "the text around a prompt")
    longest = max(requests, key=len)
    if len(min(requests, key=len)) == 0:
      raise WayjaxError("there is nothing to start from: give a prompt, a frame or an input")
    # The last token is generated, never read, so it takes no position.
    if len(longest) + self._new - 1 > self._lm.max_positions:
      raise WayjaxError(
        f"{longest.vectors} prompt tokens, an input of {len(longest.ids)}, "
        f"{len(longest) - longest.vectors - len(longest.ids)} around them and {self._new} new "
        f"tokens exceed the model's {self._lm.room}"
      )
    batches = Batches(self._lm, requests)
    # Calls of equal parts, so that the last is not mostly empty.
    calls = -(-len(requests) // self._at_once)
    program = self._fitted(batches.one(longest), -(-len(requests) // calls))
    found = []
    for start in range(0, len(requests), program.size):
      chunk = requests[start : start + program.size]
      batch = batches.of(chunk, program.size)
      ids_BxN = fetch(program.compiled(self._lm.params, self._seed, batch, *self._masks))
      found += [ids_N[ids_N != NOTHING] for ids_N in ids_BxN[: len(chunk)]]
    return found

  def _fitted(self, one: Sequences, size: int) -> Fitted:
    """The program for so many sequences of one's shapes, or for as many as fit the memory."""
    shapes = jax.tree.map(np.shape, one)
    if self._shapes != shapes or self._size < size:
      self._program = None  # its memory is free for the next
      self._program = compilation.compile_to_fit(lambda size: self._lower(one, size), size)
      self._shapes, self._size = shapes, size
    return self._program

  def _lower(self, one: Sequences, size: int) -> jax.stages.Lowered:
    lm = self._lm
    count, sharding = lm.layout.rounded(size), lm.layout.members()
    shapes = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype, sharding=sharding), one
    )
    arrays = lm.params, self._seed, shapes, *self._masks
    return decode.lower(lm.graphdef, self._sampling, self._new, *arrays)
