"""Rows from folders and from the Hub's cache, and errors that name file, row and cause."""

import json
import math

import disks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from wayjax.data.examples import dev_rows, load_data
from wayjax.data.tasks import TASKS, Task
from wayjax.errors import WayjaxError

SST2, TREC = TASKS["sst2"], TASKS["trec"]


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "sst2").mkdir()
  return tmp_path


def write(folder, split, lines, name="sst2", suffix="csv"):
  (folder / name).mkdir(exist_ok=True)
  path = folder / name / f"{split}.{suffix}"
  path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
  return path


def write_splits(folder, **splits):
  for split, rows in splits.items():
    write(folder, split, ["text,label", *rows])


def test_labels_may_be_numbers_label_words_or_class_names(folder):
  train = ["a,0", "b,terrible", "c,negative", "d,1", "e, great ", "f,positive"]
  write_splits(folder, train=train, test=["x,1"], dev=["y,0"])
  data = load_data(SST2, folder)
  assert data.train.texts == tuple("abcdef")
  assert data.train.labels == (0, 0, 0, 1, 1, 1)
  assert data.evaluation.labels == (1,)
  assert data.dev.texts == ("y",)
  assert data.revision is None


def test_texts_are_read_unchanged(folder):
  texts = ["null", "NA", "nan", "007", "1e5", ' "quoted, with comma" ', "two\nlines", "é ☃"]
  quoted = ['"' + text.replace('"', '""') + '",1' for text in texts]
  write_splits(folder, train=quoted, test=["12,1"], dev=["13,0"])
  data = load_data(SST2, folder)
  assert data.train.texts == tuple(texts)
  assert data.evaluation.texts == ("12",)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(folder, suffix):
  rows = [("first, text", 0), ("second", 1)]
  for split in ("train", "dev", "test"):
    path = folder / "sst2" / f"{split}.{suffix}"
    if suffix == "parquet":
      texts, labels = zip(*rows)
      pq.write_table(pa.table({"text": texts, "label": labels}), path)
    elif suffix == "jsonl":
      path.write_text("".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in rows))
    else:
      sep = {"csv": ",", "tsv": "\t"}[suffix]
      quote = {"csv": '"', "tsv": ""}[suffix]
      lines = [f"{c}{sep}{quote}{t}{quote}\n" for t, c in rows]
      path.write_text(f"label{sep}text\n" + "".join(lines))
  data = load_data(SST2, folder)
  assert data.train.texts == ("first, text", "second")
  assert data.train.labels == (0, 1)


def test_a_tenth_of_train_becomes_dev_where_there_is_no_dev_file(folder):
  write_splits(folder, train=[f"text {i},{i % 2}" for i in range(50)], test=["x,0"])
  data = load_data(SST2, folder)
  assert (len(data.train), len(data.dev)) == (45, 5)
  assert set(data.train.texts).isdisjoint(data.dev.texts)
  numbers = [int(text.split()[1]) for text in data.train.texts]
  assert numbers == sorted(numbers)  # file order
  assert load_data(SST2, folder, split="dev").evaluation == data.dev
  write_splits(folder, dev=["y,0"])
  assert len(load_data(SST2, folder).train) == 50


def test_dev_is_the_released_codes():
  # NumPy's legacy generator, seeded with 100: shuffle, then the last tenth.
  order = list(range(40))
  np.random.RandomState(100).shuffle(order)
  assert dev_rows([0] * 40) == set(order[36:])


def test_dev_is_taken_within_classes_for_agnews(folder):
  labels = [i % 4 for i in range(80)]
  chosen = dev_rows(labels)
  assert [sum(labels[i] == c for i in chosen) for c in range(4)] == [2, 2, 2, 2]
  write(folder, "train", ["text,label", *(f"t{i},{c}" for i, c in enumerate(labels))], "agnews")
  write(folder, "test", ["text,label", "x,3"], "agnews")
  data = load_data(TASKS["agnews"], folder)
  assert sorted(data.dev.labels) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_only_the_first_rows_that_remain(folder):
  write_splits(folder, train=[f"{i},1" for i in range(30)], test=[f"x{i},0" for i in range(9)])
  everything = load_data(SST2, folder)
  data = load_data(SST2, folder, train_rows=7, eval_rows=4)
  assert data.train.texts == everything.train.texts[:7]
  assert data.evaluation.texts == ("x0", "x1", "x2", "x3")
  assert len(data.dev) == 3
  assert len(load_data(SST2, folder, train_rows=1000).train) == 27


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"split": "validation"}, "split must be one of test, dev, not 'validation'"),
    ({"split": None}, "split must be one of test, dev, not None"),
    ({"train_rows": -1}, "train_rows must be a whole number of at least 1, not -1"),
    ({"eval_rows": 1.5}, "eval_rows must be a whole number of at least 1, not 1.5"),
    ({"eval_rows": "5"}, "eval_rows must be a whole number of at least 1, not 5"),
    ({"task": "sst2"}, "task must be what get_task returns, not a value of type str"),
  ],
)
def test_wrong_values_are_refused_and_not_taken_for_others(folder, changed, message):
  """Any other split was taken for `test`."""
  write_splits(folder, train=["a,0"] * 20, test=["b,1"])
  with pytest.raises(WayjaxError, match=message):
    load_data(**{"task": SST2, "data_dir": folder, **changed})


