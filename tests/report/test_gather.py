"""Run folders, read and merged: what is kept apart, and how settings are named."""

import json
import os

import pytest
from reports import EARLIER, held, read, row, write_run

from wayjax.config import MODEL_HASHES, options
from wayjax.errors import WayjaxError
from wayjax.options import SETTING, recorded_names
from wayjax.report import gather, tables
from wayjax.results import rows

PAIR = [row("a", gamma) for gamma in (0.0, 0.01)]


def test_a_setting_is_all_that_options_of_that_role_record():
  names = gather.setting_names()
  assert names == [
    *("model", "dataset", "split", "steps", "before", "after", "reply"),
    *("init", "lr", "precision", "projection", "certify_dtype", "certify_metrics"),
    *("batch_size", "prompt_tokens", "fool", "fool_weight"),
    *("template", "label_words", "answer", "max_length"),
    *("data_sha256", "model_sha256", "tokenizer_sha256", "weights_sha256"),
  ]
  for field in options(SETTING):
    assert set(recorded_names(field)) <= set(names)
  assert set(rows.field_names("setting")) <= set(names)


def test_what_was_resolved_comes_before_what_was_asked_for(tmp_path):
  resolved = {"parameters": 1, "majority": 0.5, "device": "", "versions": {}, "max_length": 100}
  task = {"template": "%s", "label_words": ["a", "b"], "max_length": 50}
  folder = write_run(tmp_path / "1", [row()], task=task, resolved=resolved, max_length=None)
  (found,) = read(folder)
  assert found.setting["max_length"] == 100
  assert found.setting["label_words"] == "a, b"
  assert found.setting["steps"] == 10
  assert found.setting["data_sha256"] is None


def test_a_row_that_lacks_something_is_named(tmp_path):
  damaged = row("a")
  del damaged["status"]
  with pytest.raises(WayjaxError, match=r"a row of .* is damaged: it lacks status"):
    read(write_run(tmp_path / "run", [damaged]))


def test_templates_are_settings(tmp_path):
  for i, template in enumerate(("It is %s.", "It is %s!")):
    task = {"template": template, "label_words": ["bad", "good"]}
    write_run(tmp_path / str(i), PAIR, task=task)
  found = read(str(tmp_path))
  assert gather.labels(found) == ["sst2, template It is %s.", "sst2, template It is %s!"]


def test_settings_that_differ_are_named_and_never_averaged(tmp_path):
  write_run(tmp_path / "1", PAIR)
  write_run(tmp_path / "2", [row("a", gamma, model="n") for gamma in (0.0, 0.01)])
  write_run(tmp_path / "3", PAIR, batch_size=4)
  found = read(str(tmp_path))
  assert gather.labels(found) == [
    "sst2, m, batch_size None", "sst2, n, batch_size None", "sst2, m, batch_size 4",
  ]  # fmt: skip
  for results, digest in zip(found, ("a", "b", "a"), strict=True):
    results.setting["model_sha256"] = digest
  assert gather.labels(found[:2]) == ["sst2, m", "sst2, n"]
  found[1].setting["model"] = "m"  # the same name, other weights
  assert gather.labels(found[:2]) == ["sst2, model_sha256 a", "sst2, model_sha256 b"]
  table = tables.main_results(found)
  assert [line[0] for line in table.lines] == gather.labels(found)
  assert gather.labels(found[:1]) == ["sst2"]


@pytest.mark.parametrize("name", rows.field_names("setting"))
def test_rows_that_differ_in_a_setting_are_kept_apart(tmp_path, name):
  other = "b" if isinstance(row().get(name, ""), str) else 7
  write_run(tmp_path / "1", PAIR)
  write_run(tmp_path / "2", [of | {name: other} for of in PAIR])
  assert [len(found.rows) for found in read(str(tmp_path))] == [2, 2]


