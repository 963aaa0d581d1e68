"""What stands in tables, and how they are written."""

import pytest
from reports import at_the_end, held, lines_of, read, row, text_and_description, write_run

from wayjax.report import gather, latex, paper, tables
from wayjax.results.markdown import escape_markdown


def test_table_2_averages_the_drop_of_each_target(tmp_path):
  rows = [
    row("a", 0.0, 1, 0.8), row("a", 0.0, 10, 0.6), row("a", 0.01, 1, 0.7, 0.9),
    row("a", 0.01, 10, 0.56, 0.7), row("b", 0.0, 1, 0.5), row("b", 0.01, 1, 0.6),
    row("gone", 0.0, 1, 0.1), row("gone", 0.01, 1, 0.0, status="diverged"),
    row("c", 0.01, 1, 0.0, group="pile-4"), row("d", 0.01, 1, 0.0, group="true"),
  ]  # fmt: skip
  (found,) = read(write_run(tmp_path / "run", rows))
  [line] = lines_of(tables.main_results([found.only(paper.is_any_text)]))
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


def test_what_stands_in_the_columns(tmp_path):
  found = text_and_description(tmp_path / "run")
  any_text, described = found.only(paper.is_any_text), found.only(paper.describes_task)
  accuracies = {"acc. γ=0": "80.0", "acc. γ": "60.0"}
  [line] = lines_of(tables.examples([any_text]))
  assert line == accuracies | {
    "task": "sst2", "target": "text any", "reads as": "read any", "γ": "0.01", "F1 γ": "90.0",
    "tokens γ": "75.0",
  }  # fmt: skip
  [line] = lines_of(tables.true_descriptions([described]))
  assert line == {
    "task": "sst2", "description": "text own", "γ": "0.01", "acc. as text": "32.0",
    "acc. γ=0": "40.0", "acc. γ": "50.0", "Δ̂ %": "-25.0", "F1 γ": "70.0", "tokens γ": "–",
  }  # fmt: skip
  assert lines_of(tables.comparison([(described, any_text)])) == [
    {"task": "sst2", "target": name, "γ": "0.01", "targets": "1"}
    | dict(zip(("acc. γ", "Δ̂ %", "F1 γ", "tokens γ"), numbers, strict=True))
    for name, numbers in (
      ("true description", ("50.0", "-25.0", "70.0", "–")),
      ("any text", ("60.0", "25.0", "90.0", "75.0")),
    )
  ]
  line, _ = lines_of(tables.targets([found]))
  assert line == accuracies | {
    "task": "sst2", "target": "text any", "γ": "0.01", "acc. as text": "31.0", "Δ̂ %": "25.0",
    "F1 γ=0": "10.0", "F1 γ": "90.0", "tokens γ=0": "5.0", "tokens γ": "75.0",
    "reads as": "read any",
  }  # fmt: skip


def certified_run(folder, constraint: str) -> gather.Results:
  """Two texts and a description, unconstrained and under two constraints, half of one certified."""
  rows = []
  for name, group in (("a", "pile"), ("b", "pile"), ("t", "true")):
    rows.append(row(name, 0.0, group=group, token_match=0.25, certified=False))
    for gamma in (0.003, 0.01):
      found = row(name, gamma, group=group, token_match=0.5, certified=name != "a")
      rows += [found, held(constraint, found | {"token_match": 1.0, "certified": True})]
  if constraint == "c-dist":
    rows = [of for of in rows if "constraint" not in of]
  (found,) = read(write_run(folder, rows, at_the_end(rows)))
  return found


def every_table(found: gather.Results) -> list:
  any_text, described = found.only(paper.is_any_text), found.only(paper.describes_task)
  return [
    tables.main_results([any_text]), tables.examples([any_text]),
    tables.true_descriptions([described]), tables.comparison([(described, any_text)]),
    tables.targets([found]), tables.model_sizes([any_text]),
  ]  # fmt: skip


