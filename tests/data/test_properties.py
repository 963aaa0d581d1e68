"""Properties of any file that a user gives: it yields a result, or an error of one sentence."""

import csv
import functools
import io
import json

import numpy as np
from forall import (
  ANY_TEXT,
  DEEP,
  EDITS,
  HEADER_EDITS,
  JSON,
  JSON_BYTES,
  damage,
  edit_header,
  forall,
  outcome,
  put,
)
from hypothesis import example
from hypothesis import strategies as st

from wayjax.data.encoding import encode
from wayjax.data.examples import Examples, load_data
from wayjax.data.targets import load_targets
from wayjax.data.tasks import TASKS, read_task_file
from wayjax.results.folder import read_run
from wayjax.results.rows import Row, from_json
from wayjax.results.writer import RunWriter

SST2 = TASKS["sst2"]


@forall(
  60,
  content=st.binary()
  | JSON_BYTES
  | st.text().map(str.encode)
  | st.dictionaries(ANY_TEXT, ANY_TEXT).map(lambda texts: json.dumps(texts).encode()),
)
@example(content=DEEP)
@example(content=b"[" * 100_000)
@example(content=b'{"\\ud800": "x"}')
@example(content=b'{"a\\nb": ""}')
@example(content=b'{"a": %s}' % (b"1" * 5000))
def test_a_targets_file_with_any_content(tmp_path, content):
  targets = outcome(load_targets, SST2, file=put(tmp_path / "file", content))
  for target in [] if targets is None else targets:
    assert target.text.strip()
    json.dumps(vars(target), ensure_ascii=False).encode()  # as results are written


@forall(20, texts=st.dictionaries(st.text(), st.text(min_size=1).filter(str.strip), min_size=1))
def test_targets_come_back_from_json_as_they_were(tmp_path, texts):
  path = put(tmp_path / "file", json.dumps(texts).encode())
  assert {target.name: target.text for target in load_targets(SST2, file=path)} == texts


def test_a_targets_file_with_many_names_is_read_quickly(tmp_path):
  texts = {str(i): "x" for i in range(100_000)}
  path = put(tmp_path / "file", json.dumps(texts).encode())
  assert len(outcome(load_targets, SST2, file=path)) == len(texts)


FIELDS = st.fixed_dictionaries(
  {
    "template": st.text().map("{}%s".format) | JSON,
    "label_words": st.lists(st.text(min_size=1), min_size=2, max_size=4) | JSON,
  },
  optional={
    "class_names": st.lists(st.text(min_size=1), min_size=2, max_size=4) | JSON,
    "name": st.text() | JSON,
    "max_length": st.integers() | JSON,
    "a\nb": JSON,
  },
)


def toml(fields) -> bytes:
  """Nearly valid TOML, since most JSON values are valid TOML values."""
  lines = (f"{json.dumps(k)} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in fields.items())
  return "".join(lines).encode(errors="replace")


@forall(
  60,
  content=st.binary()
  | st.text().map(str.encode)
  | FIELDS.map(toml)
  | st.tuples(FIELDS.map(toml), EDITS).map(lambda x: damage(*x)),
)
@example(content=b"a = " + b"[" * 10_000)
@example(content=b"max_length = " + b"9" * 5000)
@example(content=toml({"a\nb": 1}))
def test_a_task_file_with_any_content(lm, tmp_path, content):
  task = outcome(read_task_file, put(tmp_path / "any.toml", content))
  if task is not None:
    assert len(set(task.label_words)) == len(set(task.class_names)) == len(task.class_names) > 1
    assert task.template.count("%s") == 1
    outcome(encode, lm.tokenizer, task, Examples(("x",), (0,)))


def load(folder, suffix, content):
  """The data of a training file; a tenth of its rows becomes dev."""
  (folder / "sst2").mkdir(exist_ok=True)
  path = put(folder / "sst2" / f"train.{suffix}", content)
  data = outcome(load_data, SST2, folder, split="dev")
  path.unlink()
  if data is not None:
    for part in (data.train, data.dev):
      assert len(part)
      assert all(text.strip() and text.encode() for text in part.texts)
      assert set(part.labels) <= {0, 1}
    assert data.evaluation == data.dev
  return data


ROW = st.tuples(st.text(), st.sampled_from(["0", "1", " great", "negative", "2", "9" * 5000, ""]))
TABLE = st.tuples(
  st.sampled_from(["text{}label", "label{}text", "\ufefftext{}label", "text", "text{}text{}label"]),
  st.lists(ROW | st.lists(st.text(max_size=5), max_size=4), max_size=6),
)


def table(sep, drawn) -> bytes:
  """Rows under a header, without quoting."""
  header, rows = drawn
  return "\n".join([header.replace("{}", sep), *map(sep.join, rows)]).encode()


@forall(20, content=st.binary() | TABLE.map(functools.partial(table, ",")))
@example(content=b"text,label\n" + b"a,0\n" * 9 + b"b," + b"9" * 5000)
def test_a_csv_file_with_any_content(tmp_path, content):
  load(tmp_path, "csv", content)


@forall(20, content=st.binary() | TABLE.map(functools.partial(table, "\t")))
def test_a_tsv_file_with_any_content(tmp_path, content):
  load(tmp_path, "tsv", content)


OBJECT = st.fixed_dictionaries({"text": st.text() | JSON, "label": st.integers(0, 1) | JSON})
RECORDS = (st.lists(OBJECT, max_size=6) | st.lists(OBJECT | JSON, max_size=4)).map(
  lambda lines: "".join(json.dumps(line) + "\n" for line in lines).encode()
)


@forall(20, content=st.binary() | RECORDS | st.tuples(RECORDS, EDITS).map(lambda x: damage(*x)))
@example(content=DEEP)
@example(content=b'{"text": "\\ud800", "label": 0}\n' * 9)
@example(content=b"null")  # crashes pyarrow
def test_a_jsonl_file_with_any_content(tmp_path, content):
  load(tmp_path, "jsonl", content)


@forall(
  10,
  texts=st.lists(st.text().filter(str.strip), min_size=2, max_size=5),
  suffix=st.sampled_from(["csv", "jsonl"]),
)
def test_rows_come_back_as_they_were(tmp_path, texts, suffix):
  file = io.StringIO(newline="")
  if suffix == "csv":
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *((t, 1) for t in texts)])
  else:
    file.write("".join(json.dumps({"text": text, "label": 1}) + "\n" for text in texts))
  data = load(tmp_path, suffix, file.getvalue().encode())
  assert sorted(data.train.texts + data.dev.texts) == sorted(texts)


