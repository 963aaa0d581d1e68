"""`python -m wayjax.audit`: what it writes and prints, and what it refuses."""

import html
import json
import re
from unittest import mock

import numpy as np
import pytest
from safetensors.numpy import save_file

from wayjax.audit import command, example, main
from wayjax.audit.measure import audit
from wayjax.prompts import text_prompt
from wayjax.readers import READERS
from wayjax.results.writer import RunWriter
from wayjax.tuning.sweep import tune as tune_of_wayjax

QUICK = ["--precision", "float32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def only_nearest(monkeypatch):
  """Other readers take longer, and are tested by themselves."""
  for name in set(READERS) - {"nearest"}:
    monkeypatch.delitem(READERS, name)


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tmp_path


def save(folder, lm, name, text, noise=0.05) -> str:
  vectors_PxD = text_prompt(lm, text).vectors_PxD
  away_PxD = np.random.default_rng(5).normal(0, noise, vectors_PxD.shape)
  save_file({"prompt": np.float32(vectors_PxD + away_PxD)}, folder / name)
  return str(folder / name)


def test_page_and_json_have_what_is_printed(lm, here, capsys):
  path = save(here, lm, "soft.safetensors", "read me")
  options = ["--model", lm.name, "--text", "read us", "--text", "longer", *QUICK]
  assert main([path, *options, "--out", "found"]) == 0
  out = capsys.readouterr().out
  stored = json.loads((here / "found" / "audit.json").read_text())
  page = (here / "found" / "index.html").read_text()
  assert sorted(file.name for file in (here / "found").iterdir()) == ["audit.json", "index.html"]
  (prompt,) = stored["prompts"]
  assert (prompt["said"][0]["text"], prompt["vectors"]) == ("read me", 7)
  assert [one["text"] for one in prompt["possible"]] == ["read us"]
  assert prompt["other_length"] == 1
  assert stored["task"] is None
  assert re.search(r"nearest tokens, by every metric +– +–  read me\n", out)
  for sentence in stored["verdict"]:
    assert sentence in " ".join(out.split())
    assert html.escape(sentence) in page
  assert out.splitlines()[-1] == "written: found/index.html"
  assert main([path, *options, "--out", "again", "--json"]) == 0
  assert json.loads(capsys.readouterr().out) == stored
  assert main([path, *options, "--out", "found"]) == 2
  assert "--out found is not empty" in capsys.readouterr().err


def test_texts_come_with_wayjax_unless_they_are_given(lm, here, capsys):
  path = save(here, lm, "soft.safetensors", "x" * 14)
  (here / "mine.txt").write_text("14 characters.\nother\n")
  options = ["--model", lm.name, "--json", *QUICK]
  assert main([path, *options]) == 0
  (prompt,) = json.loads(capsys.readouterr().out)["prompts"]
  assert len(prompt["possible"]) + prompt["other_length"] == 32
  assert main([path, *options, "--texts-file", "mine.txt"]) == 0
  (prompt,) = json.loads(capsys.readouterr().out)["prompts"]
  assert [one["text"] for one in prompt["possible"]] == ["14 characters."]
  folders = sorted(folder.name for folder in (here / "audits").iterdir())
  assert len(folders) == 2
  assert all(re.fullmatch(r"soft\.safetensors-\d{8}-\d{6}(-2)?", name) for name in folders)


def test_prompts_of_a_run_are_compared_on_its_model(lm, here, data_dir, capsys):
  writer = RunWriter.begin(here / "run")
  resolved = {
    "before": "<",
    "after": "",
    "reply": "",
    "weights_sha256": lm.weights_sha256,
    "targets": ["text/t1"],
    "target_texts": ["read me"],
  }
  writer.write_config({"model": lm.name, "resolved": resolved})
  keys = "text/t1/gamma=0/seed=1", "text/t1/gamma=0/seed=2"
  near_PxD = text_prompt(lm, "read me").vectors_PxD
  writer.append_rows([], {keys[0]: near_PxD + 0.01, keys[1]: near_PxD - 0.01})
  words = ["run", "--key", keys[0], "--compare", "run", "--compare-key", keys[1]]
  task = ["--dataset", "sst2", "--data-dir", str(data_dir), "--split-rows", "5"]
  assert main([*words, *task, *QUICK, "--out", "found", "--text", "a"]) == 0
  stored = json.loads((here / "found" / "audit.json").read_text())
  assert [prompt["name"] for prompt in stored["prompts"]] == [f"run, {key}" for key in keys]
  assert {prompt["reads_as"] for prompt in stored["prompts"]} == {"read me"}
  assert {prompt["before"] for prompt in stored["prompts"]} == {"<"}
  assert stored["comparison"]["same_tokens"] == 7
  assert stored["comparison"]["c_dist"] == pytest.approx(32 * 0.02**2, rel=1e-4)
  assert stored["task"]["rows"] == 5
  out = capsys.readouterr().out
  assert f"B: run, {keys[1]}" in out
  assert "no prompt" in out


def test_the_demo_holds_a_prompt_for_one_task_in_the_text_of_another(here, monkeypatch, capsys):
  tune = mock.create_autospec(tune_of_wayjax)
  tune.side_effect = lambda lm, _, targets, **how: [mock.Mock(prompt=text_prompt(lm, targets[0]))]
  monkeypatch.setattr(example, "tune", tune)
  audited = mock.Mock(side_effect=lambda *given, trial, **how: audit(*given, **how))
  monkeypatch.setattr(command, "audit", audited)
  assert main(["--demo", "--dataset", "subj", "--json", *QUICK]) == 0
  assert tune.call_args.kwargs == {"constraints": ("cell",), "seeds": (1,), "steps": 100}
  assert audited.call_args.kwargs["trial"].task.name == "subj"
  out, err = capsys.readouterr()
  (prompt,) = json.loads(out)["prompts"]
  assert prompt["said"][0]["text"] == prompt["reads_as"]
  assert len(prompt["possible"]) > 1
  assert prompt["other_length"] == 0
  assert prompt["reads_as"].startswith("Translate the following sentence into French")
  assert "written: audits/demo-" in err


@pytest.mark.nightly
def test_the_whole_demo_shows_a_prompt_that_does_not_do_what_it_says(here, capsys):
  assert main(["--demo", "--json"]) == 0
  (prompt,) = json.loads(capsys.readouterr().out)["prompts"]
  assert prompt["said"][0]["prompt_f1"] == 1
  assert prompt["scores"]["accuracy"] > prompt["said"][0]["scores"]["accuracy"] + 0.15


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ("", "there is no prompt: name a run folder"),
    ("nowhere", "there is no soft prompt at nowhere"),
    ("--demo nowhere", "--demo audits a prompt of its own"),
    ("--demo --key k", "--demo has none"),
    ("nowhere --compare-key k", "--compare-key and --compare-tensor go with --compare"),
    ("nowhere --dataset sst2 --task-file t", "name two tasks"),
    ("nowhere --data-dir d", "give --dataset or --task-file"),
    ("nowhere --dataset what", "unknown dataset 'what'"),
    ("nowhere --split-rows 0", "--split-rows must be at least 1, not 0"),
    ("nowhere --readers nearest nobody", "--readers: there is no reader 'nobody'; choose from"),
    ("nowhere --texts-file none.txt", "targets file none.txt cannot be read"),
    ("nowhere --text ", "is empty"),
    ("nowhere --out full", "--out full is not empty"),
    ("nowhere --what", "unrecognized arguments: --what"),
  ],
)
def test_what_is_wrong_is_a_sentence(words, message, here, capsys):
  (here / "full").mkdir()
  (here / "full" / "file").touch()
  assert main(words.split(" ") if words else []) == 2
  err = capsys.readouterr().err
  assert err.startswith("wayjax: error: ")
  assert message in err
  assert err.count("\n") == 1
  assert not (here / "audits").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_prompts_that_cannot_be_audited_are_refused(lm, here, capsys, value):
  cases = {
    "broken": (np.full((2, lm.width), value, np.float32), "not finite"),
    "narrow": (np.ones((2, 3), np.float32), "a prompt of width 3 does not fit"),
    "flat": (np.ones(3, np.float32), "which is not a soft prompt"),
  }
  for name, (array, message) in cases.items():
    save_file({"prompt": array}, here / f"{name}.safetensors")
    assert main([f"{name}.safetensors", "--model", lm.name, *QUICK]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
  (here / "text.npy").write_bytes(b"no array")
  assert main(["text.npy", "--model", lm.name, *QUICK]) == 2
  assert "cannot be read as .npy" in capsys.readouterr().err
  assert not (here / "audits").exists()


def test_a_prompt_of_another_model_is_refused(lm, here, capsys):
  writer = RunWriter.begin(here / "run")
  writer.write_config({"model": "other", "resolved": {"weights_sha256": "0" * 64}})
  writer.append_rows([], {"k": np.ones((2, lm.width), np.float32)})
  assert main(["run", "--model", lm.name, *QUICK]) == 2
  assert "holds a prompt of 'other' with other weights" in capsys.readouterr().err
