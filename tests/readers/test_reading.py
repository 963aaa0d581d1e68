"""What every reader's readings have in common."""

import unicodedata

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from wayjax.data.targets import Target
from wayjax.metrics import prompt_f1, prompt_f1_lemma
from wayjax.readers import READERS, Reading
from wayjax.readers.reading import f1_with_target

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def test_a_text_is_scored_against_what_the_prompt_is_to_read_as(lm):
  found = f1_with_target("read the book", Target("text", "t", "read a letter"), lm.tokenizer)
  assert found["prompt_f1"] == prompt_f1("read the book", "read a letter") == 0.5
  assert found["prompt_f1_lemma"] == prompt_f1_lemma("read the book", "read a letter")


def test_a_prompt_that_was_found_has_no_scores(lm):
  assert f1_with_target("read the book", None, lm.tokenizer) == {
    "prompt_f1": None,
    "prompt_f1_lemma": None,
  }


NORMALIZERS = {
  "NFC": normalizers.NFC(),
  "NFD": normalizers.NFD(),
  "NFKC": normalizers.NFKC(),
  "NFKD": normalizers.NFKD(),
  "lower case": normalizers.Lowercase(),
  "no accents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
  "no ligatures": normalizers.Replace("ﬁ", "fi"),
  "BERT": normalizers.BertNormalizer(),
  "marked spaces": normalizers.Sequence(
    [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
  ),
}


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_target_that_is_read_token_by_token_has_f1_1_whatever_normalises_it(name, form):
  backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(ALPHABET)}, merges=[]))
  backend.normalizer = NORMALIZERS[name]
  backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  backend.decoder = decoders.ByteLevel()
  tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
  target = Target("text", "t", unicodedata.normalize(form, "Ｌe café Ångström ﬁt, 한국 ①"))
  read = tokenizer.decode(tokenizer(target.text)["input_ids"])
  assert f1_with_target(read, target, tokenizer)["prompt_f1"] == 1


def test_what_a_tokenizer_does_not_know_is_not_read_as_any_text():
  backend = Tokenizer(models.WordLevel(vocab={"<unk>": 0, "read": 1}, unk_token="<unk>"))
  backend.pre_tokenizer = pre_tokenizers.Whitespace()
  tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
  target = Target("text", "t", "unheard of")
  assert f1_with_target("<unk> <unk>", target, tokenizer)["prompt_f1"] == 0
  assert f1_with_target("read", Target("text", "t", "read"), tokenizer)["prompt_f1"] == 1


def test_rows_hold_text_and_scores():
  reading = Reading(text="x", prompt_f1=0.5, prompt_f1_lemma=None)
  assert reading.to_json() == {"text": "x", "prompt_f1": 0.5, "prompt_f1_lemma": None}
  with pytest.raises(TypeError):
    Reading("x", 0.5, None)  # by name alone, because readers add fields of their own


def test_the_papers_reader_comes_first():
  assert next(iter(READERS)) == "nearest"
