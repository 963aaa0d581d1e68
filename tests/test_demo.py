"""The embedded demo: what --demo means, what it shows, and that nothing is missing from it."""

import contextlib
import io

import jax
import numpy as np
import pytest
from rich.console import Console

import wayjax
from wayjax import demo, models
from wayjax.command_line import parse_args
from wayjax.data import packing
from wayjax.data.encoding import token_ids
from wayjax.data.examples import load_data
from wayjax.data.targets import load_targets
from wayjax.data.tasks import TASKS, Task, get_task
from wayjax.devices.sharding import make_layout
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.readers import nearest
from wayjax.results import summary
from wayjax.results.differences import differences
from wayjax.run import main
from wayjax.run.display import Display


def test_every_default_can_be_overridden():
  config = parse_args(["--dataset", "agnews", "--demo"])
  assert {name: getattr(config, name) for name in demo.DEFAULTS} == demo.DEFAULTS
  config = parse_args(["--dataset", "agnews", "--demo", "--steps", "7", "--model", "mine"])
  assert (config.steps, config.model, config.data_dir) == (7, "mine", "demo")
  assert parse_args(["--dataset", "agnews"]).model == "gpt2-large"


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_rows_and_targets(name):
  task = get_task(name)
  data = load_data(task, "demo")
  assert len(data.train) + len(data.dev) >= 600
  assert len(data.evaluation) >= 200
  assert set(data.evaluation.labels) == set(range(len(task.label_words)))
  targets = load_targets(task, groups=("demo",))
  assert [target.name for target in targets] == ["another-task", "contradiction", "code", "true"]
  assert len({target.text for target in targets}) == 4


def test_a_task_of_ones_own_has_no_demo_targets():
  with pytest.raises(WayjaxError, match="has no texts for the task 'mood'"):
    load_targets(Task("mood", "It was %s .", ("a", "b"), ("a", "b")), groups=("demo",))


def test_the_model_is_small_and_reads_any_text():
  assert (demo.MODEL / "model.safetensors").stat().st_size <= 12e6
  lm = load_lm("demo")
  assert lm.name == "demo"
  for text in ('print("héllo")\n\t', "Ünïcödé 漢字 🙂", "It was great ."):
    assert lm.tokenizer.decode(lm.tokenizer(text)["input_ids"]) == text


def test_the_targets_of_a_task_are_one_program():
  tokenizer = load_lm("demo").tokenizer
  for task in TASKS.values():
    lengths = {
      packing.round_up(len(tokenizer(target.text)["input_ids"]), packing.PROMPT_MULTIPLE)
      for target in load_targets(task, groups=("demo",))
    }
    assert len(lengths) == 1


@pytest.fixture(scope="module")
def shown_and_run(tmp_path_factory):
  """What a demo of one target shows, and its run, read back."""
  out, shown = tmp_path_factory.mktemp("demo"), io.StringIO()
  with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
    # As on most machines: on several devices some would be idle, and that takes as long.
    one = make_layout(devices=jax.devices()[:1])
    patch.setattr(models, "make_layout", lambda model_parallel: one)
    code = main(
      ["--dataset", "agnews", "--demo", "--out", str(out), "--max-targets", "1"]
      + ["--eval-rows", "100"]
    )
  assert code == 0
  return shown.getvalue(), wayjax.read_run(out)


def test_a_demo_says_that_it_is_one(shown_and_run):
  shown, run = shown_and_run
  assert {(row["gamma"], row["seed"]) for row in run.rows} == {
    (gamma, seed) for gamma in (0.0, 0.01) for seed in (1, 10)
  }
  assert all(row["demo"] and row["model"] == "demo" for row in run.rows)
  assert "Demo: agnews (test), demo, 100 steps" in shown
  assert demo.MEANING.format(dataset="agnews") in shown
  assert demo.NEXT.format(dataset="agnews") in shown
  assert (run.path / "summary.md").read_text().splitlines()[-1].startswith("Demo: ")