@forall(
  60,
  name=st.sampled_from(["config.json", "results.jsonl", "metrics.jsonl"]),
  content=st.binary() | JSON_BYTES | RECORDS | st.tuples(RECORDS, EDITS).map(lambda x: damage(*x)),
)
@example(name="config.json", content=b"[]")
@example(name="config.json", content=DEEP)
@example(name="results.jsonl", content=b"1\n")
@example(name="metrics.jsonl", content=DEEP + b"\n")
@example(name="results.jsonl", content=b"\xff\n")
def test_a_run_folder_with_any_content(tmp_path, name, content):
  put(tmp_path / "config.json", b"{}")
  put(tmp_path / name, content)
  run = outcome(read_run, tmp_path)
  (tmp_path / name).unlink()
  if run is not None:
    assert all(isinstance(record, dict) for record in [run.config, *run.rows, *run.metrics])


# A row's own fields may not be any text.
OTHER_NAMES = st.text().filter(lambda name: name not in Row.__dataclass_fields__)


@forall(
  30,
  rows=st.lists(st.dictionaries(OTHER_NAMES, st.text(), min_size=1), min_size=1, max_size=3),
  cut=st.integers(0, 500),
)
@example(rows=[{"a": "b"}, {"é": "é"}], cut=14)  # in the middle of the letter
def test_rows_before_a_cut_are_read(tmp_path, rows, cut):
  put(tmp_path / "config.json", b"{}")
  put(tmp_path / "results.jsonl", b"")
  RunWriter(tmp_path).append_rows(rows, {})
  whole = (tmp_path / "results.jsonl").read_bytes()
  left = put(tmp_path / "results.jsonl", whole[:cut]).read_bytes()
  assert read_run(tmp_path).rows == [from_json(row) for row in rows[: left.count(b"\n")]]


@forall(60, edits=EDITS | st.just([]), header=HEADER_EDITS | st.just([]))
@example(edits=[], header=[(0, "shape", [10**18])])
@example(edits=[], header=[(0, "shape", [0, 2**64 - 1]), (0, "data_offsets", [0, 0])])
@example(edits=[(0, 8, (2**63).to_bytes(8, "little"))], header=[])
@example(edits=[], header=[(0, "dtype", "I32")])
@example(edits=[], header=[(0, "shape", [6])])
def test_prompts_with_any_content(tmp_path, edits, header):
  put(tmp_path / "config.json", b"{}")
  path = tmp_path / "prompts-00000.safetensors"
  path.unlink(missing_ok=True)
  RunWriter(tmp_path).append_rows([], {"p": np.ones((2, 3), np.float32)})
  whole = path.read_bytes()
  put(path, damage(edit_header(whole, header), edits))
  run = read_run(tmp_path)
  for key in ("p", "q\n", "\ud800"):
    prompt = outcome(run.prompt, key)
    if prompt is not None:
      assert (prompt.vectors_PxD.dtype, prompt.vectors_PxD.ndim) == (np.float32, 2)
