"""Scores on the host: plain Python and NumPy."""

import collections
import functools
import logging
import math
import re
import string
import unicodedata

import numpy as np

_log = logging.getLogger("wayjax")

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def words(text: str) -> list[str]:
  """The words that prompt F1 compares: lower case, no punctuation, no articles."""
  # Unicode can write one character in several ways, which look the same.
  text = unicodedata.normalize("NFC", text.lower())
  return _ARTICLES.sub(" ", text.translate(_PUNCTUATION)).split()


def normalised(text: str) -> str:
  """A text by the words that count; as it is where it has none, such as a sign."""
  return " ".join(words(text)) or text.strip()


def exact_match(prediction: str, answer: str) -> bool:
  """Whether an answer is right after normalisation, as SQuAD has it (Rajpurkar et al., 2016)."""
  return normalised(prediction) == normalised(answer)


def overlap_f1(prediction: list[str], reference: list[str]) -> float:
  """F1 of two bags of words: harmonic mean of precision and recall of the shared words."""
  shared = sum((collections.Counter(prediction) & collections.Counter(reference)).values())
  if not shared:
    return 0.0
  precision, recall = shared / len(prediction), shared / len(reference)
  return 2 * precision * recall / (precision + recall)


def prompt_f1(projected_text: str, target_text: str) -> float | None:
  """Word-overlap F1 of a projected prompt against its target (Eq. 8), as in the released code.

  Args:
    projected_text: what the prompt reads as.
    target_text: what it should read as.

  Returns:
    A fraction; None where the target has no words, for which F1 is undefined.
  """
  reference = words(target_text)
  return overlap_f1(words(projected_text), reference) if reference else None


def prompt_f1_lemma(projected_text: str, target_text: str) -> float | None:
  """Prompt F1 on WordNet's noun lemmas (the paper's footnote 4).

  Returns:
    A fraction; None where the target has no words, and, with one warning, where WordNet is not
    installed.
  """
  lemmatize, reference = _lemmatizer(), words(target_text)
  if lemmatize is None or not reference:
    return None
  return overlap_f1(
    [lemmatize(word) for word in words(projected_text)], [lemmatize(word) for word in reference]
  )


@functools.cache
def _lemmatizer():
  from nltk.stem import WordNetLemmatizer  # imported here: it takes a second

  lemmatizer = WordNetLemmatizer()
  try:
    lemmatizer.lemmatize("words")
  except LookupError:
    # A warning of Python's would be a traceback where PYTHONWARNINGS=error.
    _log.warning(
      "prompt_f1_lemma is left empty, because NLTK's WordNet is not installed: get it with "
      "`python -m nltk.downloader wordnet`, or set NLTK_DATA to a folder that has it"
    )
    return None
  return lemmatizer.lemmatize


@functools.cache
def rouge_scorer(kind: str):
  """A function of a reference and a text: their ROUGE F1 (Lin, 2004) of stemmed words.

  Args:
    kind: `rouge1` or `rougeL`.

  Returns:
    None, with one warning, where rouge-score is not installed.
  """
  try:
    from rouge_score.rouge_scorer import RougeScorer  # it takes a second
  except ImportError:
    name = kind.lower().replace("rouge", "rouge_")
    _log.warning(
      "%s is left empty, because rouge-score is not installed: `pip install rouge-score`", name
    )
    return None
  scorer = RougeScorer([kind], use_stemmer=True)
  return lambda reference, text: scorer.score(reference, text)[kind].fmeasure


def macro_f1(labels, predictions) -> float:
  """F1 of each class, averaged over the classes that occur among labels or predictions."""
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  scores = []
  for c in np.union1d(labels, predictions[predictions >= 0]):  # -1 means no prediction
    hits = np.sum((labels == c) & (predictions == c))
    scores.append(2 * hits / (np.sum(labels == c) + np.sum(predictions == c)))
  return float(np.mean(scores))


def majority(labels) -> float:
  """Accuracy of always answering the most frequent class, or the most frequent free-text answer."""
  kinds = (normalised(label) if isinstance(label, str) else label for label in labels)
  return max(collections.Counter(kinds).values()) / len(labels)


def delta(unconstrained: float, constrained: float) -> float:
  """Relative accuracy drop, a fraction (Table 2): of two accuracies, or of means over seeds.

  Returns:
    (unconstrained - constrained) / unconstrained; NaN if the unconstrained accuracy is 0.
  """
  return (unconstrained - constrained) / unconstrained if unconstrained else float("nan")


def finite(value) -> float | None:
  """A number for JSON, which has neither NaN nor infinity: they become None, as None does."""
  return float(value) if value is not None and math.isfinite(value) else None
