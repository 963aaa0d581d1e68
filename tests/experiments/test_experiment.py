"""The paper's experiments as commands: their records, and all of them in one report."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from experiments import experiment
from experiments.experiment import Experiment
from experiments.needed_runs import Sweep
from wayjax import report

NAMES = (
  *("table1_tasks", "table2_main", "table3_examples", "table4_true", "table5_compare"),
  *("fig3_gamma", "fig4_length", "fig5_model_size", "fig6_voronoi", "prop1_margins"),
  *("certified", "readable_tokens", "readers_bench", "fooled_readers"),
)
FOLDER = Path(experiment.__file__).parent


def module(name):
  return importlib.import_module(f"experiments.{name}")


def run(name, arguments) -> int:
  return experiment.main(module(name).EXPERIMENT, "", arguments)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_is_its_record(name, capsys):
  found = module(name)
  for part in ("\nClaim: ", "\nPaper", f"\nCommand: python -m experiments.{name} ", "\nTime: "):
    assert part in found.__doc__
  assert found.EXPERIMENT.name == name
  with pytest.raises(SystemExit) as stop:
    experiment.main(found.EXPERIMENT, found.__doc__, ["--help"])
  assert stop.value.code == 0
  shown = capsys.readouterr().out
  assert shown.startswith(f"usage: python -m experiments.{name} ")
  assert found.__doc__.strip() in shown


def test_there_are_no_others():
  listed = {path.stem for path in FOLDER.glob("*.py")}
  # things_in_rooms writes rows for wayjax.run, and tunes nothing itself.
  others = {"__init__", "experiment", "needed_runs", "things_in_rooms"}
  assert listed - others == set(NAMES)


def test_the_grid_of_table_2_is_the_papers():
  (sweep,) = module("table2_main").EXPERIMENT.sweeps
  assert sweep == Sweep(("sst2", "sst5", "agnews", "trec", "subj"), ("ni", "pile"), (0.0, 0.01))


def test_a_wrong_task_is_one_sentence(tmp_path, capsys):
  out = ["--out", str(tmp_path)]
  assert run("fig4_length", [*out, "--datasets", "trec"]) == 2
  assert "fig4_length has the tasks agnews" in capsys.readouterr().err
  assert run("fig4_length", [*out, "--datasets", "agnews", "nonsense"]) == 2
  assert "--datasets nonsense: there are the tasks sst2, " in capsys.readouterr().err


def test_folders_that_cannot_be_shared_and_models_that_are_too_many_are_named(capsys):
  assert run("fig4_length", ["--out", "gs://bucket/x"]) == 2
  assert "--out gs://bucket/x: experiments share a folder of a file" in capsys.readouterr().err
  assert run("prop1_margins", ["--model", "a", "b"]) == 2
  assert "prop1_margins takes one --model, not 2" in capsys.readouterr().err


def test_what_only_measures_is_measured_where_it_is_asked_to(tmp_path, capsys):
  assert run("prop1_margins", ["--demo", "--out", str(tmp_path), "--device", "tpu"]) == 2
  assert "--device tpu: jax sees only cpu here" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path, capsys):
  (tmp_path / "file").touch()
  for out, why in (("file", "is a file: name a folder"), ("file/x", "Not a directory")):
    options = ["--demo", "--datasets", "sst2", "--out", str(tmp_path / out)]
    assert run("table1_tasks", options) == 2
    assert capsys.readouterr().err.endswith(f"{why}\n")


def test_an_experiment_is_one_object_with_a_table_of_its_own(tmp_path, capsys):
  def measure(configs, out):
    lines = [[config.dataset, str(config.steps)] for config in configs]
    columns = ["task", "steps"]
    table = {"name": "toy", "title": "Toy", "caption": "A toy.", "columns": columns, "lines": lines}
    return {"table": table, "more": [1, 2]}

  toy = Experiment("toy", measure=measure, measured_on=("trec", "subj"))
  out = str(tmp_path / "out")
  assert experiment.main(toy, "", ["--demo", "--out", out, "--steps", "7"]) == 0
  assert f"toy is complete in {out}; to see it: python -m wayjax.report {out}" in (
    capsys.readouterr().out
  )
  measured = json.loads((tmp_path / "out" / "toy.measured.json").read_text())
  assert measured["more"] == [1, 2]
  assert measured["command"] == "python -m experiments.toy --demo --steps 7"
  assert report.main([out]) == 0
  assert {path.name for path in (tmp_path / "out" / "report").iterdir()} == {
    "index.html", "report.md", "toy.tex",
  }  # fmt: skip
  text = (tmp_path / "out" / "report" / "report.md").read_text()
  assert "## Toy\n\n| task | steps |\n| --- | --- |\n| trec | 7 |\n| subj | 7 |\n\nA toy.\n" in text
  assert "```\npython -m experiments.toy --demo --steps 7\n```" in text


# Every further length is compiled, and compiling is what takes the time.
@pytest.mark.parametrize("lengths", [2, pytest.param(5, marks=pytest.mark.nightly)])
def test_all_experiments_on_the_demo_are_one_report(tmp_path, capsys, monkeypatch, lengths):
  monkeypatch.setattr("experiments.fig6_voronoi._GRID", 40)
  fig4 = module("fig4_length")
  few = [
    dataclasses.replace(sweep, groups=sweep.groups[:lengths]) for sweep in fig4.EXPERIMENT.sweeps
  ]
  monkeypatch.setattr(fig4, "EXPERIMENT", dataclasses.replace(fig4.EXPERIMENT, sweeps=tuple(few)))
  small = ["--demo", "--out", str(tmp_path), "--datasets", "agnews", "sst2", "--steps", "2"]
  small += ["--train-rows", "40", "--eval-rows", "8", "--seeds", "1", "--max-targets", "1"]
  more = {name: ["--datasets", "agnews"] for name in NAMES if name.startswith("table")}
  more["certified"] = ["--datasets", "agnews", "--init", "target", "--lr", "0.01"]
  more["readers_bench"] = ["--datasets", "agnews", "--readers", "nearest"]
  more["fooled_readers"] = ["--datasets", "agnews", "--fool", "logit_lens"]
  for name in NAMES:
    assert run(name, [*small, *more.get(name, ())]) == 0, name
  said = capsys.readouterr().out
  # Table 3, Table 5, Figures 5 and 6 find all they need; Figure 3 tunes only what is new of agnews.
  assert "table3_examples, run" not in said
  assert "table5_compare, run" not in said
  assert "fig5_model_size, run" not in said
  assert "fig6_voronoi, run" not in said
  assert said.count(" --gamma 0.0001 0.0005 0.001 0.003 0.005 0.03 --seeds 1 --out ") == 1
  # In Table 2's setting only what is held in cells is new.
  assert said.count("certified, run") == said.count(
    " --constraint cell --cell-gamma 0.0 0.01 --out "
  )
  assert said.count("certified, run") == 1
  assert report.main([str(tmp_path)]) == 0
  names = {path.stem for path in (tmp_path / "report").iterdir()}
  assert names == {
    *("index", "report", "table1", "table2", "table3", "table4", "table5", "fig5-numbers"),
    *("targets", "fig3", "fig4", "fig5", "fig6", "prop1", "certified", "readable"),
    *("readers", "readers-named", "fooled", "fooled-named"),
  }
  margins = json.loads((tmp_path / "prop1_margins.measured.json").read_text())
  assert margins["hits"] == margins["points"] == 1000
  cells = json.loads((tmp_path / "fig6_voronoi.measured.json").read_text())
  nearest = max(cells["cells"], key=lambda cell: cell["score"][2])  # at the token's own place
  assert nearest["token"] == cells["target_token"]
  held = json.loads((tmp_path / "certified.measured.json").read_text())
  assert held["command"].endswith(" --datasets agnews --init target --lr 0.01")
  lines = [dict(zip(held["table"]["columns"], line)) for line in held["table"]["lines"]]
  prompts = ["unconstrained", "γ = 0.01", "cell", "cell, γ = 0.01"]
  assert [line["prompt"] for line in lines] == prompts
  for line in lines[2:]:
    assert line["F1"] == line["token match"] == line["certified %"] == "100.0"
  readable = json.loads((tmp_path / "readable_tokens.measured.json").read_text())
  assert readable["counts"]["euclidean"]["embedding"] == readable["tokens"] == 4096
  bench = json.loads((tmp_path / "readers_bench.measured.json").read_text())
  named = {(of["kind"], of["arm"]): of["means"]["names_a"] for of in bench["numbers"]}
  assert named["another task's", "true description"]["mean"] == 1
  # What is held to unrelated texts was tuned for others, and what fools nobody for readers_bench.
  assert said.count("readers_bench, run") == said.count("fooled_readers, run") == 1
  assert said.count("--targets demo-other") == 2
  fooled = json.loads((tmp_path / "fooled_readers.measured.json").read_text())
  assert {of["fooled"] for of in fooled["numbers"]} == {"nobody", "logit_lens"}
  table1 = json.loads((tmp_path / "table1_tasks.measured.json").read_text())
  assert table1["command"].endswith(" --datasets agnews")
