"""Whatever stands in a run folder's files, it is used or refused in one sentence."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from forall import HEADER_EDITS, edit_header, forall, outcome
from hypothesis import strategies as st

from experiments import fig6_voronoi, needed_runs
from wayjax.command_line import parse_args
from wayjax.report import build, gather, write
from wayjax.results import summary
from wayjax.results.folder import read_run
from wayjax.run.request import read_request
from wayjax.tuning.decisions import Decision

OLD = Path(__file__).parent / "written_at_812ac64" / "finished"
FILES = ("config.json", "results.jsonl", "metrics.jsonl", "readings.jsonl", "decisions.json")
MEASURED = "toy.measured.json"
TABLE = {"name": "toy", "title": "Toy", "caption": "A toy.", "columns": ["a"], "lines": [["b"]]}
DELETED = object()
VALUES = (
  DELETED, None, True, -1, 0, 5, 10**12, 10**400, 0.5, -1e308, 1e300, "", "x", "a/b", "\ud800",
  "\x1b[31m\u202e", [], {}, [[]], [None], [0], [-1, 10**12], ["x"], {"x": 1}, [{}],
)  # fmt: skip


def content_of(name: str) -> list[dict]:
  """The records of a file, with what rows have had since that version."""
  if name == MEASURED:
    return [{"command": "python -m toy", "table": TABLE}]
  text = (OLD / name).read_text(encoding="utf-8")
  records = (
    [json.loads(text)] if name.endswith(".json") else list(map(json.loads, text.splitlines()))
  )
  if name == "results.jsonl":
    nearest = {"nearest": {"text": "a", "prompt_f1": 0.5, "prompt_f1_lemma": None}}
    records = [row | {"constraint": "c-dist", "readings": nearest} for row in records]
  if name == "config.json":
    records[0] |= {"constraint": ["c-dist"], "shard": [0, 1]}
  return records


def places(value, at: tuple = ()) -> Iterator[tuple]:
  """The way to everything in a record; of a list to its first item, for the others are alike."""
  items = value.items() if isinstance(value, dict) else list(enumerate(value))[:1]
  for key, item in items:
    yield (*at, key)
    if isinstance(item, dict | list):
      yield from places(item, (*at, key))


PLACES = [(name, at) for name in (*FILES, MEASURED) for at in places(content_of(name)[0])]


def tamper(folder: Path, name: str, at: tuple, value) -> None:
  """Replaces what is at a place of a file's first record."""
  records = copy.deepcopy(content_of(name))
  *way, last = at
  holder = records[0]
  for key in way:
    holder = holder[key]
  if value is DELETED:
    del holder[last]
  else:
    holder[last] = value
  text = "\n".join(map(json.dumps, records)) + "\n"
  (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path) -> Path:
  return make(tmp_path)


def make(parent: Path) -> Path:
  shutil.rmtree(parent / "runs", ignore_errors=True)
  folder = parent / "runs" / "000-sst2-model"
  folder.mkdir(parents=True)
  shutil.copy(OLD / "prompts.safetensors", folder)
  for name in FILES:
    text = "\n".join(map(json.dumps, content_of(name))) + "\n"
    (folder / name).write_text(text, encoding="utf-8")
  return folder


def report(folder: Path) -> str:
  measured, results = gather.find_measured([folder]), gather.merge(gather.find_runs([str(folder)]))
  for found in results:
    summary.to_markdown(found.rows, found.resolved["majority"])
  return write.write_report(build.make_report(results, measured), str(folder / "report"))


def use(folder: Path) -> list:
  """What becomes of everything that is done with a run folder: None where it is refused."""
  run = outcome(read_run, folder)
  done = [run, outcome(report, folder), outcome(read_request, {"resume": str(folder)})]
  if run:
    for key in (outcome(run.prompt_keys) or [])[:2]:
      done += [outcome(run.prompt, key), outcome(run.reading, key)]
    done += [outcome(Decision.from_json, stored) for stored in outcome(run.decisions) or [None]]
  config = json.loads((OLD / "config.json").read_text(encoding="utf-8"))
  given = ["--model", config["model"], "--dataset", "sst2"]
  sweep = needed_runs.Sweep(("sst2",), ("ni",))
  options = ["--steps", "60", "--data-dir", config["data_dir"], "--precision", "float32"]
  calls = outcome(
    needed_runs.calls, sweep, config["model"], folder.parent, options, demo=False, resume=True
  )
  return [*done, calls, outcome(fig6_voronoi._pair, parse_args(given), folder.parent)]


def test_an_untouched_folder_is_used(folder):
  tamper(folder, MEASURED, ("table", "title"), "A toy")
  assert None not in use(folder)[:-1]


@forall(100, place=st.sampled_from(PLACES), value=st.sampled_from(VALUES))
def test_a_tampered_folder_is_used_or_refused(tmp_path, place, value):
  folder = make(tmp_path)
  tamper(folder, *place, value)
  use(folder)


@forall(20, edits=HEADER_EDITS)
def test_tampered_prompts_are_used_or_refused(tmp_path, edits):
  folder = make(tmp_path)
  whole = (OLD / "prompts.safetensors").read_bytes()
  (folder / "prompts.safetensors").write_bytes(edit_header(whole, edits))
  use(folder)
