"""The table of certified prompts, from made-up run folders."""

import dataclasses

import pytest
from dry_runs import calls_of
from reports import held, row, write_run

from experiments import certified, experiment
from wayjax.command_line import parse_args
from wayjax.config import variants
from wayjax.errors import WayjaxError

# Accuracy of three prompts, by learning rate: free, with a penalty, in the cell.
ACCURACY = {0.01: (0.80, 0.79, 0.81), 0.1: (0.90, 0.70, 0.895)}


def rows_of(lr, accuracy, names=("a", "b"), **changes) -> list[dict]:
  """Rows of some texts; the second seed is as far above the mean as the first below it."""
  found = []
  for name in names:
    for seed, off in ((1, -0.05), (2, 0.05)):
      free, near, in_cell = (value + off for value in accuracy)
      common = {"lr": lr, "seed": seed, "token_match": 0.5, "certified": False} | changes
      found += [
        row(name, 0.0, accuracy=free, f1=0.25, **common),
        row(name, 0.01, accuracy=near, f1=0.75, **common),
        held("cell", row(name, 0.0, accuracy=in_cell, **common))
        | {"certified": True, "token_match": 1.0, "margin_relative": 0.125},
      ]
  return found


def measured(folder, of: dict, **config) -> dict:
  """What is measured of runs of several learning rates."""
  for lr, rows in of.items():
    write_run(folder / f"lr-{lr}" / "run", rows, lr=lr, **config)
  return certified.measure([parse_args(["--dataset", "sst2", "--model", "m"])], folder)


def lines_of(found: dict) -> list[dict[str, str]]:
  table = found["table"]
  return [dict(zip(table["columns"], line, strict=True)) for line in table["lines"]]


@pytest.fixture
def found(tmp_path) -> dict:
  return measured(tmp_path, {lr: rows_of(lr, accuracy) for lr, accuracy in ACCURACY.items()})


def test_every_arm_has_a_line(found):
  assert [tuple(line.values())[:5] for line in lines_of(found)] == [
    ("sst2", "its text", lr, name, "2")
    for lr in ("0.01", "0.1")
    for name in ("unconstrained", "γ = 0.01", "cell")
  ]


def test_drops_are_from_the_same_rate_and_from_the_best_rate(found):
  lines = lines_of(found)
  assert [line["accuracy"].split()[0] for line in lines] == [
    "80.0", "79.0", "81.0", "90.0", "70.0", "89.5"
  ]  # fmt: skip
  assert [line["Δ̂ %"].split()[0] for line in lines] == ["–", "1.3", "-1.3", "–", "22.2", "0.6"]
  assert [line["Δ̂ best %"].split()[0] for line in lines] == [
    "11.1", "12.2", "10.0", "0.0", "22.2", "0.6"
  ]  # fmt: skip
  assert lines[2]["accuracy"] == "81.0 [81.0, 81.0]"


def test_what_prompts_read_as_is_beside_it(found):
  names = "F1", "token match", "certified %", "margin", "c-dist"
  assert [tuple(line[name] for name in names) for line in lines_of(found)[:3]] == [
    ("25.0", "50.0", "0.0", "–", "1.00"),
    ("75.0", "50.0", "0.0", "–", "1.00"),
    ("100.0", "100.0", "100.0", "0.12", "1.00"),
  ]


def test_the_claim_is_borne_out_where_it_holds_at_the_best_rate_of_both(found):
  claim = "certified prompts lose no more than 1 % against the best unconstrained ones, for every"
  assert found["verdicts"] == [f"Borne out by cell: {claim} text, at F1 = 100."]
  assert found["table"]["caption"].endswith(found["verdicts"][0])


def failing(tmp_path, change) -> str:
  of = {lr: rows_of(lr, accuracy) for lr, accuracy in ACCURACY.items()}
  for rows in of.values():
    for each in rows:
      change(each)
  (sentence,) = measured(tmp_path, of)["verdicts"]
  return sentence


def in_cell(each, name="b") -> bool:
  return each.get("constraint") == "cell" and each["target_name"] == name


