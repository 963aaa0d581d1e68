"""What a tokenizer must be to be used: bounded in what it makes of a text, and of the model."""

import base64
import json
import math
import threading
from pathlib import Path

import numpy as np

from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.files import MIB, open_regular, read_bytes

# What transformers may open, and how large it may be; real ones are below half of that.
_TOKENIZERS = "tokenizer*.json"
_FILES = {
  _TOKENIZERS: 128 * MIB,
  "vocab.*": 128 * MIB,
  "merges.txt": 128 * MIB,
  "tokenizer.model": 128 * MIB,
  "added_tokens.json": 16 * MIB,
  "special_tokens_map.json": 16 * MIB,
  "chat_template*": 16 * MIB,
  "additional_chat_templates/*": 16 * MIB,
}
_LONGER = 256  # times that a text may become longer before it is split
# Steps by type, and how many times longer they make a text each time; others keep its length.
_GROWTH = {"NFKC": 18, "NFKD": 18, "NFC": 3, "NFD": 4, "Lowercase": 3}
_REPEATED = {"ByteLevel": 2, "BertNormalizer": 3}
_SECONDS = 10.0  # for one line, which takes a thousandth of one
_LINE = (
  f"It's 2019,\tnaïve\n\n  {'a' * 40}b {'1' * 40}x {'.' * 40}y{' ' * 40}z 你好 \N{GRINNING FACE}"
)


def check_files(folder: Path) -> None:
  """Checks a tokenizer's files before they are read.

  Raises:
    WayjaxError: one is no regular file or too large, or would make any text very much longer.
  """
  for pattern, most in _FILES.items():
    for path in folder.glob(pattern):
      if path.is_dir() or not path.exists():
        continue  # transformers passes over these
      open_regular(path, most).close()
      if pattern == _TOKENIZERS:
        _check_growth(path, read_bytes(path, most))


def _check_growth(path: Path, content: bytes) -> None:
  # A step of the wrong shape may fail in any way.
  with in_one_sentence(f"the tokenizer in {path.parent} cannot be loaded: {path.name} is damaged"):
    steps = json.loads(content)
    if not isinstance(steps, dict):
      raise ValueError("it is not an object")
    longer = max(
      _growth([steps.get("normalizer"), steps.get("pre_tokenizer")]), _growth(steps.get("decoder"))
    )
  if longer > _LONGER:
    raise WayjaxError(
      f"the tokenizer in {path.parent} cannot be used: {path.name} replaces characters by more and "
      f"more others, so that a text may become over {_LONGER} times longer"
    )


def _growth(steps) -> float:
  """How many times longer these steps, one after the other, may make a text."""
  kinds = set()

  def grow(part) -> float:
    if isinstance(part, list):
      return math.prod(map(grow, part))
    if not isinstance(part, dict):
      return 1
    kind = part.get("type")
    inner = math.prod(grow(value) for value in part.values() if isinstance(value, dict | list))
    if kind == "Replace":
      replaced = part["pattern"].get("String") or "?"  # a regular expression may match little
      return max(1.0, len(part["content"]) / len(replaced))
    if kind == "Prepend":
      return max(1.0, len(part["prepend"]))
    if kind == "Precompiled":
      return inner * _longest_replacement(part["precompiled_charsmap"])
    if kind in _GROWTH and kind not in kinds:
      kinds.add(kind)
      return inner * _GROWTH[kind]  # these change nothing when they are repeated
    return inner * _REPEATED.get(kind, 1) if isinstance(kind, str) else inner

  return grow(steps)


def _longest_replacement(charsmap: str) -> int:
  """Of SentencePiece's table: the size of a trie, the trie, and what its values point to."""
  table = base64.b64decode(charsmap)
  replacements = table[4 + int.from_bytes(table[:4], "little") :]
  return max(map(len, replacements.split(b"\0")))


def check_tokenizer(tokenizer, path: Path, vocab_size: int) -> None:
  """Checks that a tokenizer belongs to a model and works.

  Tokens that were added to the vocabulary may have no embedding: they are refused where a text
  contains them.

  Args:
    tokenizer: a Hugging Face tokenizer.
    path: where it comes from, for messages.
    vocab_size: rows of the model's embedding table.

  Raises:
    WayjaxError: it has no end of sequence, or tokens without an embedding, or cannot encode a line.
  """
  if tokenizer.eos_token_id is None:
    raise WayjaxError(
      f"the tokenizer in {path} has no end-of-sequence token, which every label ends with: set "
      "eos_token in tokenizer_config.json, or use another file"
    )
  vocab, added = tokenizer.get_vocab(), tokenizer.get_added_vocab()
  beyond = {token: i for token, i in vocab.items() if i >= vocab_size}
  for token, i in sorted(beyond.items(), key=lambda item: item[1]):
    if token not in added or i == tokenizer.eos_token_id:
      raise WayjaxError(
        f"the tokenizer in {path} has {len(vocab)} tokens, but the model has only {vocab_size} "
        f"embeddings, and none for {token!r}, number {i}: use the tokenizer that belongs to it"
      )
  _try_out(tokenizer, path)


def _try_out(tokenizer, path: Path) -> None:
  """Encodes and decodes a line, because a regular expression may take for ever, or fail."""
  failed = []

  def try_out():
    try:
      with in_one_sentence(f"the tokenizer in {path} cannot encode a line of text"):
        tokenizer.decode(tokenizer([_LINE], add_special_tokens=False)["input_ids"][0])
    except WayjaxError as error:
      failed.append(error)

  thread = threading.Thread(target=try_out, daemon=True)  # the library cannot be interrupted
  thread.start()
  thread.join(_SECONDS)
  if failed:
    raise failed[0]
  if thread.is_alive():
    raise WayjaxError(
      f"the tokenizer in {path} takes more than {_SECONDS:.0f} seconds for a line of text: use "
      "another copy of the model"
    )


def known_ids(tokenizer, vocab_size: int) -> np.ndarray:
  """The ids of a tokenizer's tokens that have an embedding, in order, each once."""
  ids = np.fromiter(tokenizer.get_vocab().values(), np.int64)
  return np.unique(ids[ids < vocab_size])
