"""Columns of one file of rows: CSV, TSV, JSON Lines or Parquet."""

import contextlib
import csv
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from wayjax.errors import WayjaxError, reason, shortened
from wayjax.files import MIB, open_regular, open_text, parse_json

_MOST_BYTES = 2048 * MIB
_MOST_ROWS = 10_000_000
_MOST_CHARACTERS = 10_000_000  # of a line, a field or a text; a tokenizer takes ten seconds for it
_CLASSES = b"huggingface"  # where a Parquet file says what its class numbers stand for


def read_rows(path: Path, columns: tuple[str, ...]) -> list[tuple]:
  """Some columns of a file; others are skipped.

  Args:
    path: a file with one of the suffixes of `READERS`.
    columns: their names; the last may be of classes.

  Returns:
    Rows in file order: strings, or whatever JSON and Parquet hold.

  Raises:
    WayjaxError: it cannot be read, lacks a column or has it twice, or holds too much.
  """
  rows, characters = [], 0
  for row in READERS[path.suffix](path, columns):
    for text in row:
      length = len(text) if isinstance(text, str) else 0
      characters += length
      if length > _MOST_CHARACTERS:
        raise _too_long(f"{path}, row {len(rows) + 1}: a text")
    # Parquet can hold one text a million times in a few bytes.
    _require_few(path, len(rows) + 1, characters)
    rows.append(row)
  if not rows:
    raise WayjaxError(f"{path} cannot be read: it has no rows")
  return rows


def _require_few(path: Path, rows: int, characters: int = 0) -> None:
  if rows > _MOST_ROWS or characters > _MOST_BYTES:
    raise WayjaxError(
      f"{path} has more than {_MOST_ROWS:,} rows or {_MOST_BYTES // MIB:,} MiB of text: keep fewer "
      "of them"
    )


def require_columns(names: list[str], columns: tuple[str, ...], where: str) -> None:
  """Raises WayjaxError unless a table's columns include these, each once."""
  *others, last = (f"'{column}'" for column in columns)
  needed = f"{', '.join(others)} and {last}" if others else last
  for column in columns:
    if names.count(column) > 1:
      raise WayjaxError(f"{where} has the column '{column}' twice: keep one")
    if column not in names:
      raise WayjaxError(f"{where} has the columns {shortened(', '.join(names))}; it needs {needed}")


def _separated(path: Path, columns: tuple[str, ...], sep: str, quoting: int) -> Iterator[tuple]:
  with open_text(path, _MOST_BYTES, newline="") as file, _long_fields():
    # Unless it is strict, a quotation that nothing closes is all the rest, without a word.
    lines = csv.reader(_lines(file, path), delimiter=sep, quoting=quoting, strict=True)
    header, places, number = [], [], 0
    try:
      for number, row in enumerate(filter(None, lines)):
        if not number:
          require_columns(row, columns, str(path))
          header, places = row, [row.index(column) for column in columns]
        elif len(row) == len(header):
          yield tuple(row[place] for place in places)
        else:
          raise WayjaxError(
            f"{path}, row {number}: {len(row)} fields, but the header has {len(header)}"
            + ("; quote any text that contains a comma" if sep == "," else "")
          )
    except csv.Error as error:
      if "limit" in str(error):
        raise _too_long(f"{path}, after row {number}: a field") from error
      raise WayjaxError(
        f"{path} cannot be read after row {number}: {reason(error)}; a quotation mark within a "
        "quoted text is written twice"
      ) from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
  while line := file.readline(_MOST_CHARACTERS + 1):
    if len(line) > _MOST_CHARACTERS:
      raise _too_long(f"{path}: a line")
    yield line


def _too_long(what: str) -> WayjaxError:
  return WayjaxError(f"{what} has more than {_MOST_CHARACTERS:,} characters: shorten it")


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
  """Lets the csv module read long fields; its limit is one of the whole process."""
  before = csv.field_size_limit(_MOST_CHARACTERS)
  try:
    yield
  finally:
    csv.field_size_limit(before)


def _jsonl(path: Path, columns: tuple[str, ...]) -> Iterator[tuple]:
  with open_text(path, _MOST_BYTES) as file:
    for number, line in enumerate(filter(str.strip, _lines(file, path)), start=1):
      try:
        row = parse_json(line)
      except (json.JSONDecodeError, RecursionError):
        row = None
      except ValueError as error:  # a name that occurs twice, or a number too long
        raise WayjaxError(f"{path}, row {number}: {reason(error)}") from error
      if not isinstance(row, dict):
        raise WayjaxError(f"{path}, row {number}: not a JSON object, as every line must be")
      if number == 1:
        require_columns(list(row), columns, str(path))
      yield tuple(map(row.get, columns))


def _parquet(path: Path, columns: tuple[str, ...]) -> Iterator[tuple]:
  from pyarrow import parquet  # imported here because it takes half a second

  with open_regular(path, _MOST_BYTES) as file:
    try:
      table = parquet.ParquetFile(file)
      _require_few(path, table.metadata.num_rows)
      schema = table.schema_arrow
      require_columns(schema.names, columns, str(path))
      classes = _class_names(schema, columns[-1])
      for batch in table.iter_batches(batch_size=1024, columns=list(columns)):
        values = (batch.column(name).to_pylist() for name in columns)
        yield from ((*row[:-1], named(row[-1], classes)) for row in zip(*values, strict=True))
    except WayjaxError:
      raise
    except Exception as error:  # the reader raises whatever its parsers raise
      raise WayjaxError(f"{path} cannot be read: {reason(error)}") from error


def _class_names(schema, column: str) -> list[str] | None:
  """What the class numbers of a Parquet file stand for, where it says so."""
  if _CLASSES not in (schema.metadata or {}):
    return None
  from datasets import Features  # imported here because it takes a second

  return getattr(Features.from_arrow_schema(schema)[column], "names", None)


def named(label, classes: list[str] | None):
  """A label, or what its number stands for."""
  is_number = isinstance(label, int) and not isinstance(label, bool)
  return classes[label] if classes and is_number and 0 <= label < len(classes) else label


# By the suffix of their names, what reads columns of files.
READERS: dict[str, Callable[[Path, tuple[str, ...]], Iterator[tuple]]] = {
  ".csv": functools.partial(_separated, sep=",", quoting=csv.QUOTE_MINIMAL),
  ".tsv": functools.partial(_separated, sep="\t", quoting=csv.QUOTE_NONE),
  ".jsonl": _jsonl,
  ".parquet": _parquet,
}