@pytest.mark.parametrize(
  ("changes", "why"),
  [
    (
      {"accuracy": 0.88},
      "1 of 2 texts lose more than 1 %, the most 2.22 %, the mean of all 1.39 %",
    ),
    ({"prompt_f1": 0.99}, "1 of 2 texts do not have F1 = 100 certified"),
    ({"certified": False}, "1 of 2 texts do not have F1 = 100 certified"),
    ({"certified": None}, "1 of 2 texts do not have F1 = 100 certified"),
    ({"prompt_f1": None, "token_match": 0.9}, "1 of 2 texts do not have F1 = 100 certified"),
  ],
)
def test_one_text_for_which_it_does_not_hold_is_enough(tmp_path, changes, why):
  sentence = failing(tmp_path, lambda each: each.update(changes) if in_cell(each) else None)
  assert sentence == f"Not borne out by cell: sst2 from its text, lr 0.1: {why}."


def test_a_text_without_words_reads_as_itself_token_by_token(tmp_path):
  change = {"prompt_f1": None}
  sentence = failing(tmp_path, lambda each: each.update(change) if in_cell(each) else None)
  assert sentence.startswith("Borne out by cell: ")


def test_without_unconstrained_prompts_there_is_nothing_to_bear_it_out(tmp_path):
  rows = [each for each in rows_of(0.1, ACCURACY[0.1]) if each.get("constraint") == "cell"]
  found = measured(tmp_path, {0.1: rows})
  assert found["verdicts"] == [
    "Not borne out by cell: sst2 from its text, lr 0.1: 2 of 2 texts cannot be compared."
  ]
  (line,) = lines_of(found)
  assert (line["Δ̂ %"], line["Δ̂ best %"]) == ("–", "–")


def test_starts_are_told_apart_and_the_best_rate_is_of_the_same_start(tmp_path):
  write_run(tmp_path / "a", rows_of(0.01, (0.8, 0.8, 0.8)))
  write_run(tmp_path / "b", rows_of(0.01, (0.4, 0.4, 0.2), init="vocab"), init="vocab")
  found = certified.measure([parse_args(["--dataset", "sst2", "--model", "m"])], tmp_path)
  assert [(line["start"], line["Δ̂ best %"].split()[0]) for line in lines_of(found)] == [
    *(("its text", "0.0"),) * 3,
    *(("random tokens", "0.0"),) * 2,
    ("random tokens", "50.0"),
  ]
  (sentence,) = found["verdicts"]
  assert sentence.startswith(
    "Not borne out by cell: sst2 from random tokens, lr 0.01: 2 of 2 texts"
  )


def test_other_settings_are_never_mixed(tmp_path):
  write_run(tmp_path / "a", rows_of(0.01, (0.8, 0.8, 0.8)))
  write_run(tmp_path / "b", rows_of(0.1, (0.9, 0.9, 0.9), steps=20), steps=20)
  found = certified.measure([parse_args(["--dataset", "sst2", "--model", "m"])], tmp_path)
  assert [line["Δ̂ best %"].split()[0] for line in lines_of(found)] == ["0.0"] * 6
  assert {line["task"] for line in lines_of(found)} == {"sst2, steps 10", "sst2, steps 20"}


def test_only_seeds_that_both_have_are_compared(tmp_path):
  rows = rows_of(0.01, (0.8, 0.8, 0.8), ("a",))
  lost = next(each for each in rows if each["seed"] == 2 and each.get("constraint") == "cell")
  lost["status"] = "diverged"
  found = measured(tmp_path, {0.01: rows})
  (line,) = lines_of(found)[2:]
  assert (line["accuracy"], line["Δ̂ %"]) == ("75.0", "0.0")
  assert "Prompts left out because they diverged: 1." in found["table"]["caption"]


