"""The layout of packed rows: what goes where, and which positions see which."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.frame import Frame
from wayjax.data.packing import PackedRow, left_mask, pad_left


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
  expected = PackedRow(
    ids_T=np.int32([11, 12, 5, 6, 21, 7, 0, 0]),
    offsets_T=np.int32([0, 1, 2, 3, 0, 1, 0, 0]),
    examples_T=np.int32([0, 0, 0, 0, 1, 1, -1, -1]),
    candidates_T=np.zeros(8, np.int32),
    previous_R=np.int32([1, 2, 3, 4, 5, -1]),
    labels_R=np.int32([5, 6, 0, 7, 0, 0]),
    weights_R=np.float32([1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4, 0]),
    reach=3,
  )
  chex.assert_trees_all_close(tiny.pack(encoded, [0, 1], 8, 6), expected, rtol=1e-6)


def test_an_evaluation_row_holds_all_continuations_after_their_text():
  rows, slots = packing.pack_evaluation(example([11, 12], [5, 6, 0], [7, 0]), 1, 1)
  expected = PackedRow(
    ids_T=np.int32([[11, 12, 5, 6, 7]]),
    offsets_T=np.int32([[0, 1, 2, 3, 2]]),
    examples_T=np.int32([[0, 0, 0, 0, 0]]),
    candidates_T=np.int32([[0, 0, 1, 1, 2]]),
    previous_R=np.int32([[1, 2, 3, 1, 4]]),
    labels_R=np.int32([[5, 6, 0, 7, 0]]),
    weights_R=np.float32([[1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2]]),
    reach=4,
  )
  chex.assert_trees_all_equal(rows, expected)
  assert slots.examples_NxR.tolist() == [[0, 0, 0, 0, 0]]
  assert slots.classes_NxR.tolist() == [[0, 0, 0, 1, 1]]


def test_of_a_free_text_answer_only_the_examples_own_is_scored():
  encoded = EncodedExamples(
    prefixes=(np.int32([11, 12]), np.int32([21])),
    candidates=(np.int32([5, 6, 0]), np.int32([7, 0])),
    labels=np.int32([1, 0]),
    answers=("seven", "five six"),
  )
  rows, slots = packing.pack_evaluation(encoded, 6, 1)
  assert rows.ids_T.tolist() == [[11, 12, 7, 21, 5, 6]]
  assert rows.candidates_T.tolist() == [[0, 0, 1, 0, 1, 1]]
  assert rows.previous_R.tolist() == [[1, 2, 3, 4, 5]]
  assert rows.labels_R.tolist() == [[7, 0, 5, 6, 0]]
  assert slots.examples_NxR.tolist() == [[0, 0, 1, 1, 1]]
  assert slots.classes_NxR.tolist() == [[0, 0, 0, 0, 0]]


def test_a_frame_stands_around_the_padded_prompt_and_all_see_it():
  encoded = dataclasses.replace(
    example([11], [5, 0]), frame=Frame("b", "a", before_ids=(40,), after_ids=(90, 91))
  )
  row = tiny.pack(encoded, [0], 3, 2)
  mask_P = left_mask(1, 2)
  # before, padding, prompt, after, after, text, label, padding
  assert packing.positions(row, mask_P).tolist() == [0, 1, 1, 2, 3, 4, 5, 4]
  visible = packing.visible(row, mask_P)
  assert visible.prompt == 5
  assert visible.pairs_SxS.astype(int).tolist() == [
    [1, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 0, 0, 0, 0, 0, 0],
    [1, 0, 1, 0, 0, 0, 0, 0],
    [1, 0, 1, 1, 0, 0, 0, 0],
    [1, 0, 1, 1, 1, 0, 0, 0],
    [1, 0, 1, 1, 1, 1, 0, 0],
    [1, 0, 1, 1, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0, 0, 1],
  ]


def test_padding_is_on_the_left():
  assert pad_left(np.array([[1.0], [2.0]]), 4).tolist() == [[0], [0], [1], [2]]
  assert pad_left(np.array([3, 4]), 3).tolist() == [0, 3, 4]
  assert left_mask(2, 4).tolist() == [0, 0, 1, 1]


def test_positions_restart_after_the_real_prompt():
  row = tiny.pack(example([11, 12], [5, 0]), [0], 4, 2)
  assert packing.positions(row, left_mask(2, 3)).tolist() == [0, 0, 1, 2, 3, 4, 2]
  assert packing.positions(row, left_mask(3, 3)).tolist() == [0, 1, 2, 3, 4, 5, 3]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=3), padding=st.integers(0, 2))
def test_text_sees_no_further_back_than_the_reach(lengths, padding):
  encoded = tiny.examples(np.random.default_rng(0), lengths)
  row = tiny.pack(encoded, list(range(len(lengths))), 24)
  visible = packing.visible(row, left_mask(2, 2 + padding))
  queries, keys = np.nonzero(visible.pairs_SxS)
  of_text = keys >= visible.prompt
  assert visible.prompt == 2 + padding
  assert np.max((queries - keys)[of_text]) == visible.reach


def test_which_positions_see_which():
  rows, _ = packing.pack_evaluation(example([11], [5, 0], [7, 0]), 4, 4)
  row = jax.tree.map(lambda array: array[0], rows)
  assert packing.visible(row, left_mask(1, 2)).pairs_SxS.astype(int).tolist() == [
    [1, 0, 0, 0, 0, 0],  # padding of the prompt: itself
    [0, 1, 0, 0, 0, 0],  # the prompt
    [0, 1, 1, 0, 0, 0],  # the text
    [0, 1, 1, 1, 0, 0],  # the first class
    [0, 1, 1, 0, 1, 0],  # the second class does not see the first
    [0, 0, 0, 0, 0, 1],  # padding of the row: itself
  ]


@pytest.mark.parametrize(("size", "expected"), [(1, 16), (16, 16), (17, 32)])
def test_round_up(size, expected):
  assert packing.round_up(size, 16) == expected
