"""Encoded examples -> packed rows, the layout that makes a member cheap.

Attention is causal and the prompt comes first, so one row holds `[prompt][x1 y1][x2 y2]...`: a
position sees the prompt and what stands before it in its own example. To score all classes, every
candidate continuation follows its text, `[x1][y11][y12]...[x2]...`, and sees the prompt, its text
and itself. The loss is exactly that of one example a row. Letters: P prompt positions, T text
positions, S = P + T, R scored tokens.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from wayjax.encoding import EncodedExamples

PADDING = -1
PROMPT_MULTIPLE = 16  # prompts are padded on the left to multiples of this, and grouped by it


class PackedRow(NamedTuple):
  """The text part of a packed row; the prompt stands before it.

  Attributes:
    ids_T: token ids.
    offsets_T: how many tokens of its own sequence stand before each, the prompt left out.
    examples_T: which example each belongs to; -1 is padding.
    candidates_T: 0 for the text, c + 1 for the continuation of class c.
    previous_R: where in T the token before each scored token stands; -1 is the prompt's last.
    labels_R: the scored tokens.
    weights_R: share of each in the mean over tokens, then over examples; 0 is padding.
  """

  ids_T: np.ndarray
  offsets_T: np.ndarray
  examples_T: np.ndarray
  candidates_T: np.ndarray
  previous_R: np.ndarray
  labels_R: np.ndarray
  weights_R: np.ndarray


class ScoredSlots(NamedTuple):
  """What each scored token of stacked rows belongs to; -1 is padding."""

  examples_NxR: np.ndarray
  classes_NxR: np.ndarray


def round_up(size: int, multiple: int) -> int:
  """The smallest multiple that holds `size`."""
  return -(-size // multiple) * multiple


def empty_rows(lead: tuple[int, ...], text: int, scored: int) -> PackedRow:
  """Rows of padding, with leading axes `lead`, T = `text` and R = `scored`."""
  zeros_T = np.zeros((*lead, text), np.int32)
  zeros_R = np.zeros((*lead, scored), np.int32)
  return PackedRow(
    ids_T=zeros_T,
    offsets_T=zeros_T.copy(),
    examples_T=np.full_like(zeros_T, PADDING),
    candidates_T=zeros_T.copy(),
    previous_R=np.full_like(zeros_R, -1),
    labels_R=zeros_R,
    weights_R=np.zeros(zeros_R.shape, np.float32),
  )


def _append(row: PackedRow, cursor, example: int, prefix, candidates, share: float):
  """Writes one example into a row at (text position, scored slot); returns the next ones."""
  text, slot = cursor
  start, branch = text, len(prefix)
  row.ids_T[text : text + branch] = prefix
  row.offsets_T[text : text + branch] = np.arange(branch)
  text += branch
  for number, candidate in candidates:
    read, scored = len(candidate) - 1, len(candidate)  # the last scored token is never read
    here = slice(text, text + read)
    row.ids_T[here] = candidate[:-1]
    row.offsets_T[here] = branch + np.arange(read)
    row.candidates_T[here] = number
    slots = slice(slot, slot + scored)
    # The first scored token follows the example's own text, or the prompt where that is empty.
    row.previous_R[slots] = [start + branch - 1 if branch else -1, *range(text, text + read)]
    row.labels_R[slots] = candidate
    row.weights_R[slots] = share / scored
    text, slot = text + read, slot + scored
  row.examples_T[start:text] = example
  return text, slot


def batch_size(examples: EncodedExamples, batch: int) -> int:
  """Examples in a batch: fewer than asked for where there are not so many."""
  return min(batch, len(examples))


def training_batches(examples: EncodedExamples, batch: int, seed: int, steps: range) -> np.ndarray:
  """The examples of each step: every epoch is a new permutation, cut into full batches.

  Args:
    examples: training examples.
    batch: B.
    seed: the member's seed.
    steps: numbers of the steps, from 0.

  Returns:
    (steps, B) row numbers; a function of seed and step alone.
  """
  batch = batch_size(examples, batch)
  per_epoch = len(examples) // batch
  orders = {}
  result = np.zeros((len(steps), batch), np.int32)
  for i, step in enumerate(steps):
    epoch, position = divmod(step, per_epoch)
    if epoch not in orders:
      orders = {epoch: np.random.default_rng([seed, epoch]).permutation(len(examples))}
    result[i] = orders[epoch][position * batch : (position + 1) * batch]
  return result


def training_sizes(examples: EncodedExamples, rows: np.ndarray) -> tuple[int, int]:
  """The largest T and R that these batches (..., B) need."""
  scored = np.array([len(examples.candidates[label]) for label in examples.labels])
  text = np.array([len(prefix) for prefix in examples.prefixes]) + scored - 1
  return int(text[rows].sum(-1).max()), int(scored[rows].sum(-1).max())


def pack_training(examples: EncodedExamples, rows: np.ndarray, text: int, scored: int) -> PackedRow:
  """Packs batches, each example with its true label.

  Args:
    examples: training examples.
    rows: (..., B) row numbers.
    text: T of every row.
    scored: R of every row.

  Returns:
    A PackedRow with the leading axes of `rows`.
  """
  packed = empty_rows(rows.shape[:-1], text, scored)
  for lead in np.ndindex(rows.shape[:-1]):
    row, cursor = PackedRow(*(array[lead] for array in packed)), (0, 0)
    for number, i in enumerate(rows[lead]):
      candidate = examples.candidates[examples.labels[i]]
      cursor = _append(
        row, cursor, number, examples.prefixes[i], [(0, candidate)], 1 / rows.shape[-1]
      )
  return packed


def pack_evaluation(examples: EncodedExamples, text: int) -> tuple[PackedRow, ScoredSlots]:
  """Packs every example with the continuations of all classes.

  Args:
    examples: examples to score.
    text: T of every row; rows grow to the longest example where it needs more.

  Returns:
    Rows stacked along a leading axis N, with weight 1 / length on every scored token of a
    continuation, and what each scored token belongs to.
  """
  candidates = list(enumerate(examples.candidates, start=1))
  read = sum(len(candidate) - 1 for _, candidate in candidates)
  slots = sum(len(candidate) for _, candidate in candidates)
  lengths = [len(prefix) + read for prefix in examples.prefixes]
  text = max(text, *lengths)
  groups, room = [], 0
  for i, length in enumerate(lengths):
    if length > room:
      groups.append([])
      room = text
    groups[-1].append(i)
    room -= length
  most = slots * max(map(len, groups))
  packed = empty_rows((len(groups),), text, most)
  owners = ScoredSlots(*(np.full((len(groups), most), PADDING, np.int32) for _ in range(2)))
  classes = np.concatenate([np.full(len(ids), c) for c, ids in enumerate(examples.candidates)])
  for n, group in enumerate(groups):
    row, cursor = PackedRow(*(array[n] for array in packed)), (0, 0)
    for number, i in enumerate(group):
      here = slice(cursor[1], cursor[1] + slots)
      owners.examples_NxR[n, here] = i
      owners.classes_NxR[n, here] = classes
      cursor = _append(row, cursor, number, examples.prefixes[i], candidates, 1.0)
  return packed, owners


def positions(row: PackedRow, mask_P):
  """Position numbers of the whole row, (S,); the prompt is padded on the left."""
  real = jnp.sum(mask_P).astype(jnp.int32)
  prompt_P = jnp.maximum(jnp.arange(mask_P.shape[0]) - (mask_P.shape[0] - real), 0)
  return jnp.concatenate([prompt_P, real + row.offsets_T])


def visible(row: PackedRow, mask_P):
  """Whether position i of the row sees position j, (S, S); every position sees itself."""
  prompt = mask_P.shape[0]
  size = prompt + row.ids_T.shape[0]
  in_prompt_S = jnp.concatenate([mask_P > 0, jnp.zeros(row.ids_T.shape, bool)])
  none_P = jnp.full((prompt,), PADDING, jnp.int32)
  examples_S = jnp.concatenate([none_P, row.examples_T])
  candidates_S = jnp.concatenate([none_P, row.candidates_T])
  real_S = examples_S != PADDING
  queries, keys = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
  same_example = (examples_S[:, None] == examples_S[None, :]) & real_S[None, :]
  in_text_or_own = (candidates_S == 0)[None, :] | (candidates_S[:, None] == candidates_S[None, :])
  reads_prompt = in_prompt_S[None, :] & (real_S | in_prompt_S)[:, None]
  return (keys <= queries) & (reads_prompt | (same_example & in_text_or_own)) | (keys == queries)