def test_the_hash_tells_rows_apart(folder):
  write_splits(folder, train=["a,0", "b,1"], test=["x,0"], dev=["y,1"])
  first = load_data(SST2, folder).sha256
  assert load_data(SST2, folder).sha256 == first
  write_splits(folder, test=["x,1"])
  assert load_data(SST2, folder).sha256 != first


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (["text,label", "a,0", " ,1"], r"train.csv, row 2: the text is empty"),
    (["text,label", "a,0", "b,2"], r"unknown label '2'; the accepted labels are 0 to 1, terr"),
    (["text,label", "a,"], r"row 1: unknown label ''"),
    (["text,label", "a,-1"], r"row 1: unknown label '-1'"),
    (["text,label", "a,Great"], r"row 1: unknown label 'Great'"),
    (["sentence,label", "a,0"], r"has the columns sentence, label; it needs 'text' and 'label'"),
    (["text,label", "a,0", "a,0,1,2"], r"row 2: 4 fields, but the header has 2; quote any text"),
    (["text,label", "the plot, a mess,0", "fun, really,1"], r"train.csv, row 1: 3 fields"),
    (["text,label"], r"it has no rows"),
  ],
)
def test_bad_rows_are_named(folder, rows, message):
  write_splits(folder, test=["x,0"], dev=["y,0"])
  write(folder, "train", rows)
  with pytest.raises(WayjaxError, match=message):
    load_data(SST2, folder)


_OBJECT = '{"text": "a", "label": 0}'


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    (['{"text": 123, "label": 0}'], r"row 1: the text is 123, which is not a string"),
    ([_OBJECT, '{"label": 1}'], r"train.jsonl, row 2: the text is empty"),
    ([_OBJECT, "null"], r"train.jsonl, row 2: not a JSON object, as every line must be"),
    ([_OBJECT, _OBJECT[:-1]], r"train.jsonl, row 2: not a JSON object, as every line must be"),
    ([_OBJECT, '{"text": "a", "label": null}'], r"train.jsonl, row 2: the label is missing"),
    (['{"text": "a", "label": ' + "9" * 5000 + "}"], r"row 1: a number has more than 4,000 digits"),
    ([_OBJECT, '{"text": "a"}'], r"train.jsonl, row 2: the label is missing"),
    ([_OBJECT, '{"text": "a", "label": 0, "label": 1}'], r"row 2: the name 'label' occurs twice"),
    ([_OBJECT, '{"text": "\\ud800", "label": 0}'], r"row 2: the text is not valid Unicode"),
    (['{"sentence": "a", "label": 0}'], r"has the columns sentence, label; it needs 'text'"),
  ],
)
def test_bad_objects_are_named(folder, lines, message):
  write_splits(folder, test=["x,0"], dev=["y,0"])
  write(folder, "train", lines, suffix="jsonl")
  with pytest.raises(WayjaxError, match=message):
    load_data(SST2, folder)


NONE = Task("mine", "%s", ("None", "Some"), ("None", "Some"))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_missing_label_is_not_the_class_named_none(tmp_path, suffix):
  folder = tmp_path / "mine"
  folder.mkdir()
  rows = [("a", "Some"), ("b", None)]
  if suffix == "parquet":
    texts, labels = zip(*rows)
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "train.parquet")
  else:
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    (folder / "train.jsonl").write_text("".join(lines))
  with pytest.raises(WayjaxError, match=rf"train.{suffix}, row 2: the label is missing"):
    load_data(NONE, tmp_path, split="dev")


