"""Run folders written at 812ac64 are read, reported and resumed."""

import collections
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

import wayjax
from wayjax import report
from wayjax.results import rows
from wayjax.results.writer import RunWriter
from wayjax.run import main
from wayjax.tuning import sweep

OLD = Path(__file__).parent / "written_at_812ac64"
FIRST, SECOND = "text/text-1/gamma=0/", "text/text-1/gamma=0.01/"  # the first two chunks
NEW = ("constraint", "readings", "log_loss")  # fields that rows did not have


@pytest.fixture
def finished(tmp_path) -> Path:
  return shutil.copytree(OLD / "finished", tmp_path / "finished")


@pytest.fixture
def unfinished(tmp_path) -> Path:
  return shutil.copytree(OLD / "unfinished", tmp_path / "unfinished")


def prompts(folder) -> dict[str, np.ndarray]:
  run = wayjax.read_run(folder)
  return {key: run.prompt(key).vectors_PxD for key in sorted(run.prompt_keys())}


def assert_same_prompts(found, expected, atol=0.0) -> None:
  assert found.keys() == expected.keys()
  for key in found:
    np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=atol, err_msg=key)


def what_counts(folder) -> dict[str, dict]:
  """Rows by key, without times, the place of the model, WordNet, and what rows did not have."""
  left_out = ("wall_seconds", "model", "prompt_f1_lemma", *NEW)
  return {
    row["prompt_key"]: {name: value for name, value in row.items() if name not in left_out}
    for row in wayjax.read_run(folder).rows
  }


def test_nothing_tells_of_the_machine_that_wrote_them():
  files = [path for path in OLD.rglob("*") if path.is_file() and path.suffix not in (".py", ".md")]
  assert len(files) > 20
  for path in files:
    for word in (b"/tmp", b"/home", b"/root", b"/work"):
      assert word not in path.read_bytes(), path


def test_a_finished_one_is_read(finished):
  run = wayjax.read_run(finished)
  assert len(run.rows) == 8
  for row in run.rows:
    assert row == rows.from_json({k: v for k, v in row.items() if k not in NEW})
    assert row["constraint"] == "c-dist"
    prompt = run.prompt(row["prompt_key"])
    assert len(prompt) == row["prompt_tokens"]
    assert prompt.reads_as.text == row["target_text"]
    assert "".join(run.reading(row["prompt_key"])["target_tokens"]) == row["target_text"]
  points = collections.Counter((at["step"], "dev_accuracy" in at) for at in run.metrics)
  assert points == {(20, False): 8, (30, True): 8, (40, False): 8, (60, True): 8}


def lines_of(text: str) -> list[dict[str, str]]:
  """The lines of a Markdown table, by heading."""
  table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
  head, _, *lines = [[cell.strip() for cell in line] for line in table]
  return [dict(itertools.zip_longest(head, line, fillvalue="")) for line in lines]


def test_a_finished_one_is_reported(finished, capsys):
  assert report.main([str(finished)]) == 0
  stored = lines_of((finished / "summary.md").read_text())
  assert len(stored) == 2 + 1
  # What is new since is beside it.
  shown = lines_of(capsys.readouterr().out)
  assert [{name: line[name] for name in stored[0]} for line in shown] == stored
  assert (finished / "report" / "index.html").is_file()


def test_a_finished_one_is_resumed_as_complete(finished, model_dir, data_dir, monkeypatch, capsys):
  def train(*args):
    raise AssertionError("nothing is left to train")

  monkeypatch.setattr(sweep, "train_chunk", train)
  stored = {name: (finished / name).read_bytes() for name in ("results.jsonl", "metrics.jsonl")}
  before = prompts(finished)
  where = ["--model", str(model_dir), "--data-dir", str(data_dir)]
  assert main(["--resume", str(finished), *where]) == 0
  assert f"8 of 8 members are in {finished}" in capsys.readouterr().out
  assert stored == {name: (finished / name).read_bytes() for name in stored}
  assert_same_prompts(prompts(finished), before)


def test_an_unfinished_one_continues_from_its_checkpoint(
  unfinished, undisturbed, model_dir, data_dir, monkeypatch
):
  before, started = prompts(unfinished), {}
  forget = RunWriter.forget_metrics

  def forget_metrics(writer, keys, step):
    started.update(dict.fromkeys(keys, step))
    forget(writer, keys, step)

  monkeypatch.setattr(RunWriter, "forget_metrics", forget_metrics)
  where = ["--model", str(model_dir), "--data-dir", str(data_dir)]
  assert main(["--resume", str(unfinished), *where]) == 0
  steps = {key: 20 if key.startswith(SECOND) else 0 for key in started}
  assert started == steps
  assert len(started) == 6  # two were finished

  resumed, whole, reference = (
    prompts(folder) for folder in (unfinished, undisturbed, OLD / "finished")
  )
  assert all(key.startswith(FIRST) for key in before)
  assert_same_prompts({key: resumed[key] for key in before}, before)
  # What began anew has the bits of a run that was not cut off; what had begun has them where this
  # machine computes like the one that wrote the folder.
  began = [key for key in resumed if not key.startswith((FIRST, SECOND))]
  assert_same_prompts({key: resumed[key] for key in began}, {key: whole[key] for key in began})
  same = all(np.array_equal(whole[key], reference[key]) for key in reference)
  assert_same_prompts(resumed, reference, atol=0 if same else 1e-5)
  found, expected = what_counts(unfinished), what_counts(undisturbed if same else OLD / "finished")
  assert found.keys() == expected.keys()
  for key in found if same else before:
    # Rows had their c-dist from NumPy, which sums in another order.
    assert found[key].pop("c_dist") == pytest.approx(expected[key].pop("c_dist"), rel=1e-6)
    assert found[key] == expected[key]
  points = collections.Counter(at["step"] for at in wayjax.read_run(unfinished).metrics)
  assert points == {20: 8, 30: 8, 40: 8, 60: 8}


def cut_short(checkpoint: Path) -> None:
  for path in checkpoint.rglob("*"):
    if path.is_file() and path.stat().st_size > 300:
      path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
  "damage",
  [
    cut_short,
    lambda checkpoint: (checkpoint / "_CHECKPOINT_METADATA").unlink(),
    lambda checkpoint: (checkpoint / "_CHECKPOINT_METADATA").write_text("[]"),
    lambda checkpoint: shutil.rmtree(checkpoint / "state"),
  ],
)
def test_a_checkpoint_of_orbax_that_cannot_be_read_stops_the_run_and_stays(
  unfinished, model_dir, data_dir, capfd, damage
):
  checkpoint = unfinished / "checkpoints" / "140"
  damage(checkpoint)
  before = {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
  resume = ["--resume", str(unfinished), "--model", str(model_dir), "--data-dir", str(data_dir)]
  assert main(resume) == 2
  error = capfd.readouterr().err
  assert f"wayjax: error: checkpoint {checkpoint} cannot be read (" in error
  assert "nothing is lost: resume when it can be read, or delete it" in error
  assert error.count("\n") == 1
  assert before == {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}


def test_without_its_checkpoint_an_old_run_trains_those_members_again(
  unfinished, undisturbed, model_dir, data_dir
):
  before = prompts(unfinished)
  shutil.rmtree(unfinished / "checkpoints" / "140")
  where = ["--model", str(model_dir), "--data-dir", str(data_dir)]
  assert main(["--resume", str(unfinished), *where]) == 0
  whole = prompts(undisturbed)
  trained = {key: prompt for key, prompt in prompts(unfinished).items() if key not in before}
  assert_same_prompts(trained, {key: whole[key] for key in trained})
