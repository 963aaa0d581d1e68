"""Files of rows in every format: their two columns, or one sentence that names file and row."""

import csv
import json
import os
import time

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wayjax.data import row_files
from wayjax.data.row_files import READERS
from wayjax.errors import WayjaxError

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_rows(path):
  """The columns `text` and `label` of a file."""
  texts, labels = zip(*row_files.read_rows(path, ("text", "label")))
  return list(texts), list(labels)


@pytest.fixture(params=READERS)
def path(tmp_path, request):
  """Where a file of each format may be."""
  return tmp_path / f"train{request.param}"


def write(path, names, rows):
  """A file of the format that its name tells, which none of the values may need quotes in."""
  if path.suffix == ".parquet":
    arrays = [pa.array(column, pa.string()) for column in zip(*rows)]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
  elif path.suffix == ".jsonl":
    path.write_text("".join(json.dumps(dict(zip(names, row))) + "\n" for row in rows))
  else:
    sep = SEPARATORS[path.suffix]
    path.write_text("".join(sep.join(cells) + "\n" for cells in [names, *rows]))


def refused(path, message):
  with pytest.raises(WayjaxError, match=f"{path.name}{message}") as error:
    read_rows(path)
  assert len(str(error.value)) < 1000
  path.unlink()


def test_the_two_columns_are_read_wherever_they_are(path):
  write(path, ["note", "label", "text"], [["x", "0", "a"], ["y", "1", "b"]])
  assert read_rows(path) == (["a", "b"], ["0", "1"])


@pytest.mark.parametrize("column", ["label", "text"])
def test_a_column_that_is_there_twice_is_refused(path, column):
  if path.suffix == ".jsonl":
    path.write_text(f'{{"text": "a", "label": 0, "{column}": "b"}}\n')
    refused(path, f", row 1: the name '{column}' occurs twice")
  else:
    write(path, ["text", "label", column], [["0", "0", "0"]])
    refused(path, f" has the column '{column}' twice")


def test_other_columns_may_be_there_twice(tmp_path):
  for suffix in (*SEPARATORS, ".parquet"):
    path = tmp_path / f"train{suffix}"
    write(path, ["note", "text", "label", "note"], [["1", "a", "0", "2"]])
    assert read_rows(path) == (["a"], ["0"])


def test_a_file_with_very_many_columns_takes_no_more_than_seconds(path):
  columns = 10_000 if path.suffix == ".parquet" else 100_000
  names = [f"column {i}" for i in range(columns)]
  write(path, [*names, "text", "label"], [[*("x" * columns), "a", "0"]] * 5)
  began = time.process_time()
  assert read_rows(path) == (["a"] * 5, ["0"] * 5)
  assert time.process_time() - began < 10
  write(path, names, [["x"] * columns])
  refused(path, " has the columns column 0, .*…; it needs 'text' and 'label'")


def test_a_text_of_a_million_characters_is_read(path):
  text = "a " * 500_000
  write(path, ["text", "label"], [[text, "0"]])
  assert read_rows(path) == ([text], ["0"])


def test_what_is_no_regular_file_is_refused_at_once(path):
  os.mkfifo(path)
  refused(path, " cannot be read: it is not a regular file")
  path.symlink_to("nowhere")
  refused(path, " cannot be read: No such file")
  path.mkdir()
  with pytest.raises(WayjaxError, match="Is a directory"):
    read_rows(path)


def test_what_holds_too_much_is_refused(path, monkeypatch):
  with path.open("wb") as file:
    file.truncate(2**40)
  refused(path, " cannot be read: it has more than 2,048 MiB")
  monkeypatch.setattr(row_files, "_MOST_CHARACTERS", 1000)
  monkeypatch.setattr(row_files, "_MOST_ROWS", 10)
  write(path, ["text", "label"], [["a" * 1001, "0"]])
  refused(path, ".* has more than 1,000 characters: shorten it")
  write(path, ["text", "label"], [["a", "0"]] * 11)
  refused(path, " has more than 10 rows or")
  if path.suffix == ".csv":
    path.write_text('text,label\n"' + "a\n" * 600 + '",0\n')
    refused(path, ", after row 0: a field has more than 1,000 characters: shorten it")


def test_parquet_that_holds_one_text_very_often_is_refused_on_the_way(tmp_path, monkeypatch):
  path = tmp_path / "train.parquet"
  write(path, ["text", "label"], [["a" * 1000, "0"]] * 5000)
  assert path.stat().st_size < 50_000
  monkeypatch.setattr(row_files, "_MOST_BYTES", 2**20)
  refused(path, " has more than 10,000,000 rows or 1 MiB of text")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_rows_of_another_encoding_are_refused_by_its_name(tmp_path, suffix):
  path = tmp_path / f"train{suffix}"
  for encoding, named in (("utf-16", "UTF-16"), ("latin-1", "not UTF-8 text")):
    path.write_text('{"text": "\xe9", "label": 0}\n', encoding=encoding)
    refused(path, f" cannot be read: it is {named}")


def test_texts_keep_characters_at_which_some_programs_end_lines(tmp_path):
  text = "a\u2028b\x85c\fd\ve\x1cf"
  for suffix in READERS:
    write(tmp_path / f"train{suffix}", ["text", "label"], [[text, "0"]])
    assert read_rows(tmp_path / f"train{suffix}") == ([text], ["0"])


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ('0,"never closed', "unexpected end of data; a quotation mark within"),
    ('0,"good" film', ".* a quotation mark within a quoted text is written twice"),
  ],
)
def test_a_quotation_mark_that_is_not_doubled_is_refused(tmp_path, row, message):
  path = tmp_path / "train.csv"
  path.write_text("\n".join(["label,text", "1,fine", row, "1,fine"]))
  refused(path, f" cannot be read after row 1: {message}")


def test_the_csv_modules_limit_is_as_before(tmp_path):
  before = csv.field_size_limit()
  write(tmp_path / "train.csv", ["text", "label"], [["a", "0"]])
  read_rows(tmp_path / "train.csv")
  assert csv.field_size_limit() == before


def test_parquet_labels_may_be_numbers_that_the_file_names(tmp_path):
  features = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["positive", "negative"])}
  )
  table = pa.table({"text": ["a", "b"], "label": [0, 1]}, schema=features.arrow_schema)
  pq.write_table(table, tmp_path / "train.parquet")
  assert read_rows(tmp_path / "train.parquet")[1] == ["positive", "negative"]
