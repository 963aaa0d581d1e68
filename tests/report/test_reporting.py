"""Reports of made-up run folders: which tables and figures there are, and what is in them."""

import json

import pytest

from wayjax.command_line import parse_args, to_command
from wayjax.errors import WayjaxError
from wayjax.report import build, figures, gather, kinds, main, paper, tables
from wayjax.results.folder import RunWriter

CONFIG = {
  "dataset": "sst2",
  "model": "m",
  "gamma": [0.0, 0.01],
  "task": {"template": "It is %s.", "label_words": ["bad", "good"]},
  "resolved": {
    "parameters": 124_000_000,
    "majority": 0.5,
    "device": "a CPU",
    "versions": {"wayjax": "0"},
  },
}


def row(name="a", gamma=0.0, seed=1, accuracy=0.8, f1=1.0, group="ni", **changes):
  return {
    "model": "m", "dataset": "sst2", "split": "test", "steps": 10, "init": "target", "lr": 0.01,
    "precision": "float32", "projection": "euclidean", "status": "done", "target_group": group,
    "target_name": name, "target_text": f"text {name}", "projected_text": f"text {name}",
    "gamma": gamma, "seed": seed, "accuracy": accuracy, "text_accuracy": 0.5, "prompt_f1": f1,
    "c_dist": 1.0, "prompt_key": f"{group}/{name}/gamma={gamma}/seed={seed}", **changes,
  }  # fmt: skip


def write_run(folder, rows, metrics=(), **config):
  writer = RunWriter.begin(folder)
  writer.write_config(CONFIG | config)
  writer.append_metrics(list(metrics))
  writer.append_rows(
    rows,
    {},
    [
      {"prompt_key": one["prompt_key"], "target_tokens": ["x"], "nearest": [[["x", 0.5]]]}
      for one in rows
    ],
  )
  return str(folder)


def read(*folders):
  return gather.merge(gather.find_runs(folders))


def test_table_2_averages_the_drop_of_each_target(tmp_path):
  rows = [
    row("a", 0.0, 1, 0.8), row("a", 0.0, 10, 0.6), row("a", 0.01, 1, 0.7, 0.9),
    row("a", 0.01, 10, 0.56, 0.7), row("b", 0.0, 1, 0.5), row("b", 0.01, 1, 0.6),
    row("gone", 0.0, 1, 0.1), row("gone", 0.01, 1, 0.0, status="diverged"),
    row("c", 0.01, 1, 0.0, group="pile-4"), row("d", 0.01, 1, 0.0, group="true"),
  ]  # fmt: skip
  (found,) = read(write_run(tmp_path / "run", rows))
  table = tables.main_results([found.only(kinds.is_any_text)])
  line = dict(zip(table.columns, table.lines[0], strict=True))
  assert len(table.lines) == 1
  # (0.7 - 0.63) / 0.7 = 10 %, (0.5 - 0.6) / 0.5 = -20 %
  assert line["Δ̂ %"] == "-5.0 [-20.0, 10.0]"
  assert line["F1 γ"] == "90.0 [80.0, 100.0]"
  assert (line["acc. γ=0"], line["acc. γ"], line["targets"]) == ("60.0", "61.5", "2")
  f1, drop = paper.TABLE_2["sst2"]
  assert (line["paper's F1"], line["paper's Δ̂ %"]) == (f"{100 * f1:.1f}", f"{100 * drop:.1f}")


def test_table_2_is_of_the_papers_gamma_where_there_are_several(tmp_path):
  rows = [row("a", gamma) for gamma in (0.0, 0.001, 0.01, 0.03)]
  several = tables.main_results(read(write_run(tmp_path / "several", rows)))
  assert [line[2] for line in several.lines] == ["0.01"]
  others = tables.main_results(read(write_run(tmp_path / "others", [*rows[:2], rows[3]])))
  assert [line[2] for line in others.lines] == ["0.001", "0.03"]


