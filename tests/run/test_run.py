"""The command as a user types it: its run folder, its output, and every wrong input."""

import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny

import wayjax
from wayjax.results.rows import Row
from wayjax.run import main, pipeline
from wayjax.tuning import sweep

TEXTS = ("read me", "or this one, a long one")
STEPS = 45  # most runs have as many, so that they share their compiled programs


@pytest.fixture(scope="session")
def one_target(inputs):
  """A sweep of one target, two gammas and two seeds; its last dispatch is not a full one."""
  return [*inputs, "--steps", str(STEPS), "--seeds", "1", "10", "--target", TEXTS[0]]


@pytest.fixture
def small(one_target, tmp_path):
  """That sweep; more options may follow, and win."""
  return [*one_target, "--out", str(tmp_path / "run")]


@pytest.fixture
def command(small):
  """The same, and a target of another length."""
  return [*small, "--target", TEXTS[1]]


@pytest.fixture(scope="module")
def shown_and_finished(one_target, tmp_path_factory):
  """What a run shows, and the finished run, read back."""
  out, shown = tmp_path_factory.mktemp("finished") / "run", io.StringIO()
  with contextlib.redirect_stdout(shown):
    more = ["--target", TEXTS[1], "--gamma", "0", "50", "--eval-every", "20", "--out", str(out)]
    code = main([*one_target, *more])
  assert code == 0
  return shown.getvalue(), wayjax.read_run(out)


@pytest.fixture(scope="module")
def finished(shown_and_finished):
  return shown_and_finished[1]


class TestRunFolder:
  def test_a_row_for_every_member_with_every_field(self, finished):
    assert len(finished.rows) == 2 * 2 * 2
    for row in finished.rows:
      assert list(row) == [field.name for field in dataclasses.fields(Row)]
      assert row["status"] == "done"
      assert 0 <= row["accuracy"] <= 1
      assert row["target_text"] in TEXTS
      assert row["wall_seconds"] > 0
    assert len({row["prompt_key"] for row in finished.rows}) == 8

  def test_the_rows_are_what_the_stored_prompts_give(self, finished, lm, data_dir):
    task = wayjax.get_task("sst2")
    data = wayjax.load_data(task, data_dir)
    encoded = wayjax.encode(lm.tokenizer, task, data.evaluation)
    table = np.asarray(lm.table_VxD)
    for row in finished.rows:
      prompt = finished.prompt(row["prompt_key"])
      vectors = prompt.vectors_PxD
      assert vectors.shape == (row["prompt_tokens"], tiny.CONFIG.n_embd)
      assert prompt.reads_as.text == row["target_text"]
      ids = np.asarray(wayjax.d_proj(vectors, table))
      target = lm.tokenizer(row["target_text"])["input_ids"]
      hard, text = wayjax.SoftPrompt(table[ids], lm.name), wayjax.text_prompt(lm, prompt.reads_as)
      soft, hard, text = wayjax.evaluate(lm, encoded, [prompt, hard, text])
      assert row["accuracy"] == soft.accuracy
      assert row["macro_f1"] == pytest.approx(soft.macro_f1)
      assert row["hard_accuracy"] == hard.accuracy
      assert row["text_accuracy"] == text.accuracy
      assert row["projected_text"] == lm.tokenizer.decode(ids.tolist())
      assert row["prompt_f1"] == wayjax.prompt_f1(row["projected_text"], row["target_text"])
      assert row["token_match"] == np.mean(ids == target)
      assert row["c_dist"] == pytest.approx(np.sum((vectors - table[target]) ** 2) / len(ids))

  def test_the_nearest_tokens_of_every_position_are_kept(self, finished, lm):
    table = np.asarray(lm.table_VxD)
    for row in finished.rows:
      reading = finished.reading(row["prompt_key"])
      vectors = finished.prompt(row["prompt_key"]).vectors_PxD
      assert "".join(reading["target_tokens"]) == row["target_text"]
      nearest = "".join(tokens[0][0] for tokens in reading["nearest"])
      for sign, expected in zip(nearest, row["projected_text"], strict=True):
        assert expected in (sign, "\N{REPLACEMENT CHARACTER}")  # a part of a character has a name
      for tokens, vector in zip(reading["nearest"], vectors, strict=True):
        nearest = np.sort(np.linalg.norm(table - vector, axis=1))[:5]
        assert [distance for _, distance in tokens] == pytest.approx(nearest, abs=1e-3)

  def test_gamma_holds_prompts_at_their_target(self, finished):
    free = [row for row in finished.rows if row["gamma"] == 0]
    held = [row for row in finished.rows if row["gamma"] > 0]
    assert np.mean([row["train_loss"] for row in free]) < np.mean([r["train_loss"] for r in held])
    assert max(r["c_dist"] for r in held) < 0.5 * min(r["c_dist"] for r in free)

  def test_training_curves(self, finished):
    key = finished.rows[0]["prompt_key"]
    points = [point for point in finished.metrics if point["prompt_key"] == key]
    assert [point["step"] for point in points] == [20, 40, 45]
    assert all(0 <= point["dev_accuracy"] <= 1 for point in points[:2])
    assert "dev_accuracy" not in points[2]
    assert points[1]["cross_entropy"] < points[0]["cross_entropy"]

  def test_the_configuration_is_resolved(self, finished):
    config = finished.config
    assert config["gamma"] == [0.0, 50.0]
    assert config["task"]["label_words"] == ["terrible", "great"]
    resolved = config["resolved"]
    assert resolved["precision"] == "float32"
    assert len(resolved["data_sha256"]) == 64
    assert resolved["train_rows"] == 54
    assert resolved["targets"] == ["text/text-1", "text/text-2"]
    assert resolved["max_length"] == 128
    assert {"jax", "flax", "wayjax", "python"} <= set(resolved["versions"])

  def test_the_summary_is_the_table(self, finished):
    text = (finished.path / "summary.md").read_text()
    assert "| read me |" in text
    assert "mean over targets" in text
    assert sorted(path.name for path in finished.path.iterdir()) == [
      "checkpoints",
      "config.json",
      "decisions.json",
      "metrics.jsonl",
      "prompts.safetensors",
      "readings.jsonl",
      "results.jsonl",
      "summary.md",
    ]


