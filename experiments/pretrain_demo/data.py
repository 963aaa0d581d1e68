"""The training data as tokens: prepared once, and the rows of every step as a function of it.

Array names end in their dimensions: N tokens, B rows, T tokens of a row.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from experiments.pretrain_demo import corpus, instructions, tokenizer
from experiments.pretrain_demo.corpus import Corpus
from experiments.pretrain_demo.settings import EOS, Settings
from wayjax.files import replacing

_INSTRUCTIONS = 4000  # documents
_LONG_EVERY = 4  # every so many steps rows are of all positions, so that all are trained
_DOCUMENTS_AT_ONCE = 1000
_FILE = "data.safetensors"
_NATURAL, _SENTENCES, _CODE = "natural text", "sentences", "instructions"


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
  """Held-out documents of one corpus.

  Attributes:
    ids_N: their tokens, with the end of a text before, between and after them.
    bytes: their length in UTF-8.
    documents: how many there are.
  """

  ids_N: np.ndarray
  bytes: int
  documents: int


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
  """What the model is trained and measured on.

  Attributes:
    streams: tokens to train on: natural text, generated sentences, generated instructions.
    held_out: by corpus.
    sizes: training tokens by corpus.
    settings: how rows are drawn.
    tokenizer: that made the tokens.
  """

  streams: dict[str, np.ndarray]
  held_out: dict[str, HeldOut]
  sizes: dict[str, int]
  settings: Settings
  tokenizer: Tokenizer

  def rows(self, step: int) -> np.ndarray:
    """The rows of a step with each one's next token, (B, T + 1): the same in every process."""
    settings, shares = self.settings, _shares(self.settings)
    random = np.random.default_rng((settings.seed, step))
    length = settings.sequence
    if step % _LONG_EVERY == _LONG_EVERY - 1:
      length = settings.positions
    count = max(1, settings.batch * settings.sequence // length)
    names = random.choice(list(shares), count, p=list(shares.values()))
    starts_B = [random.integers(len(self.streams[name]) - length) for name in names]
    return np.stack(
      [
        self.streams[name][start : start + length + 1].astype(np.int64)
        for name, start in zip(names, starts_B, strict=True)
      ]
    )


def prepare(settings: Settings, work: Path, load_corpora) -> Data:
  """Loads the prepared data of a run, or prepares it and keeps it.

  Args:
    settings: the run's.
    work: the run's folder.
    load_corpora: returns the corpora; called only where they have not been prepared.
  """
  if not (work / _FILE).is_file():
    _prepare(load_corpora(), settings, work)
  made = Tokenizer.from_file(str(work / "tokenizer.json"))
  with safe_open(work / _FILE, framework="numpy") as file:
    about = json.loads(file.metadata()["about"])
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  held_out = {name: HeldOut(arrays[f"held out {name}"], **facts) for name, facts in about["held"]}
  streams = {name: arrays[name] for name in _shares(settings)}
  return Data(streams, held_out, about["sizes"], settings, made)


def load_corpora(settings: Settings, nltk_data: str | None, books: Path | None, avoid: list[str]):
  """All corpora of a run.

  Args:
    settings: which they are.
    nltk_data: NLTK's data folder; None for the places where NLTK looks.
    books: a folder of public-domain books; None for none.
    avoid: texts of test rows.

  Raises:
    WayjaxError: a corpus cannot be had.
  """
  origins = {name: corpus.nltk_documents(name, nltk_data) for name in settings.corpora}
  if books:
    origins["books"] = corpus.book_documents(corpus.book_files(books))
  shares = _shares(settings)
  if _SENTENCES in shares:
    origins[_SENTENCES] = corpus.generated_sentences(settings.seed, settings.sentences, avoid)
  if _CODE in shares:
    origins[_CODE] = instructions.documents(settings.seed, _INSTRUCTIONS)
  return [corpus.split(name, documents, settings.seed) for name, documents in origins.items()]


def _shares(settings: Settings) -> dict[str, float]:
  """The share of each stream in the rows."""
  shares = {
    _SENTENCES: settings.sentence_share if settings.sentences else 0.0,
    _CODE: settings.instruction_share,
  }
  shares[_NATURAL] = 1 - sum(shares.values())
  return {name: share for name, share in shares.items() if share}


def _prepare(corpora: list[Corpus], settings: Settings, work: Path) -> None:
  every = (document for each in corpora for document in each.training)
  made = tokenizer.train(every, settings.vocabulary)
  tokenizer.save(made, work, settings.positions)
  documents = {name: [] for name in _shares(settings)}
  arrays, held, sizes = {}, [], {}
  for each in corpora:
    encoded = _encode(made, each.training)
    documents[each.name if each.name in (_SENTENCES, _CODE) else _NATURAL] += encoded
    sizes[each.name] = sum(map(len, encoded))
    arrays[f"held out {each.name}"] = _join(made, _encode(made, each.held_out))
    facts = {"bytes": sum(len(text.encode()) for text in each.held_out)}
    held.append((each.name, facts | {"documents": len(each.held_out)}))
  order = np.random.default_rng(settings.seed).permutation(len(documents[_NATURAL]))
  documents[_NATURAL] = [documents[_NATURAL][i] for i in order]
  for name, parts in documents.items():
    ids_N = _join(made, parts)
    # A stream that is shorter than a row is repeated.
    arrays[name] = np.resize(ids_N, max(len(ids_N), settings.positions + 2))
  with replacing(work / _FILE) as path:
    save_file(arrays, path, {"about": json.dumps({"held": held, "sizes": sizes})})


def _encode(tokenizer: Tokenizer, documents: list[str]) -> list[np.ndarray]:
  parts = []
  for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
    encodings = tokenizer.encode_batch_fast(documents[start : start + _DOCUMENTS_AT_ONCE])
    parts += [np.array(encoding.ids, np.uint16) for encoding in encodings]
  return parts


def _join(tokenizer: Tokenizer, parts: list[np.ndarray]) -> np.ndarray:
  """Documents with the end of a text before, between and after them, (N,)."""
  end = np.array([tokenizer.token_to_id(EOS)], np.uint16)
  return np.concatenate([end, *(array for part in parts for array in (part, end))])
