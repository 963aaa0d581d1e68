"""Reports of made-up run folders: which tables and figures there are, and where they come from."""

import json

import pytest
from reports import EARLIER, at_the_end, lines_of, read, row, write_run

from wayjax.errors import WayjaxError
from wayjax.report import build, gather, write

TABLE = {"name": "toy", "title": "Toy", "caption": "c", "columns": ["x", "y"], "lines": [["1", 2]]}


def test_a_report_of_every_kind_of_experiment(tmp_path):
  folder = tmp_path / "out"
  free = [row(name, gamma) for name in "ab" for gamma in (0.0, 0.003, 0.01)]
  write_run(folder / "1", free, at_the_end(free, 0.9))
  write_run(folder / "2", [row("t", gamma, group="true") for gamma in (0.0, 0.01)])
  lengths = [row("x", g, group=f"pile-{size}") for size in (4, 7) for g in (0.0, 0.01)]
  write_run(folder / "3", lengths)
  for name, content in EARLIER.items():
    (folder / f"{name}.measured.json").write_text(json.dumps(content))
  report = build.make_report(read(str(folder)), gather.find_measured([str(folder)]))
  assert [table.name for table in report.tables] == [
    "table1", "table2", "table3", "table4", "table5", "fig5-numbers", "targets",
  ]  # fmt: skip
  assert report.tables[0].command == EARLIER["table1_tasks"]["command"]
  assert report.tables[1].command.startswith("python -m wayjax.run --dataset sst2")
  assert [figure.name for figure in report.figures] == ["fig3", "fig4", "fig5", "fig6", "prop1"]
  assert len(report.entries) == len(free) + 2 + len(lengths)
  entry = report.entries[0]
  assert entry.nearest == ((("x", 0.5),),)
  assert entry.curve[0]["dev_accuracy"] == 0.9
  assert entry.setting["template"] == "It is %s."


def test_walls_are_those_of_the_readings_and_old_folders_have_none(tmp_path):
  folder = write_run(tmp_path / "run", [row(name, 0.0) for name in "abc"])
  walls = [{"token": "\x1b", "distance": 0.5, "relative": None}, {"token": None}]
  path = tmp_path / "run" / "readings.jsonl"
  with_walls, null, old = map(json.loads, path.read_text().splitlines())
  lines = with_walls | {"walls": walls}, null | {"walls": None}, old
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  report = build.make_report(read(folder), {})
  assert [entry.walls for entry in report.entries] == [
    (("\x1b", 0.5, None), (None, None, None)), (), ()
  ]  # fmt: skip


def test_a_report_of_targets_without_words_says_that_their_f1_is_left_out(tmp_path):
  groups = (("a", "ni"), ("t", "true"), ("x", "pile-4"), ("y", "pile-7"))
  rows = [
    row(name, gamma, group=group, f1=None) for name, group in groups for gamma in (0.0, 0.003, 0.01)
  ]
  rows += [row("b", gamma, f1=gamma) for gamma in (0.0, 0.003, 0.01)]
  found = read(write_run(tmp_path / "run", rows, at_the_end(rows, 0.9)))
  report = build.make_report(found, {})
  assert ("left out of means of F1", "targets without words: 4") in report.facts
  cells = {table.name: lines_of(table) for table in report.tables}
  assert [line["F1 γ"] for line in cells["table2"]] == ["1.0"]  # of b alone
  assert [line["F1 γ"] for line in cells["table4"]] == ["–"]
  assert {line["F1 γ"] for line in cells["targets"] if line["target"] == "text a"} == {"–"}
  assert [figure.name for figure in report.figures] == ["fig3", "fig4", "fig5"]
  write.write_report(report, str(tmp_path / "report"))
  facts = dict(build.make_report(read(write_run(tmp_path / "b", rows[-3:])), {}).facts)
  assert "left out of means of F1" not in facts


