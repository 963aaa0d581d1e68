"""What defines a training run of the demo model."""

import dataclasses

NLTK_CORPORA = ("wordnet", "movie_reviews", "state_union", "inaugural")
EOS = "<|endoftext|>"
VOCABULARIES = range(257, 2**16 + 1)  # all bytes and EOS at least; tokens are kept as 16 bits


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that decides a run's weights; the names are those of the command line's options.

  Attributes:
    corpora: NLTK's names of the corpora to train on.
    books: file names of public-domain books to train on as well.
    sentences: generated sentences of the miniature tasks' kind.
    sentence_share: share of the training rows that is taken from those sentences.
    instruction_share: share that is taken from generated instructions and lines of code.
    vocabulary: tokens of the tokenizer, at most.
    width: the model's width.
    layers: its blocks.
    heads: attention heads of a block.
    positions: the longest sequence.
    sequence: tokens of a training row.
    batch: rows of a step.
    steps: optimiser steps; the learning rate's schedule runs over them.
    learning_rate: its highest value.
    seed: of the weights, the order of the data and the generated text.
    test_rows: digest of the test rows that are kept out.
  """

  corpora: tuple[str, ...]
  books: tuple[str, ...]
  sentences: int
  sentence_share: float
  instruction_share: float
  vocabulary: int
  width: int
  layers: int
  heads: int
  positions: int
  sequence: int
  batch: int
  steps: int
  learning_rate: float
  seed: int
  test_rows: str

  @property
  def tokens(self) -> int:
    """Tokens seen in the whole run."""
    return self.steps * self.batch * self.sequence