def test_the_output_tells_plan_estimate_progress_and_table(shown_and_finished):
  shown, run = shown_and_finished
  for part in (
    "sst2: 54 training, 6 dev, 20 test rows",
    "8 = 2 targets x 2 gamma x 2 seeds, 45 steps each",
    "4 of up to 8, 4 of up to 24 tokens",
    "first 20 steps done",
    "training takes about",
    "step 45/45, 8/8 members, cross-entropy",
    "mean over targets",
    f"8 of 8 members are in {run.path}",
  ):
    assert part in shown
  assert "\x1b" not in shown


def test_a_dry_run_stops_after_the_estimate_and_writes_nothing(command, capsys, tmp_path):
  assert main([*command, "--dry-run"]) == 0
  out = capsys.readouterr().out
  assert "8 = 2 targets x 2 gamma x 2 seeds, 45 steps each" in out
  assert "training takes about" in out
  assert "mean over targets" not in out
  assert not (tmp_path / "run").exists()


def test_learning_rate_zero_keeps_the_text(command, tmp_path):
  assert main([*command, "--lr", "0"]) == 0
  rows = wayjax.read_run(tmp_path / "run").rows
  assert len(rows) == 8
  for row in rows:
    assert row["projected_text"] == row["target_text"]
    assert row["c_dist"] == 0
    assert row["accuracy"] == row["text_accuracy"] == row["hard_accuracy"]


def test_a_random_start_reads_as_nothing_without_gamma(command, tmp_path):
  options = ["--init", "vocab", "--gamma", "0", "100", "--lr", "0.05"]
  assert main([*command, *options]) == 0
  rows = wayjax.read_run(tmp_path / "run").rows
  match = {
    gamma: np.mean([row["token_match"] for row in rows if row["gamma"] == gamma])
    for gamma in (0, 100)
  }
  assert match[0] < 0.2
  assert match[100] > 0.9


@pytest.mark.parametrize("projection", ["dot", "cosine"])
def test_the_reading_can_be_chosen(command, tmp_path, projection):
  assert main([*command, "--projection", projection]) == 0
  for row in wayjax.read_run(tmp_path / "run").rows:
    assert row["projection"] == projection
    assert row["projected_text"] == row[f"projected_text_{projection}"]


def test_another_prompt_length(small, tmp_path):
  options = ["--init", "random", "--gamma", "0", "--prompt-tokens", "5"]
  assert main([*small, *options]) == 0
  rows = wayjax.read_run(tmp_path / "run").rows
  assert len(rows) == 2
  for row in rows:
    assert row["prompt_tokens"] == 5
    assert row["c_dist"] is row["token_match"] is None


