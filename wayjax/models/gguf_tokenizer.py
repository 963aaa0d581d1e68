"""The tokenizer inside a GGUF file, built from the file's own metadata."""

from collections.abc import Callable
from typing import NamedTuple

from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.models.gguf_byte_level import byte_level_bpe
from wayjax.models.gguf_sentencepiece import sentencepiece_bpe
from wayjax.models.gguf_vocabulary import read_vocabulary


class _Kind(NamedTuple):
  """A kind of tokenizer.

  Attributes:
    name: as people call it.
    needs: the fields that it is built from.
    roles: special tokens by their role, with their ids where the file does not say.
    build: makes of a vocabulary a Tokenizer without special tokens, and says whether texts begin
      with the beginning of sequence where the file does not.
  """

  name: str
  needs: tuple[str, ...]
  roles: dict[str, int | None]
  build: Callable


_KINDS = {  # by tokenizer.ggml.model
  "gpt2": _Kind("byte-level BPE", ("tokens", "merges"), {"bos": None, "eos": None}, byte_level_bpe),
  "llama": _Kind(
    "SentencePiece's BPE",
    ("tokens", "scores", "token_type"),
    {"bos": 1, "eos": 2, "unknown": 0},
    sentencepiece_bpe,
  ),
}


def build_tokenizer(metadata: dict, path):
  """Builds a Hugging Face tokenizer from GGUF metadata.

  Padding tokens at the end of the vocabulary are left out. Special tokens with a role here are the
  end of sequence and the beginning, which stand around a text only where the file, or its kind, has
  it so; and the unknown token.

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

  model = metadata.get("tokenizer.ggml.model")
  if not isinstance(model, str) or model not in _KINDS:
    known = " and ".join(f"{kind.name} ('{model}')" for model, kind in _KINDS.items())
    raise WayjaxError(
      f"{path} has a tokenizer of kind {model!r}; from GGUF files wayjax reads {known}: use the "
      "model's safetensors"
    )
  kind = _KINDS[model]
  for name in kind.needs:
    if f"tokenizer.ggml.{name}" not in metadata:
      raise WayjaxError(
        f"{path} has no tokenizer.ggml.{name}, without which its tokenizer cannot be built"
      )
  # tokenizers raises plain Exception
  with in_one_sentence(f"the tokenizer in {path} cannot be built"):
    vocabulary = read_vocabulary(metadata, path)
    tokenizer, begins = kind.build(vocabulary)
    tokenizer.add_tokens(vocabulary.added())
    special = {role: vocabulary.find(role, i) for role, i in kind.roles.items()}
    bos, eos = special["bos"], special["eos"]
    first = [bos] if bos and metadata.get("tokenizer.ggml.add_bos_token", begins) else []
    last = [eos] if eos and metadata.get("tokenizer.ggml.add_eos_token", False) else []
    if first or last:
      tokenizer.post_processor = processors.TemplateProcessing(
        single=[*first, "$A", *last],
        pair=[*first, "$A", "$B", *last],
        special_tokens=[(token, vocabulary.tokens.index(token)) for token in {*first, *last}],
      )
    template = metadata.get("tokenizer.chat_template")
    return PreTrainedTokenizerFast(
      tokenizer_object=tokenizer,
      clean_up_tokenization_spaces=False,
      bos_token=bos,
      eos_token=eos,
      unk_token=special.get("unknown"),
      chat_template=template if isinstance(template, str) else None,
    )
