"""Byte-level BPE in a GGUF file: how text is split into words, and the merges within them."""

from typing import NamedTuple

from wayjax.errors import WayjaxError
from wayjax.models.gguf_vocabulary import Vocabulary

_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = _ENDING + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _SPACES
# A capital after a small letter begins another word: "camelCase" is two.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = [r"[^\r\n\p{L}\p{N}]?" + w for w in (f"{_UPPER}*{_LOWER}+", f"{_UPPER}+{_LOWER}*")]
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_TEKKEN = "|".join([*_CASED, r"\p{N}", _SIGNS, _SPACES])
_GPT4O = "|".join([*(f"{word}{_ENDING}?" for word in _CASED), r"\p{N}{1,3}", _SIGNS, _SPACES])


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


_GPT2 = PreTokenizer()
_LLAMA3 = PreTokenizer(_WORDS, ignore_merges=True, begins=True)
_QWEN2 = PreTokenizer(_WORDS.replace(r"\p{N}{1,3}", r"\p{N}"), nfc=True)
PRE_TOKENIZERS = {  # by tokenizer.ggml.pre
  "gpt-2": _GPT2,
  "phi-2": _GPT2,
  "olmo": PreTokenizer(nfc=True),
  "smollm": PreTokenizer(digits=True),
  "llama-bpe": _LLAMA3,
  "llama3": _LLAMA3,
  "llama-v3": _LLAMA3,
  "smaug-bpe": _LLAMA3._replace(begins=False),  # SmolLM3's name, too
  "dbrx": PreTokenizer(_WORDS),  # that of OLMo 2 and Phi-4
  "qwen2": _QWEN2,
  "deepseek-r1-qwen": _QWEN2,
  "tekken": PreTokenizer(_TEKKEN, ignore_merges=True, begins=True),
  "gpt-4o": PreTokenizer(_GPT4O),  # that of Phi-4-mini
}


def byte_level_bpe(vocabulary: Vocabulary):
  """The tokenizer without its special tokens.

  Returns:
    A Tokenizer of the tokenizers package, and whether texts begin with the beginning of sequence
    where the file does not say.

  Raises:
    WayjaxError: an unknown pre-tokenizer.
    Exception: merges that do not fit the vocabulary.
  """
  from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

  name = vocabulary.metadata.get("tokenizer.ggml.pre")
  if not isinstance(name, str) or name not in PRE_TOKENIZERS:
    raise WayjaxError(
      f"{vocabulary.path} has the pre-tokenizer {name!r}; wayjax implements "
      f"{', '.join(PRE_TOKENIZERS)}: use the model's safetensors"
    )
  pre = PRE_TOKENIZERS[name]
  merges = vocabulary.metadata["tokenizer.ggml.merges"]
  tokenizer = Tokenizer(
    models.BPE(
      vocab={token: i for i, token in enumerate(vocabulary.tokens)},
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
  return tokenizer, pre.begins
