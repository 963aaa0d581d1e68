"""What counts as a near copy of a text."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

NEAR = 0.5  # share of word trigrams, of those in either text, from which two texts are copies


class Texts:
  """A set of texts that finds near copies of a text among them.

  Two texts are near copies where they are the same once digits are masked and case is dropped, or
  where the Jaccard index of their sets of three successive words is at least `NEAR`.
  """

  def __init__(self, texts: Iterable[str] = ()):
    self._sizes: list[int] = []
    self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for text in texts:
      self.add(text)

  def add(self, text: str) -> None:
    grams = trigrams(text)
    for gram in grams:
      self._holders[gram].append(len(self._sizes))
    self._sizes.append(len(grams))

  def has_near_copy(self, text: str) -> bool:
    """Whether any of the texts is the same as this one, or a near copy of it."""
    grams = trigrams(text)
    shared = Counter(other for gram in grams for other in self._holders.get(gram, ()))
    return any(
      count >= NEAR * (len(grams) + self._sizes[other] - count) for other, count in shared.items()
    )


def trigrams(text: str) -> set[tuple[str, ...]]:
  """Every three successive words, in lower case and with digits masked; at least one tuple."""
  words = re.sub(r"\d", "0", text.lower()).split()
  return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