def test_tokens_and_certified_prompts_stand_beside_f1_in_every_table(tmp_path):
  for table in every_table(certified_run(tmp_path / "run", "cell")):
    lines = lines_of(table)
    assert {line["constraint"] for line in lines} == {"c-dist", "cell"}
    columns = list(table.columns)
    assert columns.index("F1 γ") < columns.index("tokens γ") == columns.index("certified") - 1
    for line in lines:
      held_in_cell = line["constraint"] == "cell"
      assert line["tokens γ"] == ("100.0" if held_in_cell else "50.0")
      assert line.get("tokens γ=0", "25.0") == "25.0"
      if held_in_cell:
        assert line["certified"] in ("100.0", "yes")
    assert '"Tokens" is the share' in table.caption
    assert '"Certified" ones' in table.caption
  main, examples, *_ = every_table(certified_run(tmp_path / "again", "cell"))
  shares = {(line["constraint"], line["γ"]): line["certified"] for line in lines_of(main)}
  assert shares == {
    ("c-dist", "0.01"): "50.0",
    ("cell", "0.003"): "100.0",
    ("cell", "0.01"): "100.0",
  }
  lines = lines_of(examples)
  assert {(line["target"], line["constraint"]): line["certified"] for line in lines} == {
    ("text a", "c-dist"): "no", ("text b", "c-dist"): "yes",
    ("text a", "cell"): "yes", ("text b", "cell"): "yes",
  }  # fmt: skip


def test_under_the_papers_constraint_alone_tables_do_not_tell_of_certificates(tmp_path):
  for table in every_table(certified_run(tmp_path / "run", "c-dist")):
    assert table.lines
    assert not {"constraint", "certified"} & set(table.columns)
    assert "tokens γ" in table.columns
    assert "ertified" not in table.caption


def test_rows_of_earlier_versions_have_neither(two_constraints):
  for table in every_table(two_constraints):
    for line in lines_of(table):
      assert (line["tokens γ"], line["certified"]) == ("–", "–")


@pytest.fixture
def two_constraints(tmp_path) -> gather.Results:
  """Two texts and a description under c-dist and another constraint, and unconstrained."""
  members = [("a", "ni"), ("b", "ni"), ("t", "true")]
  rows = [row(name, 0.0, accuracy=0.8, group=group) for name, group in members]
  for name, group in members:
    rows += [row(name, gamma, accuracy=0.6, f1=0.9, group=group) for gamma in (0.003, 0.01)]
    rows += [
      held("ball", row(name, gamma, accuracy=0.4, f1=0.7, group=group)) for gamma in (0.003, 0.01)
    ]
  (found,) = read(write_run(tmp_path / "run", rows, at_the_end(rows)))
  return found


def variants(table) -> list[tuple[str, ...]]:
  """Constraint, gamma and accuracy of a table's lines."""
  return [(line["constraint"], line["γ"], line["acc. γ"]) for line in lines_of(table)]


def test_constraints_are_never_averaged(two_constraints):
  found = two_constraints
  any_text, described = found.only(paper.is_any_text), found.only(paper.describes_task)
  main = [("c-dist", "0.01", "60.0"), ("ball", "0.003", "40.0"), ("ball", "0.01", "40.0")]
  accuracies = {"c-dist": "60.0", "ball": "40.0"}
  assert variants(tables.main_results([any_text])) == main
  for line in lines_of(tables.main_results([any_text])):
    assert line["targets"] == "2"
    assert (line["paper's F1"] == "–") == (line["constraint"] == "ball")
  assert variants(tables.true_descriptions([described])) == main
  compared = lines_of(tables.comparison([(described, any_text)]))
  assert [(line["target"], line["constraint"], line["targets"]) for line in compared] == [
    (name, constraint, targets)
    for name, targets in (("true description", "1"), ("any text", "2"))
    for constraint, _, _ in main
  ]
  for line in compared:
    assert line["acc. γ"].split(" ")[0] == accuracies[line["constraint"]]
  shown = lines_of(tables.examples([any_text]))
  assert [(line["constraint"], line["acc. γ"]) for line in shown] == [
    ("c-dist", "60.0"), ("c-dist", "60.0"), ("ball", "40.0"), ("ball", "40.0"),
  ]  # fmt: skip
  for line in lines_of(tables.targets([found])):
    assert (line["acc. γ=0"], line["acc. γ"]) == ("80.0", accuracies[line["constraint"]])
  sizes = lines_of(tables.model_sizes([any_text]))
  assert [(line["constraint"], line["targets"], line["F1 γ"]) for line in sizes] == [
    ("c-dist", "2", "90.0 [90.0, 90.0]"), ("ball", "2", "70.0 [70.0, 70.0]"),
  ]  # fmt: skip


def test_a_constraint_without_a_weight_is_not_the_unconstrained_prompt(tmp_path):
  rows = [row("a", 0.0, accuracy=0.8), held("ball", row("a", 0.0, accuracy=0.4))]
  found = read(write_run(tmp_path / "run", rows))
  [line] = lines_of(tables.main_results(found))
  assert (line["constraint"], line["γ"]) == ("ball", "0")
  assert (line["acc. γ=0"], line["acc. γ"], line["Δ̂ %"]) == ("80.0", "40.0", "50.0")


