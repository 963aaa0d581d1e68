"""The demo model's tokenizer: byte-level BPE, as GPT-2's, and without loss for any text."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from experiments.pretrain_demo.settings import EOS


def train(documents: Iterable[str], vocabulary: int) -> Tokenizer:
  """Trains a tokenizer.

  Args:
    documents: what to train it on.
    vocabulary: tokens, at most; text that is too short has fewer pairs to merge.
  """
  tokenizer = Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=vocabulary,
    special_tokens=[EOS],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  tokenizer.train_from_iterator(documents, trainer)
  return tokenizer


def save(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
  """Writes tokenizer.json and tokenizer_config.json."""
  tokenizer.save(str(folder / "tokenizer.json"))
  config = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": EOS,
    "eos_token": EOS,
    "unk_token": EOS,
    "model_max_length": positions,
    "clean_up_tokenization_spaces": False,
  }
  (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
