"""Encoded examples -> packed rows, the layout that makes a member cheap.

Attention is causal and the prompt comes first, so one row can hold `[prompt][x1 y1][x2 y2]...`:
a position sees the prompt and what precedes it in its own example. To score all classes, every
candidate continuation follows its text, `[x1][y11][y12]...[x2]...`, and sees the prompt, its text
and itself. The loss is exactly that of one example per row. The frame, fixed text before and after
the prompt, is shared like the prompt. Dimensions: P prompt positions, H those and the frame's, T
text positions, S = H + T, R scored tokens, B examples of a batch, N rows or examples.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wayjax.data.encoding import EncodedExamples
from wayjax.data.frame import NO_FRAME, Frame
from wayjax.models.attention import Visible

PADDING = -1
PROMPT_MULTIPLE = 8  # prompts are left-padded to multiples of this, and grouped by length
# T is padded to a multiple of this: small ones waste less, large ones suit matrix units. On a TPU
# S = H + T is: of a row of 152 positions its units compute 256.
ROW_MULTIPLES = {"cpu": 8, "gpu": 16, "tpu": 128}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PackedRow:
  """The text part of a packed row; the prompt in its frame precedes it.

  Attributes:
    ids_T: token ids.
    offsets_T: how many tokens of its own example precede each token.
    examples_T: which example each token belongs to; -1 is padding.
    candidates_T: 0 for the text, c + 1 for the continuation of class c.
    previous_R: position in T of the token before each scored one; -1 is what precedes the text.
    labels_R: the scored tokens.
    weights_R: weight of each in the mean over tokens, then over examples; 0 is padding.
    reach: how many positions back text can see; no example takes more than `reach + 1`.
    frame: what stands around the prompt.
  """

  ids_T: jax.Array
  offsets_T: jax.Array
  examples_T: jax.Array
  candidates_T: jax.Array
  previous_R: jax.Array
  labels_R: jax.Array
  weights_R: jax.Array
  reach: int = dataclasses.field(metadata={"static": True})
  frame: Frame = dataclasses.field(default=NO_FRAME, metadata={"static": True})


class ScoredSlots(NamedTuple):
  """The example and the class of each scored token in stacked rows; -1 is padding."""

  examples_NxR: np.ndarray
  classes_NxR: np.ndarray


class TrainingTokens(NamedTuple):
  """The tokens of all training examples with their true labels, as laid out on the device.

  Attributes:
    ids: all sequences, concatenated.
    starts_N: where each sequence begins.
    prefixes_N: how many of its tokens precede the scored ones.
    scored_N: how many of its tokens are scored.
  """

  ids: jax.Array
  starts_N: jax.Array
  prefixes_N: jax.Array
  scored_N: jax.Array

  @property
  def lengths_N(self):
    """Positions that each example takes; the last scored token is predicted, never read."""
    return self.prefixes_N + self.scored_N - 1


def round_up(size: int, multiple: int) -> int:
  """The smallest multiple of `multiple` that is at least `size`."""
  return -(-size // multiple) * multiple


def row_multiple(platform: str) -> int:
  """The multiple that T is padded to on such devices."""
  return ROW_MULTIPLES.get(platform, 64)


def counted(platform: str, shared: int) -> int:
  """How many of the H positions before the text count in that multiple."""
  return shared if platform == "tpu" else 0


def pad_left(array_Px, length: int) -> np.ndarray:
  """Prepends zeros along the first axis, (P, ...) -> (length, ...)."""
  return np.pad(array_Px, [(length - len(array_Px), 0), *[(0, 0)] * (array_Px.ndim - 1)])


def left_mask(real: int, length: int) -> np.ndarray:
  """The mask of a left-padded prompt, (length,): 0 for padding, then 1 for `real` positions."""
  return (np.arange(length) >= length - real).astype(np.float32)


def reach_of(lengths) -> int:
  """How many positions back text can see in rows of examples with these lengths."""
  return max(int(np.max(lengths)) - 1, 0)


def training_tokens(examples: EncodedExamples) -> TrainingTokens:
  """Lays out training examples for `pack_training`."""
  candidates = [examples.candidates[label] for label in examples.labels]
  sequences = [
    np.concatenate([prefix, candidate]) for prefix, candidate in zip(examples.prefixes, candidates)
  ]
  sizes_N = np.array([len(sequence) for sequence in sequences], np.int32)
  scored_N = np.array([len(candidate) for candidate in candidates], np.int32)
  return TrainingTokens(
    np.concatenate(sequences),
    np.cumsum(sizes_N, dtype=np.int32) - sizes_N,
    sizes_N - scored_N,
    scored_N,
  )


def pack_training(
  tokens: TrainingTokens, batch_B, text: int, scored: int, reach: int, frame: Frame = NO_FRAME
) -> PackedRow:
  """Packs one batch, each example with its true label; pure, so it runs on the device.

  Args:
    tokens: all training examples.
    batch_B: the numbers of those to pack.
    text: T, at least the positions that they take together.
    scored: R, at least the number of their scored tokens.
    reach: at least the positions of the longest one, minus 1.
    frame: what stands around the prompt.

  Returns:
    The packed row.
  """
  starts_B, prefixes_B, scored_B = (x[batch_B] for x in tokens[1:])
  lengths_B = tokens.lengths_N[batch_B]
  first_B = jnp.cumsum(lengths_B, dtype=jnp.int32) - lengths_B  # where each begins in the row
  examples_T, offsets_T = _owners(lengths_B, text)
  examples_R, numbers_R = _owners(scored_B, scored)
  real_T, real_R = examples_T != PADDING, examples_R != PADDING
  before_R = prefixes_B[examples_R] + numbers_R  # tokens of the sequence before each scored one
  return PackedRow(
    ids_T=jnp.where(real_T, tokens.ids[starts_B[examples_T] + offsets_T], 0),
    offsets_T=jnp.where(real_T, offsets_T, 0),
    examples_T=examples_T,
    candidates_T=jnp.zeros_like(examples_T),
    # The first scored token follows the example's own text, or what precedes it if that is empty.
    previous_R=jnp.where(real_R & (before_R > 0), first_B[examples_R] + before_R - 1, -1),
    labels_R=jnp.where(real_R, tokens.ids[starts_B[examples_R] + before_R], 0),
    weights_R=jnp.where(real_R, 1 / (len(batch_B) * scored_B[examples_R]).astype(jnp.float32), 0.0),
    reach=reach,
    frame=frame,
  )


def _owners(counts_B, size: int):
  """The b that owns each place, if each takes counts_B[b] in turn, and the place's number in b."""
  ends_B = jnp.cumsum(counts_B, dtype=jnp.int32)
  places = jnp.arange(size, dtype=jnp.int32)
  owners = jnp.sum(places[:, None] >= ends_B[None, :], axis=1, dtype=jnp.int32)
  numbers = places - (ends_B - counts_B)[jnp.minimum(owners, len(counts_B) - 1)]
  return jnp.where(owners < len(counts_B), owners, PADDING), numbers