def test_what_is_of_other_models_tasks_and_texts_is_left_out(tmp_path):
  others = [
    *rows_of(0.01, (0.8, 0.8, 0.8), ("a",), model="other"),
    *rows_of(0.01, (0.8, 0.8, 0.8), ("a",), dataset="trec"),
    *rows_of(0.01, (0.8, 0.8, 0.8), ("a",), target_group="true"),
    *rows_of(0.01, (0.8, 0.8, 0.8), ("a",), init="random"),
    row("a", 0.003),
  ]
  write_run(tmp_path / "others", others)
  config = parse_args(["--dataset", "sst2", "--model", "m"])
  with pytest.raises(WayjaxError, match="holds no prompts of m: run the experiment"):
    certified.measure([config], tmp_path)
  write_run(tmp_path / "own", rows_of(0.01, (0.8, 0.8, 0.8)))
  assert len(lines_of(certified.measure([config], tmp_path))) == 3
  wider = dataclasses.replace(config, gamma=(0.0, 0.003))
  assert len(lines_of(certified.measure([wider], tmp_path))) == 4


def test_rows_of_before_there_were_cells_have_a_line(tmp_path):
  found = measured(tmp_path, {0.01: [row("a", gamma) for gamma in (0.0, 0.01)]})
  lines = lines_of(found)
  assert [line["prompt"] for line in lines] == ["unconstrained", "γ = 0.01"]
  assert {(line["certified %"], line["margin"], line["token match"]) for line in lines} == {
    ("–", "–", "–")
  }
  assert found["verdicts"] == []


class TestCommand:
  """Which parts of it are run."""

  def test_all_of_it_is_every_start_rate_task_and_arm(self, monkeypatch, tmp_path):
    calls = calls_of(certified.EXPERIMENT, ["--model", "m"], monkeypatch, tmp_path)
    assert len({(call.init, call.lr, call.dataset) for call in calls}) == len(calls) == 2 * 4 * 5
    for call in calls:
      assert call.targets == ("ni", "pile")
      assert variants(call.constraint, call.gamma, call.cell_gamma) == (
        ("c-dist", 0.0), ("c-dist", 0.01), ("cell", 0.0), ("cell", 0.01)
      )  # fmt: skip
    assert len({call.out for call in calls}) == len(calls)

  def test_a_part_is_chosen_by_its_options(self, monkeypatch, tmp_path):
    options = ["--datasets", "trec", "--lr", "0.03", "0.1", "--init", "vocab", "--steps", "200"]
    options += ["--max-targets", "4", "--seeds", "1", "10", "--eval-rows", "500", "--shard", "0/2"]
    calls = calls_of(certified.EXPERIMENT, [*options, "--cell-gamma", "0"], monkeypatch, tmp_path)
    # With --max-targets each group is a run.
    assert [(call.dataset, call.init, call.lr, *call.targets) for call in calls] == [
      ("trec", "vocab", lr, group) for lr in (0.03, 0.1) for group in ("ni", "pile")
    ]
    for call in calls:
      assert (call.steps, call.max_targets, call.seeds) == (200, 4, (1, 10))
      assert (call.eval_rows, call.shard, call.cell_gamma) == (500, (0, 2), (0.0,))

  def test_the_demo_is_a_small_part_unless_another_is_named(self, monkeypatch, tmp_path):
    calls = calls_of(certified.EXPERIMENT, ["--demo"], monkeypatch, tmp_path)
    assert [(call.dataset, call.init, call.lr, call.model) for call in calls] == [
      ("trec", "vocab", 0.01, "demo"), ("trec", "vocab", 0.1, "demo")
    ]  # fmt: skip
    named = ["--demo", "--datasets", "subj", "--lr", "0.3"]
    (call,) = calls_of(certified.EXPERIMENT, named, monkeypatch, tmp_path)
    assert (call.dataset, call.init, call.lr) == ("subj", "vocab", 0.3)

  @pytest.mark.parametrize(
    ("options", "message"),
    [
      (["--lr", "0.5"], "--lr 0.5: certified has 0.01, 0.03, 0.1, 0.3"),
      (["--lr", "0.1", "fast"], "argument --lr: invalid float value: 'fast' (see --help)"),
      (["--init", "random"], "--init random: certified has target, vocab"),
    ],
  )
  def test_what_it_does_not_have_is_a_sentence(self, options, message, capsys, tmp_path):
    assert experiment.main(certified.EXPERIMENT, "", [*options, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