def test_a_diverged_member_has_a_row(command, tmp_path, capsys):
  assert main([*command, "--lr", "1e30"]) == 0
  run = wayjax.read_run(tmp_path / "run")
  assert len(run.rows) == 8
  assert {row["status"] for row in run.rows} == {"diverged"}
  assert all(0 <= row["diverged_at"] < 5 for row in run.rows)
  assert all(run.reading(row["prompt_key"]) for row in run.rows)  # though distances may overflow
  assert "because they diverged" in capsys.readouterr().out


def test_an_empty_folder_of_the_users_stays(command, tmp_path):
  (tmp_path / "run").mkdir()
  assert main([*command, "--model", "./nowhere"]) == 2
  assert (tmp_path / "run").is_dir()


def test_a_terminal_that_cannot_write_every_sign_is_not_an_error(command, monkeypatch):
  terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
  monkeypatch.setattr(sys, "stdout", terminal)
  assert main(command) == 0
  terminal.flush()
  shown = terminal.buffer.getvalue().decode("ascii")
  assert "mean over targets" in shown
  assert "acc. ?=0" in shown  # the sign for gamma


def test_ctrl_c_leaves_what_is_finished(command, tmp_path, capsys, monkeypatch):
  chunks = sweep.tune_chunks

  def interrupted(*args):
    yield next(chunks(*args))
    raise KeyboardInterrupt

  monkeypatch.setattr(pipeline, "tune_chunks", interrupted)
  assert main(command) == 130
  run = wayjax.read_run(tmp_path / "run")
  assert len(run.rows) == 4
  assert run.prompt(run.rows[-1]["prompt_key"]).vectors_PxD.dtype == np.float32
  shown = capsys.readouterr()
  assert "4 of 8 members are in" in shown.out
  assert "finished members stay in the run folder" in shown.err
  assert "| read me |" in (tmp_path / "run" / "summary.md").read_text()


@pytest.mark.parametrize("model_type", ["llama", "gpt_neox"])
def test_another_family(small, tmp_path, model_type):
  model = tiny.save_model(tmp_path / "model", tiny.CONFIGS[model_type])
  assert main([*small, "--model", str(model), "--steps", "3"]) == 0
  rows = wayjax.read_run(tmp_path / "run").rows
  assert {(row["status"], row["projected_text"] == row["target_text"]) for row in rows} == {
    ("done", True)
  }


def test_a_gguf_file(small, tmp_path, capsys):
  model = tiny.rewrite_gguf(tmp_path / "a.gguf", fields={"llama.context_length": 300})
  assert main([*small, "--model", str(model), "--steps", "3"]) == 0
  assert f"{model}: 0.0 M parameters" in capsys.readouterr().out
  rows = wayjax.read_run(tmp_path / "run").rows
  assert {row["model"] for row in rows} == {str(model)}
  assert {row["status"] for row in rows} == {"done"}


@pytest.mark.parametrize(
  ("damage", "sentence"),
  [
    (lambda whole: whole[:20_000], "is damaged or cut short"),
    (lambda whole: b"GGML" + whole[4:], "is not a GGUF file"),
  ],
)
def test_a_damaged_gguf_file(command, tmp_path, capsys, damage, sentence):
  model = tmp_path / "a.gguf"
  model.write_bytes(damage(tiny.GGUF_LLAMA.read_bytes()))
  assert main([*command, "--model", str(model)]) == 2
  error = capsys.readouterr().err
  assert sentence in error
  assert error.count("\n") == 1
  assert "Traceback" not in error


def test_your_own_task(small, tmp_path):
  # As long as sst2's, so that its programs are compiled already.
  task = 'template = "I feel %s !"\nlabel_words = ["dreadful", "happy"]\n'
  (tmp_path / "mood.toml").write_text(task)
  tiny.save_rows(tmp_path)
  (tmp_path / "sst2").rename(tmp_path / "mood")
  named = ["--task-file", str(tmp_path / "mood.toml"), "--data-dir", str(tmp_path)]
  assert main([*small[2:], *named]) == 0  # without --dataset
  run = wayjax.read_run(tmp_path / "run")
  assert {row["dataset"] for row in run.rows} == {"mood"}
  assert run.config["task"]["label_words"] == ["dreadful", "happy"]