@pytest.mark.parametrize("options", [["--init", "vocab"], ["--gamma", "0.01"]])
def test_a_demo_whose_numbers_do_not_bear_it_out_claims_nothing(tmp_path, capsys, options):
  few = ["--steps", "2", "--max-targets", "1", "--train-rows", "40", "--eval-rows", "20"]
  arguments = ["--dataset", "agnews", "--demo", "--seeds", "1", "--out", str(tmp_path)]
  assert main([*arguments, *few, *options]) == 0
  shown = capsys.readouterr().out
  assert demo.MEANING.format(dataset="agnews") not in shown
  assert demo.NEXT.format(dataset="agnews") in shown


def solves(run, least: float) -> None:
  """Looks at what the demo of a task shows: prompts solve it, their texts do not."""
  mean = {
    (field, gamma): np.mean([row[field] for row in run.rows if row["gamma"] == gamma])
    for field in ("accuracy", "text_accuracy", "prompt_f1")
    for gamma in (0.0, 0.01)
  }
  assert mean["accuracy", 0] >= run.config["resolved"]["majority"] + least
  assert mean["accuracy", 0] >= mean["text_accuracy", 0] + 0.15
  assert mean["accuracy", 0.01] >= 0.97 * mean["accuracy", 0]
  assert mean["prompt_f1", 0.01] >= 0.95


def test_a_prompt_solves_a_miniature_and_reads_as_another_task(shown_and_run):
  solves(shown_and_run[1], 0.25)


@pytest.mark.nightly
@pytest.mark.parametrize("name", TASKS)
def test_prompts_solve_every_miniature(tmp_path, name):
  assert main(["--dataset", name, "--demo", "--out", str(tmp_path)]) == 0
  solves(wayjax.read_run(tmp_path), 0.15 if name == "sst5" else 0.25)


@pytest.mark.nightly
@pytest.mark.parametrize("name", TASKS)
def test_unconstrained_prompts_from_random_tokens_do_not_read_as_the_text(tmp_path, name):
  arguments = ["--dataset", name, "--demo", "--init", "vocab", "--out", str(tmp_path)]
  assert main(arguments) == 0
  rows = wayjax.read_run(tmp_path).rows
  assert np.mean([row["prompt_f1"] for row in rows if row["gamma"] == 0]) < 0.2


def row(target, accuracy, gamma=0.01, seed=1, **more):
  return {
    "target_group": "demo", "target_name": target, "target_text": "say it now", "gamma": gamma,
    "seed": seed, "accuracy": accuracy, "status": "done", "dataset": "trec", "demo": True,
    "projected_text": "say that now", "text_accuracy": 0.3, **more,
  }  # fmt: skip


def test_the_best_prompt_of_each_target_beside_the_unconstrained_one():
  rows = [
    row("a", 0.5), row("a", 0.7, seed=2), row("a", 0.8, 0.0, seed=2), row("b", 0.9),
    row("b", 0.95, status="diverged"), row("c", 0.99, 0.0),
  ]  # fmt: skip
  found = summary.best(rows)
  assert [(best["target_name"], best["accuracy"], best["accuracy_0"]) for best in found] == [
    ("b", 0.9, None),
    ("a", 0.7, 0.8),
  ]


@pytest.mark.parametrize("terminal", [True, False])
def test_differing_words_are_marked(terminal):
  file = io.StringIO()
  console = Console(file=file, force_terminal=terminal, width=100, color_system="standard")
  Display(console).best([row("a", 0.7), row("a", 0.8, 0.0)])
  shown = file.getvalue()
  if terminal:
    assert "\x1b[1;31mthat" in shown
  else:
    expected = "70.0 % of trec right (as plain text 30.0 %, unconstrained 80.0 %), γ = 0.01"
    assert expected in shown
    assert "target    say ‹it› now" in shown
    assert "reads as  say ‹that› now" in shown


def test_words_that_one_side_lacks_differ():
  assert differences("a b c", "b c d") == (
    [("a", True), ("b", False), ("c", False)],
    [("b", False), ("c", False), ("d", True)],
  )


def test_parts_of_characters_are_told_apart():
  lm = load_lm("demo", precision="float32")
  (ids,) = token_ids(lm.tokenizer, ["é"])
  assert len(ids) == 2  # its two bytes
  assert len(set(nearest.token_texts(lm, np.array(ids)))) == 2