def test_a_report_of_every_kind_of_item(tmp_path):
  folder = tmp_path / "out"
  free = [row(name, gamma) for name in "ab" for gamma in (0.0, 0.003, 0.01)]
  points = [{"prompt_key": one["prompt_key"], "step": 10, "dev_accuracy": 0.9} for one in free]
  write_run(folder / "1", free, points)
  write_run(folder / "2", [row("t", gamma, group="true") for gamma in (0.0, 0.01)])
  lengths = [row("x", g, group=f"pile-{size}") for size in (4, 7) for g in (0.0, 0.01)]
  write_run(folder / "3", lengths)
  task = {"task": "sst2", "example": "x", "template": "It is ….", "label_words": ["bad", "good"]}
  task |= {"train": 6000, "dev": 60, "test": 6, "majority": 0.5}
  measured = {"tasks": [task], "command": "python -m experiments.table1_tasks"}
  (folder / "table1_tasks.measured.json").write_text(json.dumps(measured))
  report = build.make_report(read(str(folder)), gather.find_measured([str(folder)]))
  assert [table.name for table in report.tables] == [
    "table1", "table2", "table3", "table4", "table5", "fig5-numbers", "targets",
  ]  # fmt: skip
  assert report.tables[0].lines == (
    ("sst2", "x", "It is ….", "bad, good", "6,000", "60", "6", "50.0"),
  )
  assert report.tables[0].command == measured["command"]
  assert report.tables[1].command.startswith("python -m wayjax.run --dataset sst2")
  assert [figure.name for figure in report.figures] == ["fig3", "fig4", "fig5"]
  assert len(report.entries) == len(free) + 2 + len(lengths)
  assert report.entries[0].nearest == ((("x", 0.5),),)
  assert report.entries[0].curve[0]["dev_accuracy"] == 0.9
  assert figures.gamma(read(str(folder))).svg == figures.gamma(read(str(folder))).svg


def test_the_gamma_of_figure_5_is_chosen_on_dev(tmp_path):
  rows = [row("a", 0.0), row("a", 0.003, accuracy=0.9), row("a", 0.01, accuracy=0.1)]
  dev = {0.003: 0.6, 0.01: 0.7}  # dev and test disagree
  points = [
    {"prompt_key": one["prompt_key"], "step": 10, "dev_accuracy": dev[one["gamma"]]}
    for one in rows[1:]
  ]
  (found,) = read(write_run(tmp_path / "run", rows, points))
  assert [line["gamma"] for line in tables.chosen_lines(found)] == [0.01]
  table = tables.model_sizes([found])
  assert table.lines[0][:5] == ("m", "sst2", "124,000,000", "1", "0.01")


@pytest.fixture
def found(tmp_path):
  """One text and one description, of which no two numbers are alike."""
  rows = [
    row("any", 0.0, accuracy=0.8, f1=0.1, text_accuracy=0.31),
    row("any", 0.01, accuracy=0.6, f1=0.9, text_accuracy=0.31, projected_text="read any"),
    row("own", 0.0, accuracy=0.4, f1=0.2, text_accuracy=0.32, group="true"),
    row("own", 0.01, accuracy=0.5, f1=0.7, text_accuracy=0.32, group="true"),
  ]
  (found,) = read(write_run(tmp_path / "run", rows))
  return found


def lines_of(table):
  return [dict(zip(table.columns, line, strict=True)) for line in table.lines]


def test_what_stands_in_the_columns_of_tables(found):
  any_text, described = found.only(kinds.is_any_text), found.only(kinds.describes_task)
  accuracies = {"acc. γ=0": "80.0", "acc. γ": "60.0"}
  [line] = lines_of(tables.examples([any_text]))
  assert line == accuracies | {
    "task": "sst2", "target": "text any", "reads as": "read any", "γ": "0.01", "F1 γ": "90.0",
  }  # fmt: skip
  [line] = lines_of(tables.true_descriptions([described]))
  assert line == {
    "task": "sst2", "description": "text own", "γ": "0.01", "acc. as text": "32.0",
    "acc. γ=0": "40.0", "acc. γ": "50.0", "Δ̂ %": "-25.0", "F1 γ": "70.0",
  }  # fmt: skip
  assert lines_of(tables.comparison([(described, any_text)])) == [
    {"task": "sst2", "reads as": name, "γ": "0.01", "targets": "1"}
    | dict(zip(("acc. γ", "Δ̂ %", "F1 γ"), numbers, strict=True))
    for name, numbers in (
      ("true description", ("50.0", "-25.0", "70.0")),
      ("any text", ("60.0", "25.0", "90.0")),
    )
  ]
  line, _ = lines_of(tables.targets([found]))
  assert line == accuracies | {
    "task": "sst2", "target": "text any", "γ": "0.01", "acc. as text": "31.0", "Δ̂ %": "25.0",
    "F1 γ=0": "10.0", "F1 γ": "90.0", "reads as": "read any",
  }  # fmt: skip


