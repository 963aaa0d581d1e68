"""The layout of packed rows: what stands where, and who sees whom."""

import numpy as np
import pytest
import tiny

from wayjax import packing
from wayjax.encoding import EncodedExamples
from wayjax.members import left_mask


def example(prefix, *candidates):
  return EncodedExamples(
    (np.array(prefix, np.int32),),
    tuple(np.array(c, np.int32) for c in candidates),
    np.array([0], np.int32),
  )


def test_a_training_row_holds_each_example_with_its_label():
  encoded = EncodedExamples(
    prefixes=(np.int32([11, 12]), np.int32([21])),
    candidates=(np.int32([5, 6, 0]), np.int32([7, 0])),
    labels=np.int32([0, 1]),
  )
  row = packing.pack_training(encoded, np.array([0, 1]), 8, 6)
  assert row.ids_T.tolist() == [11, 12, 5, 6, 21, 7, 0, 0]
  assert row.offsets_T.tolist() == [0, 1, 2, 3, 0, 1, 0, 0]
  assert row.examples_T.tolist() == [0, 0, 0, 0, 1, 1, -1, -1]
  assert row.previous_R.tolist() == [1, 2, 3, 4, 5, -1]
  assert row.labels_R.tolist() == [5, 6, 0, 7, 0, 0]
  np.testing.assert_allclose(row.weights_R, [1 / 6] * 3 + [1 / 4] * 2 + [0])


def test_an_evaluation_row_holds_all_continuations_after_their_text():
  rows, slots = packing.pack_evaluation(example([11, 12], [5, 6, 0], [7, 0]), 1)
  assert rows.ids_T.tolist() == [[11, 12, 5, 6, 7]]
  assert rows.offsets_T.tolist() == [[0, 1, 2, 3, 2]]
  assert rows.candidates_T.tolist() == [[0, 0, 1, 1, 2]]
  assert rows.previous_R.tolist() == [[1, 2, 3, 1, 4]]
  assert rows.labels_R.tolist() == [[5, 6, 0, 7, 0]]
  assert slots.classes_NxR.tolist() == [[0, 0, 0, 1, 1]]


def test_positions_restart_after_the_real_prompt():
  row = packing.pack_training(example([11, 12], [5, 0]), np.array([0]), 4, 2)
  assert packing.positions(row, left_mask(2, 3)).tolist() == [0, 0, 1, 2, 3, 4, 2]
  assert packing.positions(row, left_mask(3, 3)).tolist() == [0, 1, 2, 3, 4, 5, 3]


def test_who_sees_whom():
  rows, _ = packing.pack_evaluation(example([11], [5, 0], [7, 0]), 4)
  row = packing.PackedRow(*(array[0] for array in rows))
  seen = np.asarray(packing.visible(row, left_mask(1, 2))).astype(int)
  assert seen.tolist() == [
    [1, 0, 0, 0, 0, 0],  # padding of the prompt: itself
    [0, 1, 0, 0, 0, 0],  # the prompt
    [0, 1, 1, 0, 0, 0],  # the text
    [0, 1, 1, 1, 0, 0],  # the first class
    [0, 1, 1, 0, 1, 0],  # the second class does not see the first
    [0, 0, 0, 0, 0, 1],  # padding of the row: itself
  ]


def test_an_epoch_is_a_permutation_cut_into_full_batches(rng):
  encoded = tiny.examples(rng, [1] * 11)
  batches = packing.training_batches(encoded, 3, seed=5, steps=range(9))
  for epoch in (batches[0:3], batches[3:6], batches[6:9]):
    assert len(set(epoch.ravel())) == 9
  assert not np.array_equal(batches[0:3], batches[3:6])
  np.testing.assert_array_equal(
    packing.training_batches(encoded, 3, seed=5, steps=range(4, 7)), batches[4:7]
  )
  assert not np.array_equal(packing.training_batches(encoded, 3, 6, range(9)), batches)


def test_fewer_rows_than_a_batch_make_one_batch_of_all(rng):
  encoded = tiny.examples(rng, [1] * 5)
  batches = packing.training_batches(encoded, 8, seed=1, steps=range(4))
  assert batches.shape == (4, 5)
  assert all(sorted(batch) == [0, 1, 2, 3, 4] for batch in batches.tolist())


@pytest.mark.parametrize(("size", "expected"), [(1, 16), (16, 16), (17, 32)])
def test_round_up(size, expected):
  assert packing.round_up(size, 16) == expected