def test_label_words_are_known_with_and_without_their_leading_space(tmp_path):
  task = Task("mine", "It is%s", (" bad", " good"), (" n", "p "))
  rows = ["text,label", "a,good", "b, good", 'c," good "', "d,bad", "e,n", "f, p", "g,1"]
  for split in ("train", "dev", "test"):
    write(tmp_path, split, rows, "mine")
  assert load_data(task, tmp_path).train.labels == (1, 1, 1, 0, 0, 1, 1)


def test_where_a_class_is_called_by_a_number_numbers_do_not_count_classes(tmp_path):
  stars = Task("mine", "%s stars", ("1", "2", "3"), ("1", "2", "3"))
  for split in ("train", "dev", "test"):
    write(tmp_path, split, ["text,label", "a,1", "b,3"], "mine")
  assert load_data(stars, tmp_path).train.labels == (0, 2)
  write(tmp_path, "train", ["text,label", "a,0"], "mine")
  with pytest.raises(WayjaxError, match=r"unknown label '0'; the accepted labels are 1, 2, 3"):
    load_data(stars, tmp_path)


def test_quotes_in_tsv_are_part_of_the_text(folder):
  write_splits(folder, test=["x,0"], dev=["y,0"])
  write(folder, "train", ["text\tlabel", '"good" film\t1', '"open\t0', 'end"\t1'], suffix="tsv")
  assert load_data(SST2, folder).train.texts == ('"good" film', '"open', 'end"')


def test_a_folder_name_may_contain_brackets(folder):
  folder = folder / "a[1]*"
  folder.mkdir()
  write_splits(folder, train=["a,0"], test=["x,0"], dev=["y,0"])
  assert load_data(SST2, folder).train.texts == ("a",)


def test_damaged_files_are_named(folder):
  write_splits(folder, test=["x,0"])
  (folder / "sst2" / "train.parquet").write_bytes(b"not parquet")
  with pytest.raises(WayjaxError, match=r"train.parquet cannot be read"):
    load_data(SST2, folder)


def test_a_folder_that_may_not_be_read_is_not_called_missing(folder):
  refusal = pytest.raises(WayjaxError, match="sst2 cannot be read: Permission denied")
  with disks.mode(folder, 0), disks.as_nobody(), refusal:
    load_data(SST2, folder)


def test_missing_folders_and_files(folder, tmp_path):
  with pytest.raises(WayjaxError, match=r"no training rows: expected .*train as .csv"):
    load_data(SST2, folder)
  with pytest.raises(WayjaxError, match=r"trec does not exist: --data-dir is the folder that"):
    load_data(TREC, folder)
  write_splits(folder, train=["a,0", "b,1"] * 10)
  with pytest.raises(WayjaxError, match=r"no test rows: .* or report on --split dev"):
    load_data(SST2, folder)
  assert len(load_data(SST2, folder, split="dev").evaluation) == 2
  write(folder, "train", ["text\tlabel"], suffix="tsv")
  with pytest.raises(WayjaxError, match=r"train.csv, train.tsv: keep one file"):
    load_data(SST2, folder)


def test_your_own_task_needs_a_folder():
  with pytest.raises(WayjaxError, match="task 'mine' is your own"):
    load_data(Task("mine", "%s", ("a", "b"), ("a", "b")))


