"""A long axis, taken in blocks: what is computed of the whole axis never exists at once."""

import numpy as np


def even_size(length: int, most: int) -> int:
  """The size of as few blocks as there can be, of at most `most` each, that are about even."""
  return -(-length // max(1, -(-length // most)))


def block_starts(length: int, size: int) -> np.ndarray:
  """Where blocks of one size begin, (N,), int32; the last is moved back to where it is whole.

  Args:
    length: of the axis.
    size: of each block, at most the length.
  """
  blocks = max(1, -(-length // max(1, size)))
  return np.minimum(np.arange(blocks, dtype=np.int32) * size, length - size)