def test_what_stands_on_the_axes_of_figures(found):
  point = figures._point(7, found.only(kinds.is_any_text).lines)
  assert (point.x, point.f1.mean) == (7, 0.9)
  assert point.delta.mean == pytest.approx(0.25)


def test_model_sizes_are_of_one_setting_each(tmp_path):
  for steps in (10, 20):
    rows = [row("a", g, steps=steps, f1=0.9, accuracy=0.5 + g) for g in (0.0, 0.003, 0.01)]
    points = [{"prompt_key": one["prompt_key"], "step": steps, "dev_accuracy": 0.5} for one in rows]
    write_run(tmp_path / str(steps), rows, points)
  lines = lines_of(tables.model_sizes(read(str(tmp_path))))
  assert [line["task"] for line in lines] == ["sst2, steps 10", "sst2, steps 20"]
  assert {line["F1 γ"] for line in lines} == {"90.0"}
  assert {line["Δ̂ %"] for line in lines} == {"-2.0"}


def test_a_drop_from_nothing_has_no_value(tmp_path):
  rows = [row("a", 0.0, accuracy=0.0), row("a", 0.01, accuracy=0.5)]
  (found,) = read(write_run(tmp_path / "run", rows))
  assert [line["Δ̂ %"] for line in lines_of(tables.targets([found]))] == ["–"]


def test_a_row_that_lacks_something_is_named(tmp_path):
  damaged = row("a")
  del damaged["status"]
  with pytest.raises(WayjaxError, match=r"is damaged: a row or its config\.json lacks .status."):
    read(write_run(tmp_path / "run", [damaged]))


def test_templates_are_settings(tmp_path):
  for i, template in enumerate(("It is %s.", "It is %s!")):
    task = {"template": template, "label_words": ["bad", "good"]}
    write_run(tmp_path / str(i), [row("a", gamma) for gamma in (0.0, 0.01)], task=task)
  found = read(str(tmp_path))
  assert gather.labels(found) == ["sst2, template It is %s.", "sst2, template It is %s!"]


def test_settings_that_differ_are_named_and_never_averaged(tmp_path):
  write_run(tmp_path / "1", [row("a", gamma) for gamma in (0.0, 0.01)])
  write_run(tmp_path / "2", [row("a", gamma, model="n") for gamma in (0.0, 0.01)])
  write_run(tmp_path / "3", [row("a", gamma) for gamma in (0.0, 0.01)], batch_size=4)
  found = read(str(tmp_path))
  assert gather.labels(found) == [
    "sst2, m, batch_size None", "sst2, n, batch_size None", "sst2, m, batch_size 4",
  ]  # fmt: skip
  for one, digest in zip(found, ("a", "b", "a"), strict=True):
    one.setting["model_sha256"] = digest
  assert gather.labels(found[:2]) == ["sst2, m", "sst2, n"]
  found[1].setting["model"] = "m"  # the same name, other weights
  assert gather.labels(found[:2]) == ["sst2, model_sha256 a", "sst2, model_sha256 b"]
  table = tables.main_results(found)
  assert [line[0] for line in table.lines] == gather.labels(found)
  assert gather.labels(found[:1]) == ["sst2"]


def test_figure_3_is_of_the_targets_that_have_all_gammas(tmp_path):
  swept = [row(name, g, f1=0.5) for name in "abc" for g in (0.0, 0.001, 0.003, 0.005, 0.01, 0.03)]
  sized = [row(name, g, group="pile") for name in "abcd" for g in (0.0, 0.003, 0.005, 0.01)]
  one_more = [row("a", 0.1)]
  (found,) = read(write_run(tmp_path / "1", [*swept, *sized, *one_more]))
  lines = figures._of_shared_gammas(found.lines)
  assert {line["group"] for line in lines} == {"ni"}
  assert len(lines) == 3 * 5
  (found,) = read(write_run(tmp_path / "2", sized))
  assert not figures.has_curve(found)
  (found,) = read(write_run(tmp_path / "3", [row("a", 0.01), row("b", 0.03)]))
  assert not figures.has_curve(found)


