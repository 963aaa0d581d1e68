"""A task's rows, texts with labels or answers, from the Hugging Face Hub or a folder of files."""

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wayjax import demo, hub
from wayjax.config import options
from wayjax.data import row_files
from wayjax.data.tasks import Task
from wayjax.data.template import TEXT
from wayjax.errors import WayjaxError, reason, shortened
from wayjax.files import is_folder
from wayjax.options import check_value, require_kind
from wayjax.visible import is_unicode

TRAIN_SHARE = 0.9
DATA_SEED = 100  # the released code's; it decides which training rows become dev
_HUB_FILES = ["*.parquet", "*.jsonl", "*.json", "*.csv", "*.tsv", "README.md"]


@dataclasses.dataclass(frozen=True)
class Examples:
  """Rows in file order.

  Attributes:
    texts: of each row its text, or of a task that names its columns a tuple of theirs.
    labels: class numbers, or free-text answers.
  """

  texts: tuple[str | tuple[str, ...], ...]
  labels: tuple[int | str, ...]

  def __len__(self) -> int:
    return len(self.texts)

  def take(self, rows: Sequence[int]) -> "Examples":
    """The rows with these numbers, in this order."""
    return Examples(tuple(self.texts[i] for i in rows), tuple(self.labels[i] for i in rows))

  def drawn(self, count: int) -> "Examples":
    """So many rows, drawn from all and in file order: files are often sorted by class."""
    numbers = np.random.default_rng(0).permutation(len(self))[:count]
    return self.take(sorted(numbers.tolist()))

  def first(self, count: int | None) -> "Examples":
    """The first `count` rows, or all of them if it is None."""
    return self if count is None else self.take(range(min(count, len(self))))


@dataclasses.dataclass(frozen=True)
class TaskData:
  """A task's rows.

  Attributes:
    train: rows that prompts are tuned on.
    dev: rows for choices made while tuning.
    evaluation: rows that results are reported on: the test set, or dev.
    revision: the data set's commit on the Hub; None for files.
    sha256: hash of the texts and labels of all these rows, in order.
  """

  train: Examples
  dev: Examples
  evaluation: Examples
  revision: str | None
  sha256: str


def load_data(
  task: Task,
  data_dir: str | Path | None = None,
  *,
  split: str = "test",
  train_rows: int | None = None,
  eval_rows: int | None = None,
) -> TaskData:
  """Loads a task's rows.

  Args:
    task: the task.
    data_dir: a folder with `<task>/{train,test,dev}.{csv,tsv,jsonl,parquet}`, whose columns are
      those of the task, usually `text` and `label`; `demo` means the embedded miniatures, None the
      Hub. Without a dev file, a tenth of train becomes dev.
    split: the rows to report on, `test` or `dev`.
    train_rows: how many of the remaining training rows to use, from the first; None means all.
    eval_rows: the same for test and dev.

  Returns:
    The rows, in file order.

  Raises:
    WayjaxError: a wrong value, or rows that are missing or wrong; the message names the file, the
      row and the cause.
  """
  require_kind("task", task, Task, "what get_task returns")
  rules = {field.name: field for field in options()}
  split = check_value(rules["split"], split, "split")
  train_rows = check_value(rules["train_rows"], train_rows, "train_rows")
  eval_rows = check_value(rules["eval_rows"], eval_rows, "eval_rows")
  if data_dir is not None:
    folder = demo.DATA if data_dir == demo.NAME else Path(data_dir)
    read, revision = _folder_reader(task, folder), None
  elif task.hub is not None:
    read, revision = _hub_reader(task)
  else:
    raise WayjaxError(
      f"task '{task.name}' is your own: give --data-dir the folder that contains '{task.name}/' "
      "with its rows"
    )
  train, dev = read("train"), read("dev")
  if train is None:
    raise WayjaxError(f"no training rows: {_expected(task, data_dir, 'train')}")
  if dev is None:
    in_dev = dev_rows(train.labels if task.dev_within_class else [0] * len(train))
    everything = train
    train = everything.take([i for i in range(len(everything)) if i not in in_dev])
    dev = everything.take(sorted(in_dev))
  evaluation = dev if split == "dev" else read("test")
  if evaluation is None:
    raise WayjaxError(
      f"no test rows: {_expected(task, data_dir, 'test')}, or report on --split dev"
    )
  train, dev = train.first(train_rows), dev.first(eval_rows)
  evaluation = evaluation.first(eval_rows)
  for name, part in (("training", train), ("dev", dev), ("test", evaluation)):
    if not len(part):
      raise WayjaxError(f"task '{task.name}' has no {name} rows left: give it more data")
  return TaskData(train, dev, evaluation, revision, _hash(train, dev, evaluation))


def dev_rows(strata) -> set[int]:
  """Numbers of the training rows that become dev: the last tenth of a seeded shuffle.

  Args:
    strata: one value per row; the rows with the same value are shuffled and cut separately. The
      released code shuffles AGNews within its classes and every other task as a whole.

  Returns:
    Row numbers.
  """
  rng = np.random.RandomState(DATA_SEED)
  chosen = set()
  for value in dict.fromkeys(strata):
    rows = [i for i, other in enumerate(strata) if other == value]
    rng.shuffle(rows)
    chosen.update(rows[int(TRAIN_SHARE * len(rows)) :])
  return chosen