def test_earlier_measurements_are_reported_as_before():
  found = {name: gather._renewed(content) for name, content in EARLIER.items()}
  report = build.make_report([], found)
  [table] = report.tables
  assert (table.name, table.title) == ("table1", "Table 1: tasks")
  assert table.caption == (
    "Templates, label words and rows. The last column is the share of the most frequent class in "
    "the test rows, in per cent."
  )
  assert table.columns == (
    *("task", "example", "template", "label words", "train", "dev", "test", "majority %"),
  )
  assert table.lines == (("sst2", "x", "It is ….", "bad, good", "6,000", "60", "6", "50.0"),)
  slice_of, room = report.figures
  assert slice_of.title == "Figure 6: the cell of a token"
  assert slice_of.caption == (
    "A plane through the token table of m, in which the embedding of ' a' and the vectors of two "
    "prompts in its place, tuned for agnews, lie. In each cell one token is nearest; a prompt "
    "reads as the token of its cell, wherever in it its vector lies."
  )
  assert room.title == "Proposition 1: the room around tokens"
  assert room.caption == (
    "4,096 tokens of m: half the distance to the nearest other token. Of 1,000 random points "
    "inside of these radii 999 project back to their token; 2 tokens have a twin with the same "
    "embedding, and no room. Dotted: percentiles."
  )
  assert [figure.command for figure in report.figures] == [
    "python -m experiments.fig6_voronoi", "python -m experiments.prop1_margins",
  ]  # fmt: skip


def test_any_experiment_may_have_a_table_or_a_figure_of_its_own(tmp_path):
  drawn = {"figure": "histogram", "name": "mine", "title": "Mine", "caption": "c", "marks": {}}
  drawn |= {"counts": [1], "edges": [0, 1], "x_label": "x", "y_label": "y"}
  write_run(tmp_path / "run", [row("a", gamma) for gamma in (0.0, 0.01)])
  measured = {"toy": {"command": "a", "table": TABLE}, "other": {"command": "b", **drawn}}
  report = build.make_report(read(str(tmp_path)), measured)
  assert [table.name for table in report.tables] == ["toy", "table2", "table3", "targets"]
  assert report.tables[0].lines == (("1", "2"),)
  assert report.tables[0].command == "a"
  assert [(figure.title, figure.command) for figure in report.figures] == [("Mine", "b")]


DOTS = {
  "figure": "dots",
  "name": "shares",
  "title": "Shares",
  "caption": "c",
  "rows": ["one", "another"],
  "labels": ["_a", "b"],
  "panels": [
    {"x_label": "share", "dots": [{"row": "one", "label": "b", "mean": 0.5, "low": 0, "high": 1}]},
    {"x_label": "of nothing", "dots": []},
  ],
}


def test_an_experiment_may_have_both_which_are_then_two_parts(tmp_path):
  content = {"command": "a", "table": TABLE, **DOTS}
  (tmp_path / "toy.measured.json").write_text(json.dumps(content))
  report = build.make_report([], gather.find_measured([str(tmp_path)]))
  (table,), (figure,) = report.tables, report.figures
  assert (table.name, table.command, figure.name, figure.command) == ("toy", "a", "shares", "a")
  assert figure.svg.startswith("<?xml")


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    ({"table": {}}, "it lacks 'lines'"),
    ({"table": TABLE, "figure": "dots"}, "it lacks 'rows'"),
    (DOTS | {"panels": [{"x_label": "x", "dots": [{"label": "b"}]}]}, "it lacks 'mean'"),
    ({"table": []}, "is damaged"),
    ({"table": TABLE | {"lines": [["1"]]}}, "more cells or fewer"),
    ({"table": TABLE | {"name": "../x"}}, "cannot be the name of a file"),
    ({"figure": "pie"}, "its figure is not one of cells, histogram, dots"),
    ({"figure": ["cells"]}, "is damaged"),
    ({"figure": "histogram"}, "it lacks 'edges'"),
    ({"table": TABLE, "command": True}, "command"),
    ({"table": TABLE, "command": None}, "command"),
  ],
)
def test_a_damaged_measurement_is_named(content, problem):
  with pytest.raises(WayjaxError, match=r"toy\.measured\.json is damaged") as error:
    build.make_report([], {"toy": {"command": "", **content}})
  assert problem in str(error.value)


def test_what_the_demo_took_part_in_is_called_so(tmp_path):
  rows = [row("a", gamma, demo=True) for gamma in (0.0, 0.001, 0.01)]
  report = build.make_report(read(write_run(tmp_path / "run", rows)), {})
  titles = [part.title for part in (*report.tables, *report.figures)]
  assert all(title.endswith(" (demo)") for title in titles)
  assert report.facts[-1][0] == "demo"
