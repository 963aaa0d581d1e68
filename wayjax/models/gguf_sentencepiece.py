"""SentencePiece's kind of BPE in a GGUF file: pieces are put together by score, the best first."""

import math

from gguf import TokenType

from wayjax.errors import shortened
from wayjax.models.gguf_vocabulary import Vocabulary

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # stands for a space in pieces
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_NO_TEXT = (TokenType.UNKNOWN, TokenType.CONTROL, TokenType.BYTE)
_LONGEST = 512  # characters of a piece: far above any model's, as its splits take time


def sentencepiece_bpe(vocabulary: Vocabulary):
  """The tokenizer without its special tokens.

  Its ids are those of llama.cpp; but of pieces with the same score the one with the smaller id is
  put together first, not the one further left.

  Returns:
    A Tokenizer of the tokenizers package, and True: texts begin with the beginning of sequence
    where the file does not say.

  Raises:
    ValueError: scores, or tokens for bytes or characters, are missing, or a piece is too long.
  """
  from tokenizers import Tokenizer, decoders, models, normalizers

  metadata = vocabulary.metadata
  scores = metadata["tokenizer.ggml.scores"]
  if len(scores) != len(metadata["tokenizer.ggml.tokens"]):
    raise ValueError("its tokens do not have one score each")
  ids = {token: i for i, token in enumerate(vocabulary.tokens)}
  if lacking := [byte for byte in _BYTES if byte not in ids]:
    raise ValueError(f"it lacks tokens for {len(lacking)} bytes: {', '.join(lacking[:3])}")
  pieces = {}
  for token, kind, score in zip(vocabulary.tokens, vocabulary.types, scores):
    if kind in _NO_TEXT:
      continue
    if math.isnan(score):
      raise ValueError(f"the score of {shortened(token, 50)!r} is not a number")
    if len(token) > _LONGEST:
      raise ValueError(f"it has a piece of {len(token):,} characters; {_LONGEST} are the most")
    if kind == TokenType.NORMAL and (lacking := [char for char in token if char not in ids]):
      raise ValueError(f"it has the piece {shortened(token, 50)!r}, but none for {lacking[0]!r}")
    pieces[token] = score
  tokenizer = Tokenizer(models.BPE(vocab=ids, merges=_merges(pieces), byte_fallback=True))
  spaces = [normalizers.Replace(" ", _SPACE)]
  texts = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
  if metadata.get("tokenizer.ggml.add_space_prefix", True):
    # What stands between special tokens is normalised by itself: each such text gets its space.
    spaces.insert(0, normalizers.Prepend(_SPACE))
    texts.append(decoders.Strip(" ", 1, 0))
  tokenizer.normalizer = normalizers.Sequence(spaces)
  tokenizer.decoder = decoders.Sequence(texts)
  return tokenizer, True


def _merges(pieces: dict[str, float]) -> list[tuple[str, str]]:
  """Every pair of pieces that makes a piece, the best piece first.

  Which of a piece's pairs comes first does not matter: only one of them ever stands in a text,
  since what leads to it depends on nothing outside of the piece.
  """
  return [
    (piece[:i], piece[i:])
    for piece in sorted(pieces, key=pieces.get, reverse=True)
    for i in range(1, len(piece))
    if piece[:i] in pieces and piece[i:] in pieces
  ]
