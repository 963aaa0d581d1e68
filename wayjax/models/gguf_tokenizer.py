"""The tokenizer inside a GGUF file: byte-level BPE, built from the file's own metadata."""

from typing import NamedTuple

from wayjax.errors import WayjaxError

_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
  r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class PreTokenizer(NamedTuple):
  """How text is cut into words before BPE, as Hugging Face's tokenizer of the model says it.

  Attributes:
    words: what a word is; None is GPT-2's own expression, which `ByteLevel` has inside.
    digits: digits are cut one by one first.
    nfc: text is normalised to Unicode's NFC.
    ignore_merges: a word that is a token as it stands stays one, whatever the merges would do.
  """

  words: str | None = None
  digits: bool = False
  nfc: bool = False
  ignore_merges: bool = False


_LLAMA3 = PreTokenizer(_WORDS, ignore_merges=True)
_QWEN2 = PreTokenizer(_WORDS.replace(r"\p{N}{1,3}", r"\p{N}"), nfc=True)
PRE_TOKENIZERS = {  # by tokenizer.ggml.pre
  "gpt-2": PreTokenizer(),
  "smollm": PreTokenizer(digits=True),
  "llama-bpe": _LLAMA3,
  "llama3": _LLAMA3,
  "llama-v3": _LLAMA3,
  "qwen2": _QWEN2,
  "deepseek-r1-qwen": _QWEN2,
}
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # values of tokenizer.ggml.token_type


def build_tokenizer(metadata: dict, path):
  """Builds a Hugging Face tokenizer from GGUF metadata.

  Tokens at the end with which a vocabulary is padded are left out. Of the special tokens only the
  end of sequence has a role here.

  Args:
    metadata: the `tokenizer.*` fields.
    path: the file, for messages.

  Returns:
    A PreTrainedTokenizerFast.

  Raises:
    WayjaxError: another kind of tokenizer, an unknown pre-tokenizer, or a damaged vocabulary.
  """
  from transformers import PreTrainedTokenizerFast  # imported here: it takes seconds

  kind = metadata.get("tokenizer.ggml.model")
  if kind != "gpt2":
    raise WayjaxError(
      f"{path} has a tokenizer of kind {kind!r}; wayjax reads byte-level BPE ('gpt2') from GGUF "
      "files: take the model's safetensors"
    )
  pre = metadata.get("tokenizer.ggml.pre")
  if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
    raise WayjaxError(
      f"{path} names the pre-tokenizer {pre!r}; wayjax knows {', '.join(PRE_TOKENIZERS)}: take the "
      "model's safetensors"
    )
  for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
    if key not in metadata:
      raise WayjaxError(f"{path} has no {key}, without which its tokenizer cannot be built")
  try:
    tokens, special, added = _vocabulary(metadata)
    tokenizer = _byte_level_bpe(tokens, metadata["tokenizer.ggml.merges"], PRE_TOKENIZERS[pre])
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(added)
    eos = metadata.get("tokenizer.ggml.eos_token_id")
    return PreTrainedTokenizerFast(
      tokenizer_object=tokenizer,
      clean_up_tokenization_spaces=False,
      eos_token=tokens[eos] if eos in range(len(tokens)) else None,
    )
  except Exception as error:  # tokenizers raises plain Exception
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise WayjaxError(f"the tokenizer in {path} cannot be built: {reason}") from error


def _vocabulary(metadata: dict) -> tuple[list[str], list, list]:
  """The tokens in the order of their ids, and which of them stand outside BPE."""
  from tokenizers import AddedToken

  tokens = metadata["tokenizer.ggml.tokens"]
  kinds = metadata.get("tokenizer.ggml.token_type", [1] * len(tokens))
  if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
    raise ValueError("its tokens are not distinct, or have not one type each")
  size = len(tokens)
  while size and _is_padding(tokens[size - 1], kinds[size - 1], size - 1):
    size -= 1
  tokens, kinds = tokens[:size], kinds[:size]
  special = [AddedToken(t, special=True) for t, kind in zip(tokens, kinds) if kind == _CONTROL]
  added = [AddedToken(t, normalized=False) for t, k in zip(tokens, kinds) if k == _USER_DEFINED]
  return tokens, special, added


def _is_padding(token: str, kind: int, i: int) -> bool:
  # Files of before mid-2024 call padding user-defined.
  return kind == _UNUSED or (kind == _USER_DEFINED and token == f"[PAD{i}]")


def _byte_level_bpe(tokens: list[str], merges: list[str], pre: PreTokenizer):
  """The tokenizer without its special tokens."""
  from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

  tokenizer = Tokenizer(
    models.BPE(
      vocab={token: i for i, token in enumerate(tokens)},
      merges=[tuple(merge.split(" ", 1)) for merge in merges],
      ignore_merges=pre.ignore_merges,
    )
  )
  steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre.words is None)]
  if pre.words is not None:
    steps.insert(0, pre_tokenizers.Split(Regex(pre.words), "isolated"))
  if pre.digits:
    steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
  if pre.nfc:
    tokenizer.normalizer = normalizers.NFC()
  tokenizer.decoder = decoders.ByteLevel()
  return tokenizer