def test_constraints_share_a_setting_but_are_never_averaged(tmp_path):
  write_run(tmp_path / "1", [row("a", 0.0, accuracy=0.8), row("a", 0.01, accuracy=0.6)])
  other = [held("ball", row("a", gamma, accuracy=0.4)) for gamma in (0.0, 0.01)]
  write_run(tmp_path / "2", other)
  (found,) = read(str(tmp_path))
  lines = [(line["constraint"], line["gamma"], line["accuracy"]) for line in found.lines]
  assert lines == [("c-dist", 0.01, 0.6), ("ball", 0.0, 0.4), ("ball", 0.01, 0.4)]
  assert {line["accuracy_0"] for line in found.lines} == {0.8}


def test_texts_of_the_command_line_share_their_names_but_not_their_numbers(tmp_path):
  for text in ("one", "another"):
    own = [
      row("text-1", gamma, group="text", target_text=text, accuracy=len(text) / 10)
      for gamma in (0.0, 0.01)
    ]
    write_run(tmp_path / text, own)
  (found,) = read(str(tmp_path), str(tmp_path / "one"))  # a folder that is named twice counts once
  assert {line["target"]: line["accuracy"] for line in found.lines} == {"one": 0.3, "another": 0.7}


def test_a_drop_compares_the_same_seeds(tmp_path):
  own = [row("a", 0.0, 1, 0.8), row("a", 0.0, 10, 0.2), row("a", 0.01, 1, 0.8)]
  (found,) = read(write_run(tmp_path / "run", own))
  assert [line["delta"] for line in found.lines] == [0.0]


def test_a_member_may_not_come_twice(tmp_path):
  for name in "ab":
    write_run(tmp_path / name, PAIR)
  with pytest.raises(WayjaxError, match=r"both hold ni/a/gamma=0\.0/seed=1: name parts of one"):
    read(str(tmp_path))


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    ("{", "is damaged"),
    ("[1]", "does not hold a measurement"),
    ('"command table"', "does not hold a measurement"),
    ('{"command": ""}', "does not hold a measurement"),
    ('{"table": {}}', "does not hold a measurement"),
    ('{"command": "", "tasks": [{}]}', "it lacks 'task'"),
    ('{"command": "", "tasks": 1}', "is damaged"),
    ('{"command": "", "edges": []}', "it lacks 'tokens'"),
    ("[" * 100_000, "is damaged"),
  ],
)
def test_a_damaged_measurement_is_named(tmp_path, content, problem):
  (tmp_path / "prop1_margins.measured.json").write_text(content)
  with pytest.raises(WayjaxError, match=r"prop1_margins\.measured\.json is damaged") as error:
    gather.find_measured([str(tmp_path)])
  assert problem in str(error.value)


def test_earlier_measurements_are_given_the_words_that_the_report_had_for_them(tmp_path):
  for name, content in EARLIER.items():
    (tmp_path / f"{name}.measured.json").write_text(json.dumps(content))
  found = gather.find_measured([str(tmp_path)])
  for name, content in found.items():
    assert content.items() >= EARLIER[name].items()
    assert gather._renewed(content) == content
  assert found["table1_tasks"]["table"]["lines"] == [
    ["sst2", "x", "It is ….", "bad, good", "6,000", "60", "6", "50.0"]
  ]
  assert found["prop1_margins"]["marks"] == {"5 %": 0.1, "50 %": 0.4}


@pytest.mark.parametrize("name", MODEL_HASHES)
def test_models_that_differ_in_any_hash_are_never_averaged(tmp_path, name):
  for digest in ("a", "b"):
    resolved = {"parameters": 1, "majority": 0.5, "device": "", "versions": {}, name: digest}
    write_run(tmp_path / digest, PAIR, resolved=resolved)
  assert gather.labels(read(str(tmp_path))) == [f"sst2, {name} a", f"sst2, {name} b"]


@pytest.mark.parametrize(
  ("make", "why"), [(os.mkfifo, "it is not a regular file"), (os.mkdir, "Is a directory")]
)
def test_a_measurement_that_is_no_file_is_named_at_once(tmp_path, make, why):
  make(tmp_path / "toy.measured.json")
  with pytest.raises(WayjaxError, match=rf"toy\.measured\.json cannot be read: {why}"):
    gather.find_measured([str(tmp_path)])
