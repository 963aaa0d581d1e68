"""The text that the demo model is trained on; to read it needs no torch."""

import pytest

from experiments.pretrain_demo import corpus, instructions
from wayjax.errors import WayjaxError


def test_test_rows_must_be_known(tmp_path):
  with pytest.raises(WayjaxError, match="must be known to be kept out"):
    corpus.kept_out_texts(tmp_path)


def test_books_lose_header_and_footer(tmp_path):
  (tmp_path / "book.txt").write_text(
    "\ufeffThe licence\n*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nChapter I\n\nEmma,\n"
    "handsome.\n\n*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\nmore licence\n",
    encoding="utf-8",
  )
  documents = corpus.book_documents(corpus.book_files(tmp_path))
  assert list(documents) == ["Chapter I\nEmma, handsome."]


def test_glosses_are_sentences(wordnet):
  documents = corpus.nltk_documents("wordnet", str(wordnet))
  first = next(documents)
  assert first.startswith("able: (usually followed by `to') having the necessary means")
  assert " Able to swim. She was able to program her computer. " in first


def test_instructions_and_code_are_the_same_for_a_seed():
  documents = list(instructions.documents(0, 200))
  assert documents == list(instructions.documents(0, 200))
  assert documents != list(instructions.documents(1, 200))
  for snippet in documents[1::2]:
    compile(snippet, "snippet", "exec")
