"""Blocks of an axis: whole, even, as few as there can be, and none of it left out."""

import numpy as np
from forall import forall
from hypothesis import strategies as st

from wayjax.blocks import block_starts, even_size


@forall(200, length=st.integers(0, 300), most=st.integers(1, 320))
def test_blocks_cover_an_axis(length, most):
  size = even_size(length, most)
  starts_N = block_starts(length, size)
  assert size <= most
  assert starts_N.dtype == np.int32
  assert len(starts_N) == max(1, -(-length // most))
  assert len(starts_N) * size - length < len(starts_N)  # about even
  covered = starts_N[:, None] + np.arange(size)
  np.testing.assert_array_equal(np.unique(covered), np.arange(length))
