"""What a GGUF file says about its tokenizer: tokens in the order of their ids, and their types."""

from typing import NamedTuple

from gguf import TokenType


class Vocabulary(NamedTuple):
  """What a tokenizer is built from.

  Attributes:
    path: the file, for messages.
    metadata: its `tokenizer.*` fields.
    tokens: in the order of their ids, without the padding at the end.
    types: one for each token, values of `gguf.TokenType`.
  """

  path: object
  metadata: dict
  tokens: list[str]
  types: list[int]

  def added(self) -> list:
    """Tokens that are found in a text before all others; control tokens are special."""
    from tokenizers import AddedToken

    special = {TokenType.CONTROL: True, TokenType.UNKNOWN: True, TokenType.USER_DEFINED: False}
    return [
      AddedToken(token, special=special[kind], normalized=False)
      for token, kind in zip(self.tokens, self.types)
      if kind in special
    ]

  def find(self, role: str, default: int | None) -> str | None:
    """The token of a role such as "bos"; None where the vocabulary has no such id."""
    i = self.metadata.get(f"tokenizer.ggml.{role}_token_id", default)
    return self.tokens[i] if i in range(len(self.tokens)) else None


def read_vocabulary(metadata: dict, path) -> Vocabulary:
  """The vocabulary of a file.

  Args:
    metadata: the `tokenizer.*` fields.
    path: the file, for messages.

  Raises:
    ValueError: its tokens are not distinct, or do not have one type each.
  """
  tokens = metadata["tokenizer.ggml.tokens"]
  types = metadata.get("tokenizer.ggml.token_type", [TokenType.NORMAL] * len(tokens))
  if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
    raise ValueError("its tokens are not distinct, or do not have one type each")
  size = len(tokens)
  while size and _is_padding(tokens[size - 1], types[size - 1], size - 1):
    size -= 1
  return Vocabulary(path, metadata, tokens[:size], types[:size])


def _is_padding(token: str, kind: int, i: int) -> bool:
  # Files from before mid-2024 mark padding as user-defined.
  return kind == TokenType.UNUSED or (kind == TokenType.USER_DEFINED and token == f"[PAD{i}]")