def _hash(*parts: Examples) -> str:
  digest = hashlib.sha256()
  for part in parts:
    digest.update(json.dumps([part.texts, part.labels]).encode())
  return digest.hexdigest()


def _expected(task: Task, data_dir, split: str) -> str:
  if data_dir is None:
    return f"'{task.hub.repo_id}' on the Hub has no such split"
  return f"expected {Path(data_dir) / task.name / split} as .csv, .tsv, .jsonl or .parquet"


def _folder_reader(task: Task, data_dir: Path):
  folder = data_dir / task.name
  if not is_folder(folder):
    raise WayjaxError(
      f"data folder {folder} does not exist: --data-dir is the folder that contains '{task.name}/'"
    )

  def read(split: str) -> Examples | None:
    paths = [folder / f"{split}{ext}" for ext in row_files.READERS]
    files = [path for path in paths if os.path.lexists(path)]
    if len(files) > 1:
      names = ", ".join(path.name for path in files)
      raise WayjaxError(f"{folder} contains {names}: keep one file for '{split}'")
    if not files:
      return None
    rows = row_files.read_rows(files[0], task.columns)
    return _to_examples(rows, task, str(files[0]), names_only=False)

  return read


def _hub_reader(task: Task):
  source = task.hub
  splits = {"train": "train", "test": source.test_split}

  def is_complete(folder: Path) -> bool:
    names = [path.name for path in folder.rglob("*") if path.suffix in row_files.READERS]
    return all(any(split in name for name in names) for split in splits.values())

  folder = hub.snapshot(source.repo_id, "dataset", None, _HUB_FILES, is_complete)

  def read(split: str) -> Examples | None:
    if split not in splits:
      return None
    where = f"{source.repo_id} ({splits[split]})"
    rows = _load_dataset(where, str(folder), splits[split])
    row_files.require_columns(rows.column_names, (source.text, source.label), where)
    classes = getattr(rows.features[source.label], "names", None)
    labels = [row_files.named(label, classes) for label in rows[source.label][:]]
    return _to_examples(zip(rows[source.text][:], labels), task, where, names_only=True)

  return read, folder.name


def _load_dataset(where: str, folder: str, split: str):
  import datasets  # imported here because it takes a second

  datasets.disable_progress_bars()
  try:
    # A fresh cache each time, so that rows come from the files as they are now.
    with tempfile.TemporaryDirectory() as cache:
      return datasets.load_dataset(folder, split=split, cache_dir=cache, keep_in_memory=True)
  except Exception as error:  # the readers raise whatever their parsers raise
    cause = reason(error.__cause__ or error)
    raise WayjaxError(f"{where} cannot be read: {cause}") from error


def _to_examples(rows: Iterable[tuple], task: Task, where: str, *, names_only: bool) -> Examples:
  texts, labels, known = [], [], _known_labels(task, names_only)
  names = [f"column '{name}'" if name != TEXT else name for name in task.layout.columns]
  for number, (*values, label) in enumerate(rows, start=1):
    row = f"{where}, row {number}"
    for name, text in zip(names, values, strict=True):
      _check_text(text, f"{row}: the {name}")
    texts.append(values[0] if task.is_plain else tuple(values))
    labels.append(_class(label, known, row) if task.answer is None else _answer(label, task, row))
  return Examples(tuple(texts), tuple(labels))


def _check_text(text, what: str) -> None:
  if text is not None and not isinstance(text, str):
    raise WayjaxError(f"{what} is {shortened(repr(text))}, which is not a string")
  if not (text or "").strip():
    raise WayjaxError(f"{what} is empty")
  if not is_unicode(text):
    raise WayjaxError(f"{what} is not valid Unicode")


def _answer(value, task: Task, row: str) -> str:
  """A free-text answer; JSON and Parquet may hold a number."""
  is_finite = isinstance(value, float) and math.isfinite(value)  # NaN is what tables lack
  is_a_number = is_finite or (isinstance(value, int) and not isinstance(value, bool))
  text = str(value) if is_a_number else value
  _check_text(text, f"{row}: the answer '{task.answer}'")
  return text.strip()


def _class(label, known: dict[str, int], row: str) -> int:
  if label is None:
    raise WayjaxError(f"{row}: the label is missing")
  name = str(label).strip()
  found = known.get(name, known.get(name.lstrip("0") or "0") if _is_number(name) else None)
  if found is None:
    raise WayjaxError(
      f"{row}: unknown label {shortened(repr(label))}; the accepted labels are "
      + shortened(", ".join(_in_short(known)))
    )
  return found


def _known_labels(task: Task, names_only: bool) -> dict[str, int]:
  """The class numbers of the labels that rows may have; where names and words meet, names win."""
  known = {}
  for words in (task.class_names,) if names_only else (task.label_words, task.class_names):
    # Label words often begin with the space that stands before them in the template.
    known |= {word.strip(): number for number, word in enumerate(words)}
  # Where a class is called by a number, a number is a name and does not count from 0.
  if names_only or any(map(_is_number, known)):
    return known
  return {str(number): number for number in range(len(task.label_words))} | known


def _in_short(known: dict[str, int]) -> list[str]:
  """Labels for a sentence, numbers that count classes as a range."""
  words = [label for label in known if not _is_number(label)]
  return (
    [f"0 to {len(known) - len(words) - 1}", *words] if 0 < len(words) < len(known) else [*known]
  )


def _is_number(label: str) -> bool:
  return label.isascii() and label.isdigit()
