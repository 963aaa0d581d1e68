"""The run folder: written safely, readable at any time."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.results.folder import read_run
from wayjax.results.rows import from_json
from wayjax.results.writer import RunWriter


@pytest.fixture
def writer(tmp_path):
  writer = RunWriter.begin(tmp_path / "run")
  writer.write_config({"steps": 3})
  return writer


def test_what_is_written_is_read_back(writer, rng):
  prompts = {f"g/t/seed={i}": rng.normal(size=(i + 1, 4)).astype(np.float32) for i in range(3)}
  keys = list(prompts)
  writer.append_rows([{"prompt_key": keys[0], "text": "a\u2028b\né"}], {keys[0]: prompts[keys[0]]})
  writer.append_metrics([{"step": 1}, {"step": 2}])
  first = read_run(writer.path)
  assert first.rows == [from_json({"prompt_key": keys[0], "text": "a\u2028b\né"})]
  np.testing.assert_array_equal(first.prompt(keys[0]).vectors_PxD, prompts[keys[0]])

  writer.append_rows([{"prompt_key": key} for key in keys[1:]], {k: prompts[k] for k in keys[1:]})
  run = read_run(str(writer.path))
  assert run.config == {"steps": 3}
  assert [row["prompt_key"] for row in run.rows] == keys
  assert run.metrics == [{"step": 1}, {"step": 2}]
  for key, prompt in prompts.items():
    stored_PxD = run.prompt(key).vectors_PxD
    assert stored_PxD.dtype == np.float32
    np.testing.assert_array_equal(stored_PxD, prompt)
  with pytest.raises(WayjaxError, match="has no prompt 'other'"):
    run.prompt("other")
  assert not list(writer.path.glob("*.partial"))


def test_a_prompt_knows_its_model_its_text_and_where_it_is_from(writer):
  resolved = {"targets": ["ni/a/b", "text/t"], "target_texts": ["the one", "the other"]}
  writer.write_config({"model": "tiny", "resolved": resolved})
  keys = ("ni/a/b/gamma=0.01/seed=1", "text/t/gamma=0/seed=1/constraint=ball", "x/y/gamma=0/seed=1")
  writer.append_rows([], {key: np.ones((2, 3), np.float32) for key in keys})
  prompts = [read_run(writer.path).prompt(key) for key in keys]
  assert [prompt.reads_as for prompt in prompts] == [
    Target("ni", "a/b", "the one"),
    Target("text", "t", "the other"),
    None,
  ]
  assert {prompt.model for prompt in prompts} == {"tiny"}
  assert prompts[0].origin == {"run": str(writer.path), "key": keys[0]}


@pytest.mark.parametrize("stored", [np.ones(3, np.float32), np.ones((2, 3), np.float64)])
def test_what_is_not_a_prompt_is_named(writer, stored):
  save_file({"key": stored}, writer.path / "prompts.safetensors")
  with pytest.raises(WayjaxError, match=r"prompts.safetensors holds 'key' as float\d\d .*, which"):
    read_run(writer.path).prompt("key")


def test_a_run_without_finished_members_can_be_read(writer):
  run = read_run(writer.path)
  assert run.rows == run.metrics == []
  with pytest.raises(WayjaxError, match=r"prompts.safetensors has no prompt 'any'"):
    run.prompt("any")


def test_a_cut_off_last_line_is_left_out_and_a_damaged_one_is_named(writer):
  writer.append_rows([{"a": 1}, {"a": 2}], {"p": np.zeros((1, 1), np.float32)})
  rows = writer.path / "results.jsonl"
  rows.write_text(rows.read_text() + '{"a": 3')
  assert read_run(writer.path).rows == [from_json({"a": 1}), from_json({"a": 2})]
  rows.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
  with pytest.raises(WayjaxError, match=r"results.jsonl, line 2 is damaged"):
    read_run(writer.path)


@pytest.mark.parametrize("name", ["results.jsonl", "metrics.jsonl", "config.json"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_and_not_waited_for(writer, name, make):
  writer.append_metrics([{"step": 1}])
  writer.append_rows([{"a": 1}], {})
  writer.close()
  (writer.path / name).unlink()
  make(writer.path / name)
  for read in (read_run, RunWriter.resume):
    with pytest.raises(
      WayjaxError, match=f"{name} cannot be read: (it is not a regular file|Is a dir)"
    ):
      read(writer.path)


def test_rows_hold_no_nan(writer):
  with pytest.raises(ValueError, match="not JSON compliant"):
    writer.append_rows([{"a": float("nan")}], {})


def test_a_full_disk_is_one_sentence_and_spoils_nothing(writer, monkeypatch):
  writer.append_rows([{"a": 1}], {"p": np.zeros((1, 1), np.float32)})

  def full(*args):
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(os, "replace", full)
    with pytest.raises(WayjaxError, match=r"No space left on device\); what was written so far"):
      writer.append_rows([{"a": 2}], {"q": np.zeros((1, 1), np.float32)})
    patch.setattr(os, "fsync", full)
    with pytest.raises(WayjaxError, match="No space left"):
      writer.append_metrics([{"a": 2}])
  run = read_run(writer.path)
  assert run.rows == [from_json({"a": 1})]
  assert run.prompt("p").vectors_PxD.shape == (1, 1)


def test_only_an_empty_folder_is_taken(tmp_path):
  for _ in range(2):
    RunWriter.begin(tmp_path / "new" / "deep").close()
    (tmp_path / "new" / "deep").mkdir(exist_ok=True)
  with pytest.raises(WayjaxError, match="is not empty"):
    RunWriter.begin(tmp_path / "new")
  (tmp_path / "file").write_text("")
  with pytest.raises(WayjaxError, match="is a file"):
    RunWriter.begin(tmp_path / "file")
  with pytest.raises(WayjaxError, match="cannot be written to: Not a directory"):
    RunWriter.begin(tmp_path / "file" / "run")


def test_other_folders_are_refused(tmp_path):
  with pytest.raises(WayjaxError, match=r"is not a run folder: it has no config.json"):
    read_run(tmp_path)
  (tmp_path / "config.json").write_text(json.dumps({})[:1])
  with pytest.raises(WayjaxError, match=r"config.json is damaged"):
    read_run(tmp_path)
