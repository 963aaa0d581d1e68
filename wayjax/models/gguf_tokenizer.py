"""The tokenizer inside a GGUF file: byte-level BPE, built from the file's own metadata."""

from typing import NamedTuple

from wayjax.errors import WayjaxError, in_one_sentence

_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
  r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class PreTokenizer(NamedTuple):
  """How text is split into words before BPE, as in the model's Hugging Face tokenizer.

  Attributes:
    words: the regular expression of a word; None means GPT-2's, which is built into `ByteLevel`.
    digits: digits are split off one by one first.
    nfc: text is normalised to Unicode NFC.
    ignore_merges: a word that is itself a token stays whole, whatever the merges would do.
    begins: texts begin with the beginning of sequence where the file does not say.
  """

  words: str | None = None
  digits: bool = False
  nfc: bool = False
  ignore_merges: bool = False
  begins: bool = False


_LLAMA3 = PreTokenizer(_WORDS, ignore_merges=True, begins=True)
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

  Padding tokens at the end of the vocabulary are left out. Special tokens with a role here are the
  end of sequence and the beginning, which stands before a text only where the file, or its kind,
  has it so.

  Args:
    metadata: the `tokenizer.*` fields.
    path: the file, for messages.

  Returns:
    A PreTrainedTokenizerFast.

  Raises:
    WayjaxError: another kind of tokenizer, an unknown pre-tokenizer, or a damaged vocabulary.
  """
  from tokenizers import processors
  from transformers import PreTrainedTokenizerFast  # imported here: it takes seconds

  kind = metadata.get("tokenizer.ggml.model")
  if kind != "gpt2":
    raise WayjaxError(
      f"{path} has a tokenizer of kind {kind!r}; from GGUF files wayjax reads byte-level BPE "
      "('gpt2') only: use the model's safetensors"
    )
  pre = metadata.get("tokenizer.ggml.pre")
  if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
    raise WayjaxError(
      f"{path} has the pre-tokenizer {pre!r}; wayjax implements {', '.join(PRE_TOKENIZERS)}: use "
      "the model's safetensors"
    )
  for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
    if key not in metadata:
      raise WayjaxError(f"{path} has no {key}, without which its tokenizer cannot be built")
  # tokenizers raises plain Exception
  with in_one_sentence(f"the tokenizer in {path} cannot be built"):
    tokens, special, added = _vocabulary(metadata)
    tokenizer = _byte_level_bpe(tokens, metadata["tokenizer.ggml.merges"], PRE_TOKENIZERS[pre])
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(added)
    eos, bos = (
      tokens[i] if i in range(len(tokens)) else None
      for i in (metadata.get(f"tokenizer.ggml.{end}_token_id") for end in ("eos", "bos"))
    )
    if bos and metadata.get("tokenizer.ggml.add_bos_token", PRE_TOKENIZERS[pre].begins):
      tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A"], pair=[bos, "$A", "$B"], special_tokens=[(bos, tokens.index(bos))]
      )
    template = metadata.get("tokenizer.chat_template")
    return PreTrainedTokenizerFast(
      tokenizer_object=tokenizer,
      clean_up_tokenization_spaces=False,
      eos_token=eos,
      bos_token=bos,
      chat_template=template if isinstance(template, str) else None,
    )


def _vocabulary(metadata: dict) -> tuple[list[str], list, list]:
  """The tokens in the order of their ids, and the special and added ones, which bypass BPE."""
  from tokenizers import AddedToken

  tokens = metadata["tokenizer.ggml.tokens"]
  kinds = metadata.get("tokenizer.ggml.token_type", [1] * len(tokens))
  if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
    raise ValueError("its tokens are not distinct, or do not have one type each")
  size = len(tokens)
  while size and _is_padding(tokens[size - 1], kinds[size - 1], size - 1):
    size -= 1
  tokens, kinds = tokens[:size], kinds[:size]
  special = [AddedToken(t, special=True) for t, kind in zip(tokens, kinds) if kind == _CONTROL]
  added = [AddedToken(t, normalized=False) for t, k in zip(tokens, kinds) if k == _USER_DEFINED]
  return tokens, special, added


def _is_padding(token: str, kind: int, i: int) -> bool:
  # Files from before mid-2024 mark padding as user-defined.
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
