"""Runs of tasks that people have: free-text answers, several columns; tuned, they are solved."""

import json
import shutil

import numpy as np
import pytest

import wayjax
from wayjax.report import main as report
from wayjax.run import main

WHERE = 'template = "{q} A:{gold}"\nanswer = "gold"\n'
SAME = 'template = "{a} and {b} ? {label}"\nlabel_words = ["no", "yes"]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Two tasks that the tiny model can learn: one answer for all, and equal letters."""
  folder = tmp_path_factory.mktemp("own")
  rng = np.random.default_rng(0)
  for task, content in (("where", WHERE), ("same", SAME)):
    (folder / f"{task}.toml").write_text(content)
    (folder / task).mkdir()
    for split, count in (("train", 40), ("dev", 6), ("test", 10)):
      rows = [{"q": "who?", "gold": "i"}] * count
      if task == "same":
        labels = rng.integers(2, size=count).tolist()
        rows = [{"a": "x", "b": "xy"[label], "label": label} for label in labels]
      lines = "".join(json.dumps(row) + "\n" for row in rows)
      (folder / task / f"{split}.jsonl").write_text(lines)
  return folder


@pytest.fixture(scope="module")
def options(folder, model_dir):
  return [
    "--data-dir", str(folder), "--model", str(model_dir), "--precision", "float32", "--target",
    "read me", "--seeds", "1", "--lr", "0.1",
  ]  # fmt: skip


@pytest.fixture(scope="module")
def where(options, folder, tmp_path_factory):
  out = tmp_path_factory.mktemp("where") / "run"
  words = ["--task-file", str(folder / "where.toml"), "--steps", "1500", "--eval-every", "750"]
  assert main([*options, *words, "--out", str(out)]) == 0
  return out


def test_a_free_text_task_is_learnt(where):
  run = wayjax.read_run(where)
  for row in run.rows:
    assert (row["accuracy"], row["rouge_l"], row["macro_f1"]) == (1.0, 1.0, None)
    assert row["text_accuracy"] == 0
    assert row["log_loss"] < 0.7
  assert run.config["resolved"]["majority"] == 1.0
  assert run.config["task"]["answer"] == "gold"
  on_dev = [point["dev_accuracy"] for point in run.metrics if point["step"] == 1500]
  assert on_dev == [1.0, 1.0]


def test_its_table_says_what_accuracy_is(where, tmp_path, capsys):
  text = (where / "summary.md").read_text()
  assert "Accuracy is the share of answers that are right after normalisation" in text
  assert report([str(where), "--out", str(tmp_path / "report")]) == 0
  assert "free" not in capsys.readouterr().err


def test_it_is_resumed(where, tmp_path):
  folder = shutil.copytree(where, tmp_path / "run")
  (folder / "results.jsonl").write_text("")
  assert main(["--resume", str(folder)]) == 0
  before, after = (
    [{**row, "wall_seconds": 0} for row in wayjax.read_run(run).rows] for run in (where, folder)
  )
  assert before == after


def test_a_task_of_two_columns_is_learnt(options, folder, tmp_path, capsys):
  out = tmp_path / "run"
  words = ["--task-file", str(folder / "same.toml"), "--steps", "80"]
  assert main([*options, *words, "--out", str(out)]) == 0
  assert "sequence       [soft × 7]⟨a⟩ and ⟨b⟩ ? ⟨label⟩<|endoftext|>" in capsys.readouterr().out
  for row in wayjax.read_run(out).rows:
    assert row["accuracy"] == 1.0
    assert row["macro_f1"] == 1.0
    assert row["text_accuracy"] < 1


@pytest.mark.parametrize(
  ("task", "row", "message"),
  [
    (WHERE, {"q": "a"}, "it needs 'q' and 'gold'"),
    (WHERE, {"q": "a", "gold": ""}, "row 1: the answer 'gold' is empty"),
    (WHERE, {"q": "a", "gold": "x" * 200}, "exceed the model's 160 positions"),
    (WHERE.replace("{q}", "{what}"), {"q": "a", "gold": "x"}, "it needs 'what' and 'gold'"),
    (WHERE.replace("{q}", "x" * 200 + "{q}"), {"q": "a", "gold": "x"}, "the fixed texts of task"),
    (WHERE.replace("{gold}", "{golf}"), {"q": "a", "gold": "x"}, "where the answer goes"),
  ],
)
def test_what_is_wrong_with_a_task_is_one_sentence(options, tmp_path, task, row, message, capsys):
  (tmp_path / "own.toml").write_text(task)
  (tmp_path / "own").mkdir()
  for split in ("train", "dev", "test"):
    (tmp_path / "own" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
  words = ["--task-file", str(tmp_path / "own.toml"), "--data-dir", str(tmp_path)]
  assert main([*options, *words, "--out", str(tmp_path / "run")]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line
