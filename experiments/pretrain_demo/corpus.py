"""The text that the demo model is trained on, as documents, and the part that is held out."""

import csv
import dataclasses
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from wayjax.errors import WayjaxError

HELD_OUT_SHARE = 0.01
_BOOK_PIECE = 4000  # characters: parts of a book are held out, not whole books

# Punctuation that earlier conversions of the addresses spoilt, as it reads in Latin-1.
_SPOILT = {"¡¦": "'", "¡§": '"', "¡¨": '"', "â\x80\x94": " -- "}
_NOISE = re.compile(r"\s*\((?:applause|laughter)[^)]*\)|[^\n -~]", re.IGNORECASE)
_GUTENBERG = re.compile(
  r"\A.*?\*\*\* ?START OF TH[^\n]*\n|\*\*\* ?END OF TH.*\Z", re.DOTALL | re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Documents of one origin.

  Attributes:
    name: of the corpus.
    training: documents to train on.
    held_out: documents to measure the loss on; none of them is among the former.
  """

  name: str
  training: list[str]
  held_out: list[str]


def split(name: str, documents: Iterable[str], seed: int) -> Corpus:
  """Holds out a hundredth of the documents, and at least one.

  Raises:
    WayjaxError: there are fewer than two different documents.
  """
  documents = list(documents)
  count = max(1, round(HELD_OUT_SHARE * len(documents)))
  random = Random(f"{seed} {name}")
  held_out = random.sample(documents, min(count, len(documents)))
  unseen = set(held_out)
  training = [document for document in documents if document not in unseen]
  if not training:
    raise WayjaxError(f"the corpus {name} has too few documents to hold one out")
  return Corpus(name, training, held_out)


def nltk_documents(name: str, folder: str | None) -> Iterator[str]:
  """The documents of one of NLTK's corpora; what is not on this machine is downloaded.

  Args:
    name: `wordnet`, `movie_reviews`, `state_union` or `inaugural`.
    folder: NLTK's data folder; None for the places where NLTK looks.

  Returns:
    One document for each synset, review or address.

  Raises:
    WayjaxError: it is not there and cannot be downloaded.
  """
  from nltk.corpus.reader import PlaintextCorpusReader

  root = _find(name, folder)
  if name == "wordnet":
    return _glosses(root)
  reader = PlaintextCorpusReader(root, r"(?!\.).*\.txt", encoding="latin1")
  clean = _clean_review if name == "movie_reviews" else _clean_address
  return (clean(reader.raw(file)) for file in reader.fileids())


def _find(name: str, folder: str | None):
  """Where NLTK has a corpus, as a folder or in a zip file."""
  import nltk

  def look():
    try:
      return nltk.data.find(f"corpora/{name}")
    except LookupError:
      return nltk.data.find(f"corpora/{name}.zip/{name}/")

  if folder and folder not in nltk.data.path:
    nltk.data.path.insert(0, folder)  # NLTK opens files in these folders only
  try:
    return look()
  except LookupError:
    pass
  try:
    silent = io.StringIO()
    nltk.download(name, folder, quiet=True, raise_on_error=True, print_error_to=silent)
    return look()
  except (LookupError, OSError, ValueError) as error:
    raise WayjaxError(
      f"NLTK's corpus {name} is not in {folder or 'NLTK_DATA or another of its folders'} and "
      f"cannot be downloaded: run `python -m nltk.downloader {name}` where there is a network"
    ) from error


def _glosses(root) -> Iterator[str]:
  from nltk.corpus.reader import WordNetCorpusReader

  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="The multilingual functions")
    reader = WordNetCorpusReader(root, omw_reader=None)
  for synset in reader.all_synsets():
    names = ", ".join(name.replace("_", " ") for name in synset.lemma_names())
    parts = [f"{names}: {synset.definition()}", *map(_capitalise, synset.examples())]
    yield " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)


def _capitalise(text: str) -> str:
  return text[:1].upper() + text[1:]


def _clean_review(text: str) -> str:
  return " ".join(_NOISE.sub("", text).split())


def _clean_address(text: str) -> str:
  for spoilt, meant in _SPOILT.items():
    text = text.replace(spoilt, meant)
  lines = (" ".join(line.split()) for line in _NOISE.sub("", text).splitlines())
  return "\n".join(line for line in lines if line)


def book_files(folder: Path | None) -> list[Path]:
  """The books of a folder, by name.

  Raises:
    WayjaxError: the folder has none.
  """
  if folder is None:
    return []
  if not (files := sorted(folder.glob("*.txt"))):
    raise WayjaxError(f"--books {folder} contains no .txt files")
  return files


def book_documents(files: Iterable[Path]) -> Iterator[str]:
  """Books in pieces of some paragraphs, without Project Gutenberg's header and footer."""
  for file in files:
    text = _GUTENBERG.sub("", file.read_text(encoding="utf-8-sig", errors="replace"))
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text):
      if line := " ".join(paragraph.split()):
        piece += f"\n{line}" if piece else line
      if len(piece) >= _BOOK_PIECE:
        yield piece
        piece = ""
    if piece:
      yield piece


def kept_out_texts(folder: Path) -> list[str]:
  """The texts of the demonstration tasks' test rows, which must not be trained on.

  Args:
    folder: holds `<task>/test.csv` with a column `text`.

  Raises:
    WayjaxError: there are none.
  """
  texts = []
  for path in sorted(folder.glob("*/test.csv")):
    with path.open(encoding="utf-8", newline="") as file:
      texts += [row["text"] for row in csv.DictReader(file)]
  if not texts:
    raise WayjaxError(
      f"{folder} contains no <task>/test.csv: the test rows must be known to be kept out"
    )
  return texts


def generated_sentences(seed: int, count: int, avoid: Iterable[str]) -> Iterator[str]:
  """Sentences of the miniature tasks' kind, without any test row.

  Args:
    seed: of the generator.
    count: how many.
    avoid: texts of test rows.
  """
  from experiments.miniatures import sentences

  avoid = list(avoid)
  kept_out = set(map(_bare, avoid))
  drawn = sentences(Random(seed), count, avoid)
  return (sentence for sentence in drawn if _bare(sentence) not in kept_out)


def _bare(text: str) -> str:
  """A text's letters and digits, by which test rows are recognised."""
  return re.sub(r"[\W_]+", " ", text).strip().casefold()