class TestWrongInputs:
  """Each ends in one sentence, with exit code 2 and without a traceback."""

  @pytest.mark.parametrize(
    ("options", "sentence"),
    [
      (["--dataset", "imdb"], "unknown dataset 'imdb'"),
      (["--task-file", "mine.toml"], "which task? give --dataset sst2, sst5, agnews, trec or subj"),
      (["--model", "./nowhere"], "model folder './nowhere' does not exist"),
      (["--model", "nobody/nothing"], "not in the local cache and the Hub cannot be reached"),
      (["--targets", "nix"], "unknown target group 'nix'"),
      (["--targets", "ni"], "the paper's repository cannot be reached"),
      (["--target", ""], "is empty"),
      (["--target", "x" * 150], "exceed the model's 160 positions"),
      (["--gamma", "-1"], "--gamma must be numbers of at least 0"),
      (["--gamma", "nan"], "--gamma must be numbers of at least 0"),
      (["--constraint", "rope"], "unknown constraint 'rope': choose one of c-dist"),
      (["--batch-size", "0"], "--batch-size must be a whole number of at least 1"),
      (["--data-dir", "/nowhere"], "/nowhere/sst2 does not exist"),
      (["--device", "gpu"], "jax sees only cpu"),
      (["--prompt-tokens", "3"], "--prompt-tokens 3 does not go with --init target"),
      (["--out", "x" * 300], "cannot be written to: File name too long"),
      (["--data-dir", "x" * 300], "cannot be read: File name too long"),
      (["--targets", "ni", "--targets-dir", "x" * 300], "cannot be read: File name too long"),
      (["--target", "\udcff"], "is not valid Unicode"),
      (["--out", "run-\udcff"], r"--out run-\udcff is not valid Unicode"),
      (["--data-dir", "\udcff"], r"--data-dir \udcff is not valid Unicode"),
      (["--steps", "3000000000"], "--steps must be at most 1,000,000"),
      (["--out", "/proc/run"], "--out /proc/run cannot be written to"),
      (["--revision", "v1"], "--revision belongs to models on the Hub"),
      (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
  )
  def test_sentence_and_exit_code(self, command, capsys, monkeypatch, tmp_path, options, sentence):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main([*command, *options]) == 2
    error = capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert error.startswith("wayjax: error: ")
    assert sentence in error
    assert error.count("\n") == 1

  def test_a_folder_with_something_in_it_is_refused(self, command, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("")
    assert main(command) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "run" / "precious").exists()


def test_a_wrong_option_needs_no_jax():
  code = (
    "import sys; from wayjax.run import main; assert main(['--dataset', 'imdb']) == 2;"
    "assert 'jax' not in sys.modules"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert done.stderr.startswith("wayjax: error: unknown dataset 'imdb'")


def test_the_names_of_the_package(lm):
  for name in wayjax.__all__:
    assert getattr(wayjax, name) is not None
  assert callable(wayjax.evaluate)
  with pytest.raises(AttributeError, match="no attribute 'nothing'"):
    _ = wayjax.nothing


def test_the_real_model_and_rows(shared, tmp_path):
  """A small version of the main job on real text."""
  code = main(
    ["--dataset", "trec", "--data-dir", str(shared / "data"), "--steps", "40", "--seeds", "1"]
    + ["--model", str(shared / "models" / "tiny-gpt2"), "--targets", "ni", "--max-targets", "1"]
    + ["--targets-dir", str(shared / "data" / "prompts"), "--eval-rows", "120"]
    + ["--out", str(tmp_path / "run")]
  )
  assert code == 0
  run = wayjax.read_run(tmp_path / "run")
  for row in run.rows:
    assert row["accuracy"] > 0.6
    assert row["prompt_f1"] == 1
    assert row["projected_text"] == row["target_text"]
  json.dumps(run.rows)
  assert jax.default_backend() == "cpu"


def test_a_variable_that_jax_cannot_read_is_a_sentence():
  done = subprocess.run(
    [sys.executable, "-m", "wayjax.run", "--dataset", "sst2", "--demo"],
    env=os.environ | {"JAX_ENABLE_X64": "maybe"}, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 2
  assert re.fullmatch(
    r"wayjax: error: jax cannot be loaded: .*'JAX_ENABLE_X64'; change or unset that variable\n",
    done.stderr,
  )
