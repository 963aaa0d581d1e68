"""What was read and measured, on disk as soon as it is there, and never done again."""

import json
from pathlib import Path
from typing import TypedDict

from wayjax.errors import in_one_sentence
from wayjax.results import schema
from wayjax.results.storage import open_files

_STEM = "readers_bench.readings"


class Behaviour(TypedDict):
  """What the text of a reading does in the prompt's place, on the same rows.

  Attributes:
    text: accuracy of the text.
    prompt: accuracy of the prompt.
    nothing: accuracy of no prompt.
    kl: KL(prompt || text) of the classes' probabilities, the mean over rows, nats; None where it is
      not a number.
    agreement: share of rows for which both predict the same.
  """

  text: float
  prompt: float
  nothing: float
  kl: float | None
  agreement: float


class Record(TypedDict, total=False):
  """What is known of one prompt and one reader; a line of the file holds a part of it.

  Attributes:
    key: of the prompt, the reader, and all that they depend on.
    dataset: the task.
    reader: the reader.
    text: what it says.
    texts: every text that it came up with.
    log_p: by task, the mean log-probability a token of its descriptions where the text begins.
    behaviour: what the text does; None for one that is too long for the model.
  """

  key: str
  dataset: str
  reader: str
  text: str
  texts: list[str]
  log_p: dict[str, float]
  behaviour: Behaviour | None


class Kept:
  """The records of a folder, of this process and of others.

  Args:
    out: the folder.
    shard: the part of the work that this process does, whose file is its own; None for all of it.

  Raises:
    WayjaxError: a file is damaged, or cannot be read or written.
  """

  def __init__(self, out: Path, shard: tuple[int, int] | None):
    self._files = open_files(out)
    self._name = _STEM + ("-{}-of-{}".format(*shard) if shard else "") + ".jsonl"
    self._records: dict[str, Record] = {}
    self._files.mend(self._name)
    for path in sorted(out.glob(f"{_STEM}*.jsonl")):
      with in_one_sentence(f"{path} cannot be read"):
        # After the last line end there may be a line that is being written.
        lines = path.read_bytes().split(b"\n")[:-1]
      for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        record = schema.need(schema.parse(line, Record, where), ["key"], where)
        if "text" in record:
          schema.need(record, ["texts", "reader"], where)
        if record.get("behaviour") is not None:
          schema.need(record["behaviour"], Behaviour.__annotations__, where)
        self._take(record)

  def __getitem__(self, key: str) -> Record:
    """What is known; empty where nothing is."""
    return self._records.get(key, {})

  def add(self, records: list[Record]) -> None:
    """Writes parts of records, each with its key."""
    if records:
      lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
      self._files.append(self._name, "".join(lines).encode())
    for record in records:
      self._take(record)

  def _take(self, record: Record) -> None:
    self._records[record["key"]] = self[record["key"]] | record
