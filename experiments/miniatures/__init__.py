"""Miniatures of the five tasks: rows that seeded grammars write, none of it from the real sets.

`python -m experiments.miniatures` writes them as the files that `--data-dir` reads. Training rows
are made from four templates of five, test rows from those and, a quarter of them, from the others.
No two rows of a task are near copies of each other (`copies.py` says what that means).
"""

import random
from collections.abc import Iterable, Iterator

from experiments.miniatures import news, questions, reviews, statements
from experiments.miniatures.copies import Texts
from experiments.miniatures.grammar import Rules, expand
from experiments.miniatures.remarks import add_remark
from wayjax.data.tasks import TASKS

SEED = 2022
TRIES = 300  # at a text that is not a near copy, before the grammar counts as used up

# A task's rules, and the templates of each class, in the order of the label words.
GRAMMARS: dict[str, tuple[Rules, list[list[str]]]] = {
  "sst2": (reviews.RULES, [reviews.NEGATIVE, reviews.POSITIVE]),
  "sst5": (reviews.RULES, reviews.GRADES),
  "agnews": (news.RULES, news.TOPICS),
  "trec": (questions.RULES, questions.KINDS),
  "subj": (statements.RULES, statements.STANCES),
}

# Rows of each class, out of 400 test rows; training has three times as many.
SHARES = {
  "sst2": (194, 206),
  "sst5": (70, 88, 74, 92, 76),
  "agnews": (100, 102, 98, 100),
  "trec": (84, 88, 36, 72, 58, 62),
  "subj": (202, 198),
}
TIMES = {"test": 1, "train": 3}
REMARKED = 0.85  # share of `sentences` of a class that a reader's remark follows
HELD_OUT = 0.25  # share of test rows from the templates, one in five, that are kept out of training


def rows(task: str) -> dict[str, list[tuple[str, int]]]:
  """A task's rows, the same at every call.

  Args:
    task: one of the five tasks' names.

  Returns:
    For "test" and "train", texts and class numbers in a shuffled order.
  """
  rules, classes = GRAMMARS[task]
  rng = random.Random(f"{SEED} {task}")
  taken = Texts()
  splits = {}
  for split, times in TIMES.items():
    labels = [label for label, count in enumerate(SHARES[task]) for _ in range(times * count)]
    rng.shuffle(labels)
    splits[split] = []
    for label in labels:
      held_out = split == "test" and rng.random() < HELD_OUT
      templates = [
        template for i, template in enumerate(classes[label]) if (i % 5 == 4) == held_out
      ]
      text = _new_text(templates, rules, rng, taken)
      taken.add(text)
      splits[split].append((text, label))
  return splits


def sentences(rng: random.Random, count: int, avoid: Iterable[str]) -> Iterator[str]:
  """Unlabelled text of the same grammars, to mix into what a small language model is trained on.

  Some of it uses the tasks' label words as any text does ("a great film"), most of it in a reader's
  remark after it, but none of it is a row with a task's template after it.

  Args:
    rng: makes the choices.
    count: number of sentences.
    avoid: texts that no sentence may be a near copy of: the test rows.

  Yields:
    Sentences of the five grammars in turn, some of them more than once in a long run.
  """
  avoided = Texts(avoid)
  for number in range(count):
    task = list(GRAMMARS)[number % len(GRAMMARS)]
    rules, classes = GRAMMARS[task]
    label = rng.randrange(len(classes) + 1)
    if label == len(classes):
      yield _new_text(rules["plain"], rules, rng, avoided)
      continue
    text = _new_text(classes[label], rules, rng, avoided)
    if rng.random() < REMARKED:
      text = add_remark(text, task, TASKS[task].label_words, label, rng)
    yield text


def _new_text(templates: list[str], rules: Rules, rng: random.Random, taken: Texts) -> str:
  for _ in range(TRIES):
    text = expand(rng.choice(templates), rules, rng)
    if not taken.has_near_copy(text):
      return text
  raise ValueError(f"no new text in {TRIES} tries from {len(templates)} templates")
