"""What a tokenizer must be to be used: bounded in what it makes of a text, and of the model."""

import base64
import json
import math
from pathlib import Path

import numpy as np

from wayjax.errors import WayjaxError, in_one_sentence, in_time
from wayjax.files import MIB, exists, is_folder, open_regular, read_bytes

# What transformers may open, and how large it may be; real ones are below half of that.
_TOKENIZERS = "tokenizer*.json"
_FILES = {
  _TOKENIZERS: 128 * MIB,
  "vocab.*": 128 * MIB,
  "merges.txt": 128 * MIB,
  "tokenizer.model": 128 * MIB,
  "added_tokens.json": MIB,
  "special_tokens_map.json": MIB,
  "chat_template*": 16 * MIB,
  "additional_chat_templates/*": 16 * MIB,
}
_MOST_ADDED = 2**15  # tokens besides the vocabulary, each of which takes a tenth of a millisecond
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
    WayjaxError: one is no regular file or too large, would make texts very much longer or encode
      them by chance, or adds more tokens than any tokenizer.
  """
  for pattern, most in _FILES.items():
    for path in folder.glob(pattern):
      if is_folder(path) or not exists(path):
        continue  # transformers passes over these
      open_regular(path, most).close()
      if pattern == _TOKENIZERS:
        _check_content(path, read_bytes(path, most))


def _check_content(path: Path, content: bytes) -> None:
  """Checks tokenizer.json, or tokenizer_config.json, which has no such steps."""
  # What has the wrong shape may fail in any way.
  with in_one_sentence(f"the tokenizer in {path.parent} cannot be loaded: {path.name} is damaged"):
    parts = json.loads(content)
    if not isinstance(parts, dict):
      raise ValueError("it is not an object")
    longer = max(
      _growth([parts.get("normalizer"), parts.get("pre_tokenizer")]), _growth(parts.get("decoder"))
    )
    dropout = (parts.get("model") or {}).get("dropout")
    longest = max(
      (len(part) for part in parts.values() if isinstance(part, dict | list)), default=0
    )
  why = None
  if longer > _LONGER:
    why = (
      "replaces characters by more and more others, so that a text may become over "
      f"{_LONGER} times longer"
    )
  elif dropout:
    why = f"sets dropout to {dropout}, so that a text has other tokens each time"
  elif longest > _MOST_ADDED:
    why = f"adds {longest:,} tokens to its vocabulary; {_MOST_ADDED:,} are the most"
  if why:
    raise WayjaxError(f"the tokenizer in {path.parent} cannot be used: {path.name} {why}")


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

  def try_out() -> None:
    with in_one_sentence(f"the tokenizer in {path} cannot encode a line of text"):
      ids = tokenizer([_LINE], add_special_tokens=False)["input_ids"][0]
      if not tokenizer.decode(ids):
        raise ValueError("no tokens are left of it")

  in_time(
    _SECONDS,
    try_out,
    f"the tokenizer in {path} takes more than {_SECONDS:.0f} seconds for a line of text: use "
    "another copy of the model",
  )


def known_ids(tokenizer, vocab_size: int) -> np.ndarray:
  """The ids of a tokenizer's tokens that have an embedding, in order, each once."""
  ids = np.fromiter(tokenizer.get_vocab().values(), np.int64)
  return np.unique(ids[ids < vocab_size])