def test_hub_labels_are_mapped_by_name(hub_cache):
  # In this repository 0 is objective; in the paper's files 0 is subjective.
  repo = tiny.cached_repo(hub_cache, "dataset", "SetFit/subj")
  for split in ("train", "test"):
    rows = [
      {"text": f"{name} {i}", "label": number, "label_text": name}
      for i in range(10)
      for number, name in enumerate(("objective", "subjective"))
    ]
    (repo / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  data = load_data(TASKS["subj"])
  assert data.revision == tiny.COMMIT
  assert len(data.train) == 18
  for text, label in zip(data.train.texts, data.train.labels):
    assert text.startswith(("subjective", "objective")[label])


def test_hub_class_labels_are_mapped_by_name_and_sst2_is_tested_on_validation(hub_cache):
  repo = tiny.cached_repo(hub_cache, "dataset", "stanfordnlp/sst2")
  (repo / "data").mkdir()
  (repo / "README.md").write_text(_CARD)
  for split, labels in (("train", [1, 0] * 10), ("validation", [0, 0, 1]), ("test", [-1])):
    table = pa.table({"sentence": [f"{split} {i}" for i in range(len(labels))], "label": labels})
    pq.write_table(table, repo / "data" / f"{split}-00000-of-00001.parquet")
  data = load_data(SST2)
  # The card names the classes in the opposite order to the paper.
  assert data.evaluation.texts == ("validation 0", "validation 1", "validation 2")
  assert data.evaluation.labels == (1, 1, 0)


_CARD = """---
dataset_info:
  features:
  - name: sentence
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': positive
          '1': negative
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
  - split: test
    path: data/test-*
---
"""


@pytest.mark.parametrize(
  ("name", "train", "dev", "test"),
  [
    ("sst2", 6228, 692, 1821),
    ("sst5", 7689, 855, 2210),
    ("trec", 4906, 546, 500),
    ("subj", 7200, 800, 2000),
    ("agnews", 5398, 602, 1600),
  ],
)
def test_real_files(shared, name, train, dev, test):
  data = load_data(TASKS[name], shared / "data")
  assert (len(data.train), len(data.dev), len(data.evaluation)) == (train, dev, test)
  assert set(data.train.labels) == set(range(len(TASKS[name].label_words)))


NLI = Task("nli", "{premise} ? {hypothesis} {label}", ("yes", "no"), ("entails", "not"))
QA = Task("qa", "{question} A: {gold}", (), (), answer="gold")


def write_rows(folder, task, suffix, names, rows):
  """The same rows as every split."""
  for split in ("train", "dev", "test"):
    if suffix == "jsonl":
      write(folder, split, [json.dumps(dict(zip(names, row))) for row in rows], task, suffix)
    elif suffix == "parquet":
      (folder / task).mkdir(exist_ok=True)
      table = pa.table(dict(zip(names, map(list, zip(*rows)))))
      pq.write_table(table, folder / task / f"{split}.parquet")
    else:
      sep = {"csv": ",", "tsv": "\t"}[suffix]
      lines = [sep.join(map(str, row)) for row in [names, *rows]]
      write(folder, split, lines, task, suffix)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_task_reads_the_columns_that_its_template_names(folder, suffix):
  names = ["hypothesis", "other", "label", "premise"]
  write_rows(folder, "nli", suffix, names, [("b1", "o", "yes", "a1"), ("b2", "o", "not", "a2")])
  data = load_data(NLI, folder)
  assert data.train.texts == (("a1", "b1"), ("a2", "b2"))
  assert data.train.labels == (0, 1)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_answers_are_texts(folder, suffix):
  names, rows = ["question", "gold"], [("one?", " 1 "), ("why?", "a cause")]
  write_rows(folder, "qa", suffix, names, rows)
  data = load_data(QA, folder)
  assert data.train.texts == (("one?",), ("why?",))
  assert data.train.labels == ("1", "a cause")


def test_answers_may_be_numbers(folder):
  write_rows(folder, "qa", "jsonl", ["question", "gold"], [("one?", 1), ("half?", 0.5)])
  assert load_data(QA, folder).train.labels == ("1", "0.5")


@pytest.mark.parametrize(
  ("task", "row", "message"),
  [
    (
      NLI,
      {"premise": "a", "label": 0},
      "the columns premise, label; it needs 'premise', 'hypo",
    ),
    (
      NLI,
      {"premise": "a", "hypothesis": " ", "label": 0},
      "1: the column 'hypothesis' is empty",
    ),
    (NLI, {"premise": 3, "hypothesis": "b", "label": 0}, "the column 'premise' is 3, which is not"),
    (
      NLI,
      {"premise": "a", "hypothesis": "\ud800", "label": 0},
      "'hypothesis' is not valid",
    ),
    (NLI, {"premise": "a", "hypothesis": "b", "label": "perhaps"}, "unknown label 'perhaps'"),
    (QA, {"question": "a"}, "has the columns question; it needs 'question' and 'gold'"),
    (QA, {"question": "a", "gold": " "}, "row 1: the answer 'gold' is empty"),
    (QA, {"question": "a", "gold": None}, "row 1: the answer 'gold' is empty"),
    (QA, {"question": "a", "gold": True}, "row 1: the answer 'gold' is True, which is not"),
    (QA, {"question": "a", "gold": math.nan}, "row 1: the answer 'gold' is nan, which is not"),
    (QA, {"question": "a", "gold": math.inf}, "row 1: the answer 'gold' is inf, which is not"),
    (QA, {"question": "a", "gold": ["x"]}, "row 1: the answer 'gold' is .*, which is not a string"),
  ],
)
def test_rows_that_lack_a_column_or_an_answer_are_named(folder, task, row, message):
  write(folder, "train", [json.dumps(row)], task.name, "jsonl")
  with pytest.raises(WayjaxError, match=f"train.jsonl.*{message}"):
    load_data(task, folder)