def test_the_gamma_of_figure_5_is_chosen_on_dev(tmp_path):
  rows = [row("a", 0.0), row("a", 0.003, accuracy=0.9), row("a", 0.01, accuracy=0.1)]
  dev = {0.0: 0.5, 0.003: 0.6, 0.01: 0.7}  # dev and test disagree
  points = at_the_end(rows, lambda of: dev[of["gamma"]])
  (found,) = read(write_run(tmp_path / "run", rows, points))
  assert [line["gamma"] for line in tables.chosen_lines(found)["c-dist"]] == [0.01]
  table = tables.model_sizes([found])
  assert table.lines[0][:5] == ("m", "sst2", "124,000,000", "1", "0.01")


def test_gamma_is_chosen_for_each_text_of_one_name(tmp_path):
  for text, gammas in {"one": (0.003, 0.01), "another": (0.003, 0.01), "third": (0.003,)}.items():
    rows = [row("text-1", gamma, group="text", target_text=text) for gamma in gammas]
    write_run(tmp_path / text, rows, at_the_end(rows))
  (found,) = read(str(tmp_path))
  assert {line["target"] for line in tables.chosen_lines(found)["c-dist"]} == {"one", "another"}


def test_model_sizes_are_of_one_setting_each(tmp_path):
  for steps in (10, 20):
    rows = [row("a", g, steps=steps, f1=0.9, accuracy=0.5 + g) for g in (0.0, 0.003, 0.01)]
    write_run(tmp_path / str(steps), rows, at_the_end(rows))
  lines = lines_of(tables.model_sizes(read(str(tmp_path))))
  assert [line["task"] for line in lines] == ["sst2, steps 10", "sst2, steps 20"]
  assert {line["F1 γ"] for line in lines} == {"90.0"}
  assert {line["Δ̂ %"] for line in lines} == {"-2.0"}


def test_a_drop_from_nothing_has_no_value(tmp_path):
  rows = [row("a", 0.0, accuracy=0.0), row("a", 0.01, accuracy=0.5)]
  (found,) = read(write_run(tmp_path / "run", rows))
  assert [line["Δ̂ %"] for line in lines_of(tables.targets([found]))] == ["–"]


def test_targets_are_listed_unless_they_are_too_many(tmp_path):
  rows = [row(str(i), gamma) for i in range(tables.MOST_TARGETS + 1) for gamma in (0.0, 0.01)]
  (found,) = read(write_run(tmp_path / "run", rows))
  fewer = found.only(lambda of: of["target_name"] != "0")
  assert len(tables.targets([fewer]).lines) == tables.MOST_TARGETS
  assert tables.targets([found]).lines == ()


def test_texts_are_escaped():
  table = tables.Table("t", "T", "a_b", ("x|y",), (("50% & $5 <b>\n",),), "python -m x ```")
  assert "````\npython -m x ```\n````" in tables.to_markdown(table)
  assert r"| 50% &amp; \$5 &lt;b&gt;⏎ |" in tables.to_markdown(table)
  assert r"50\% \& \$5 \textless{}b\textgreater{}\textbackslash{}n \\" in latex.to_latex(table)


def test_what_begins_a_cell_is_no_markup_either():
  cells = (("[20, 30]",), ("*",), ("a`b|c",))
  table = tables.Table("t", "# T_1", "1. caption", ("x",), cells)
  text = latex.to_latex(table)
  for written in (r"    {[}20, 30] \\", r"    {*} \\", r"a\textasciigrave{}b\textbar{}c"):
    assert written in text
  text = tables.to_markdown(table)
  assert text.startswith("## \\# T\\_1\n")
  assert "\n1\\. caption\n" in text


@pytest.mark.parametrize("text", ["# a", "## a", "- a", "+ a", "1. a", "12) a", "-", "#"])
def test_a_paragraph_is_no_list_and_no_heading(text):
  found = escape_markdown(text)
  assert found.replace("\\", "") == text
  assert found != text


@pytest.mark.parametrize("text", ["-5.0 [1, 2]", "1.5", "#a", "–", "", "a - b", "2 x"])
def test_numbers_and_words_stay_as_they_are(text):
  assert escape_markdown(text).replace("\\[", "[").replace("\\]", "]") == text
