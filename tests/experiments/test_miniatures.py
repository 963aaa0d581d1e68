"""The five miniature tasks: files are as the script writes them; no test row is in training."""

import collections
import csv
import random
import re

import numpy as np
import pytest

from experiments import miniatures
from experiments.miniatures import __main__ as script
from experiments.miniatures.copies import Texts
from experiments.miniatures.grammar import expand, parse
from experiments.miniatures.remarks import GUESSED, add_remark
from wayjax.data.examples import load_data
from wayjax.data.tasks import TASKS
from wayjax.demo import DATA

HIGHEST_SHARE = {"sst2": 0.53, "sst5": 0.26, "agnews": 0.28, "trec": 0.25, "subj": 0.53}
# What naive Bayes on a bag of words reaches: enough that words tell, never everything.
BAG_OF_WORDS = {
  "sst2": (0.75, 0.97),
  "sst5": (0.50, 0.85),
  "agnews": (0.75, 0.97),
  "trec": (0.70, 0.97),
  "subj": (0.75, 0.97),
}


def read(task: str, split: str) -> list[tuple[str, int]]:
  with (DATA / task / f"{split}.csv").open(encoding="utf-8", newline="") as file:
    return [(row["text"], int(row["label"])) for row in csv.DictReader(file)]


def test_the_committed_files_are_what_the_script_writes(tmp_path):
  script.write(tmp_path)
  written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv"))
  assert [str(path) for path in written] == sorted(
    f"{task}/{split}.csv" for task in TASKS for split in ("train", "test")
  )
  for path in written:
    content = (tmp_path / path).read_bytes()
    assert content == (DATA / path).read_bytes(), path
    content.decode("utf-8")
    assert b"\r" not in content
    assert content.endswith(b"\n")


@pytest.mark.parametrize("task", TASKS)
def test_wayjax_reads_them(task):
  data = load_data(TASKS[task], DATA)
  assert len(data.train) + len(data.dev) == 1200
  assert list(zip(data.evaluation.texts, data.evaluation.labels)) == read(task, "test")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("split", "count"), [("train", 1200), ("test", 400)])
def test_every_class_has_its_share(task, split, count):
  rows = read(task, split)
  classes = len(TASKS[task].label_words)
  of_class = collections.Counter(label for _, label in rows)
  assert len(rows) == count
  assert sorted(of_class) == list(range(classes))
  assert max(of_class.values()) <= HIGHEST_SHARE[task] * count
  assert min(of_class.values()) >= 0.5 * count / classes


@pytest.mark.parametrize("task", TASKS)
def test_no_row_is_a_near_copy_of_another(task):
  texts = Texts()
  for text, _ in read(task, "test") + read(task, "train"):
    assert not texts.has_near_copy(text), text
    texts.add(text)


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_short_and_carry_no_filled_template(task):
  filled = [text.strip().lower() for text in TASKS[task].fill()]
  for text, _ in read(task, "test") + read(task, "train"):
    assert text.isascii()
    assert text == " ".join(text.split())
    assert 3 <= len(text.split()) <= 100
    assert not re.search(r"[{}|]|\ba (?=[aei])", text), text
    assert not any(end in text.lower() for end in filled), text


@pytest.mark.parametrize("task", TASKS)
def test_a_bag_of_words_learns_it_but_not_all_of_it(task):
  train, test = read(task, "train"), read(task, "test")
  labels = np.array([label for _, label in test])
  accuracy = np.mean(naive_bayes(train, [text for text, _ in test]) == labels)
  lowest, highest = BAG_OF_WORDS[task]
  assert lowest <= accuracy <= highest
  assert accuracy > np.bincount(labels).max() / len(labels)


def naive_bayes(train: list[tuple[str, int]], texts: list[str]) -> np.ndarray:
  """Classes of texts, from how many of each class's training rows hold each of their words."""
  column = {}
  for text, _ in train:
    for word in text.split():
      column.setdefault(word, len(column))
  holders_CxW = np.ones((1 + max(label for _, label in train), len(column)))
  for text, label in train:
    holders_CxW[label, [column[word] for word in set(text.split())]] += 1
  log_CxW = np.log(holders_CxW / holders_CxW.sum(axis=1, keepdims=True))
  prior_C = np.log(np.bincount([label for _, label in train]))
  known = [[column[word] for word in set(text.split()) if word in column] for text in texts]
  return np.array([np.argmax(log_CxW[:, words].sum(axis=1) + prior_C) for words in known])


def test_sentences_avoid_the_test_rows_and_use_the_label_words():
  avoid = [text for task in TASKS for text, _ in read(task, "test")]
  made = list(miniatures.sentences(random.Random(0), 3000, avoid))
  assert made == list(miniatures.sentences(random.Random(0), 3000, avoid))
  assert len(made) == 3000
  assert len(set(made)) > 2500
  avoided = Texts(avoid)
  filled = [text.strip().lower() for task in TASKS.values() for text in task.fill()]
  for text in made:
    assert not any(avoided.has_near_copy(line) for line in text.splitlines()), text
    assert not any(end in text.lower() for end in filled), text
  words = {word.strip(".,:;") for text in made for word in text.split()}
  assert words >= {word for task in TASKS.values() for word in task.label_words}


def test_near_copies():
  texts = Texts(["the cat sat on the mat by the door in 1999 .", "Why ?"])
  assert texts.has_near_copy("The cat sat on the mat by the door in 2004 .")
  assert not texts.has_near_copy("the cat sat on a rug by the window in 1999 .")
  assert texts.has_near_copy("the cat sat on the mat by the door in 1999")
  assert texts.has_near_copy("why ?")
  assert not texts.has_near_copy("why not ?")


def test_grammar():
  rules = parse("animal: owl / cat\n  very\n    big dog\nplace: a {animal} 's {home|home}")
  assert rules == {"animal": ["owl", "cat", "very big dog"], "place": ["a {animal} 's {home|home}"]}
  rng = random.Random(0)
  assert {expand("{animal}", rules, rng) for _ in range(50)} == set(rules["animal"])
  assert expand("{place}", {**rules, "animal": ["owl"]}, rng) == "an owl 's home"
  for _ in range(20):
    first, again, other = expand("{^animal.1}/{animal.1}/{animal.2}", rules, rng).split("/")
    assert first == again[0].upper() + again[1:]
    assert other != again
    assert 10 <= int(expand("{10-12}", rules, rng)) <= 12


@pytest.mark.parametrize("task", TASKS)
def test_a_remark_is_true_under_a_careful_readers_heading_and_else_a_guess(task):
  words, rng = TASKS[task].label_words, random.Random(0)
  hits = {"careful": [], "careless": [], "none": []}
  careless = re.compile("|".join(way.replace("{pages}", r"\w+") for way in GUESSED))
  for i in range(3000):
    *heading, line = add_remark("~", task, words, i % len(words), rng).splitlines()
    (said,) = [word for word in words if re.search(rf"\b{word}\b", line)]
    kind = "none" if not heading else "careless" if careless.search(heading[0]) else "careful"
    hits[kind].append(said == words[i % len(words)])
  assert all(hits["careful"])
  assert len(hits["careful"]) == pytest.approx(1500, abs=150)
  for kind in ("careless", "none"):
    assert np.mean(hits[kind]) == pytest.approx(1 / len(words), abs=0.06)
