"""Two texts beside each other: which of their words differ."""

import difflib
import unicodedata


def differences(target: str, text: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
  """The words of two texts, and of each whether the other lacks it at this place."""
  sides = target.split(), text.split()
  same = [set(), set()]
  # Words that look the same are the same, however their characters are written.
  shown = [[unicodedata.normalize("NFC", word) for word in side] for side in sides]
  for i, j, count in difflib.SequenceMatcher(None, *shown, autojunk=False).get_matching_blocks():
    same[0].update(range(i, i + count))
    same[1].update(range(j, j + count))
  return tuple(
    [(word, k not in kept) for k, word in enumerate(side)]
    for side, kept in zip(sides, same, strict=True)
  )