def pack_evaluation(
  examples: EncodedExamples, text: int, multiple: int
) -> tuple[PackedRow, ScoredSlots]:
  """Packs every example with all that is scored of it: every class, or its own answer.

  Args:
    examples: examples to score.
    text: T of every row, or the positions of the longest example if it takes more.
    multiple: what T is rounded up to.

  Returns:
    Rows stacked along a leading axis N, with weight 1 / length on every scored token of a
    continuation, and what each scored token belongs to.
  """
  scored = [examples.scored(i) for i in range(len(examples))]
  slots = [sum(map(len, candidates)) for candidates in scored]
  lengths = [
    len(prefix) + own - len(candidates)  # the last token of each is predicted, never read
    for prefix, own, candidates in zip(examples.prefixes, slots, scored, strict=True)
  ]
  text = round_up(max(text, *lengths), multiple)
  groups, room = [], -1  # -1, so that the first example opens a row even if it takes no position
  for i, length in enumerate(lengths):
    if length > room:
      groups.append([])
      room = text
    groups[-1].append(i)
    room -= length
  most = max(sum(slots[i] for i in group) for group in groups)
  packed = _empty_rows(len(groups), text, most, reach=reach_of(lengths), frame=examples.frame)
  owners = ScoredSlots(*(np.full((len(groups), most), PADDING, np.int32) for _ in range(2)))
  for n, group in enumerate(groups):
    row, cursor = jax.tree.map(lambda array, n=n: array[n], packed), (0, 0)
    for number, i in enumerate(group):
      here = slice(cursor[1], cursor[1] + slots[i])
      owners.examples_NxR[n, here] = i
      owners.classes_NxR[n, here] = np.repeat(np.arange(len(scored[i])), [*map(len, scored[i])])
      cursor = _append(row, cursor, number, examples.prefixes[i], scored[i])
  return packed, owners