def test_texts_of_the_command_line_share_their_names_but_not_their_numbers(tmp_path):
  for text in ("one", "another"):
    rows = [
      row("text-1", gamma, group="text", target_text=text, accuracy=len(text) / 10)
      for gamma in (0.0, 0.01)
    ]
    write_run(tmp_path / text, rows)
  (found,) = read(str(tmp_path), str(tmp_path / "one"))  # a folder that is named twice counts once
  assert {line["target"]: line["accuracy"] for line in found.lines} == {"one": 0.3, "another": 0.7}


def test_gamma_is_chosen_for_each_text_of_one_name(tmp_path):
  for text, gammas in {"one": (0.003, 0.01), "another": (0.003, 0.01), "third": (0.003,)}.items():
    rows = [row("text-1", gamma, group="text", target_text=text) for gamma in gammas]
    points = [{"prompt_key": one["prompt_key"], "step": 10, "dev_accuracy": 0.5} for one in rows]
    write_run(tmp_path / text, rows, points)
  (found,) = read(str(tmp_path))
  assert {line["target"] for line in tables.chosen_lines(found)} == {"one", "another"}


def test_a_drop_compares_the_same_seeds(tmp_path):
  rows = [row("a", 0.0, 1, 0.8), row("a", 0.0, 10, 0.2), row("a", 0.01, 1, 0.8)]
  (found,) = read(write_run(tmp_path / "run", rows))
  assert [line["delta"] for line in found.lines] == [0.0]


def test_texts_are_escaped():
  table = tables.Table("t", "T", "a_b", ("x|y",), (("50% & $5 <b>\n",),), "python -m x ```")
  assert "````\npython -m x ```\n````" in tables.to_markdown(table)
  assert r"| 50% &amp; \$5 &lt;b&gt;⏎ |" in tables.to_markdown(table)
  assert r"50\% \& \$5 \textless{}b\textgreater{}\textbackslash{}n \\" in tables.to_latex(table)


def test_the_command_line_writes_all_files(tmp_path, capsys):
  folder = write_run(tmp_path / "run", [row("a", gamma) for gamma in (0.0, 0.001, 0.01)])
  assert main([folder]) == 0
  out = capsys.readouterr().out
  assert f"the report is in {folder}/report/index.html" in out
  names = {path.name for path in (tmp_path / "run" / "report").iterdir()}
  assert names == {
    "index.html", "report.md", "fig3.svg", "fig3.png", "table2.tex", "table3.tex", "targets.tex",
  }  # fmt: skip
  assert "\n\n## Table 2: " in (tmp_path / "run" / "report" / "report.md").read_text()
  assert main([folder, "--out", str(tmp_path / "again")]) == 0
  for path in (tmp_path / "again").iterdir():
    assert path.read_bytes() == (tmp_path / "run" / "report" / path.name).read_bytes()
  assert main([str(tmp_path / "nothing")]) == 2
  assert "is no run folder and holds none" in capsys.readouterr().err
  (tmp_path / "file").touch()
  assert main([folder, "--out", str(tmp_path / "file")]) == 2
  assert "cannot be written to" in capsys.readouterr().err


def test_a_damaged_measurement_is_named(tmp_path):
  (tmp_path / "prop1_margins.measured.json").write_text("{")
  with pytest.raises(WayjaxError, match=r"prop1_margins\.measured\.json is damaged"):
    gather.find_measured([str(tmp_path)])


@pytest.mark.parametrize(
  "options",
  [
    "--dataset sst2",
    "--dataset agnews --demo --steps 7",
    "--dataset trec --targets ni pile --gamma 0 0.5 --seeds 3 --shard 1/4 --lr 0.0012345678",
    "--dataset subj --target 'two words' --target=\"-it's\" --init vocab",
  ],
)
def test_a_configuration_as_a_command(options, monkeypatch):
  import dataclasses
  import shlex

  config = parse_args(shlex.split(options))
  command = to_command(json.loads(json.dumps(dataclasses.asdict(config))))
  assert command.startswith("python -m wayjax.run ")
  assert parse_args(shlex.split(command)[3:]) == config
  assert len(command) <= len("python -m wayjax.run ") + len(options) + 10