def _empty_rows(count: int, text: int, scored: int, reach: int, frame: Frame) -> PackedRow:
  zeros_NxT = np.zeros((count, text), np.int32)
  zeros_NxR = np.zeros((count, scored), np.int32)
  return PackedRow(
    ids_T=zeros_NxT,
    offsets_T=zeros_NxT.copy(),
    examples_T=np.full_like(zeros_NxT, PADDING),
    candidates_T=zeros_NxT.copy(),
    previous_R=np.full_like(zeros_NxR, -1),
    labels_R=zeros_NxR,
    weights_R=np.zeros(zeros_NxR.shape, np.float32),
    reach=reach,
    frame=frame,
  )


def _append(row: PackedRow, cursor, example: int, prefix, candidates):
  """Writes one example into a row at (text position, scored slot); returns the next such pair."""
  text, slot = cursor
  start, branch = text, len(prefix)
  row.ids_T[text : text + branch] = prefix
  row.offsets_T[text : text + branch] = np.arange(branch)
  text += branch
  for number, candidate in enumerate(candidates, start=1):
    read, scored = len(candidate) - 1, len(candidate)  # the last scored token is never read
    here = slice(text, text + read)
    row.ids_T[here] = candidate[:-1]
    row.offsets_T[here] = branch + np.arange(read)
    row.candidates_T[here] = number
    slots = slice(slot, slot + scored)
    # The first scored token follows the example's own text, or what precedes it if that is empty.
    row.previous_R[slots] = [start + branch - 1 if branch else -1, *range(text, text + read)]
    row.labels_R[slots] = candidate
    row.weights_R[slots] = 1 / scored
    text, slot = text + read, slot + scored
  row.examples_T[start:text] = example
  return text, slot


def positions(row: PackedRow, mask_P):
  """Position numbers of the whole row, (S,); the padding to the left of the prompt has any."""
  before, after = len(row.frame.before_ids), len(row.frame.after_ids)
  real = jnp.sum(mask_P).astype(jnp.int32)
  prompt_P = jnp.maximum(jnp.arange(len(mask_P), dtype=jnp.int32) - (len(mask_P) - real), 0)
  text_T = real + row.offsets_T
  if not row.frame.size:
    return jnp.concatenate([prompt_P, text_T])
  before_B, after_A = (jnp.arange(size, dtype=jnp.int32) for size in (before, after))
  return jnp.concatenate(
    [before_B, before + prompt_P, before + real + after_A, before + after + text_T]
  )


def visible(row: PackedRow, mask_P) -> Visible:
  """Which positions of the row see which; every position sees itself, padding too."""
  examples_T, candidates_T = row.examples_T, row.candidates_T
  real_H, real_T = _shared(row, mask_P) > 0, examples_T != PADDING
  same_example_TxT = (examples_T[:, None] == examples_T[None, :]) & real_T[:, None]
  own_TxT = candidates_T[:, None] == candidates_T[None, :]
  text_TxT = same_example_TxT & (own_TxT | (candidates_T[None, :] == 0))
  shared_SxH = jnp.concatenate([real_H, real_T])[:, None] & real_H[None, :]
  pairs_SxS = jnp.concatenate([shared_SxH, jnp.pad(text_TxT, ((len(real_H), 0), (0, 0)))], axis=1)
  order_S = jnp.arange(len(pairs_SxS))
  pairs_SxS &= order_S[None, :] <= order_S[:, None]
  return Visible(pairs_SxS | (order_S[None, :] == order_S[:, None]), len(real_H), row.reach)


def _shared(row: PackedRow, mask_P):
  """1 where a position that all examples share is real, (H,): the frame's all are."""
  if not row.frame.size:
    return mask_P
  before_B, after_A = (
    jnp.ones(len(ids), mask_P.dtype) for ids in (row.frame.before_ids, row.frame.after_ids)
  )
  return jnp.concatenate([before_B, mask_P, after_A])
