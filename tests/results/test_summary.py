"""The closing table on hand-computed cases."""

import pytest

from wayjax.errors import WayjaxError
from wayjax.results.summary import (
  best,
  cells,
  headings,
  shows_waywardness,
  summarise,
  to_markdown,
  without_f1,
)


def row(target="t", gamma=0.0, seed=1, accuracy=0.5, f1=1.0, **changes):
  return {
    "model": "m",
    "dataset": "sst2",
    "split": "test",
    "target_group": "text",
    "target_name": target,
    "target_text": f"text of {target}",
    "gamma": gamma,
    "seed": seed,
    "steps": 10,
    "status": "done",
    "prompt_key": f"{target}/{gamma}/{seed}",
    "accuracy": accuracy,
    "text_accuracy": 0.25,
    "prompt_f1": f1,
    "c_dist": 2.0,
    "projected_text": f"reads {target}",
    **changes,
  }


def test_means_over_seeds_then_over_targets():
  rows = [
    row("a", 0.0, 1, 0.8),
    row("a", 0.0, 2, 0.6),
    row("a", 0.1, 1, 0.7, f1=0.9, c_dist=1.0),
    row("a", 0.1, 2, 0.56, f1=0.7, c_dist=1.0),
    row("b", 0.0, 1, 0.5),
    row("b", 0.1, 1, 0.6),
  ]
  a, b, mean = summarise(rows)
  assert (a["accuracy_0"], a["accuracy"]) == pytest.approx((0.7, 0.63))
  assert a["delta"] == pytest.approx(0.1)
  assert (a["f1_0"], a["f1"]) == pytest.approx((1.0, 0.8))
  assert (a["c_dist_0"], a["c_dist"]) == (2.0, 1.0)
  assert b["delta"] == pytest.approx(-0.2)
  assert mean["target"] is None
  # The drop of each target, then their mean; not the drop of the means.
  assert mean["delta"] == pytest.approx((0.1 - 0.2) / 2)
  assert mean["accuracy"] == pytest.approx((0.63 + 0.6) / 2)


def test_one_line_for_every_gamma_above_zero():
  lines = summarise([row(target, gamma) for target in "ab" for gamma in (0.0, 0.1, 0.2)])
  assert [(line["target"] is None, line["gamma"]) for line in lines] == [
    (False, 0.1),
    (False, 0.2),
    (False, 0.1),
    (False, 0.2),
    (True, 0.1),
    (True, 0.2),
  ]


def test_without_a_constrained_prompt_there_is_only_the_other():
  (line,) = summarise([row()])
  assert (line["accuracy_0"], line["accuracy"], line["delta"]) == (0.5, None, None)
  columns = headings([line])
  assert cells(line, columns)[columns.index("Δ̂ %")] == "–"


def test_without_an_unconstrained_prompt_there_is_no_drop():
  (line,) = summarise([row(gamma=0.1)])
  assert (line["accuracy_0"], line["accuracy"], line["delta"]) == (None, 0.5, None)


def test_diverged_members_are_left_out_and_named():
  rows = [
    row(), row(gamma=0.1, accuracy=0.4), row(gamma=0.1, seed=2, accuracy=0.1, status="diverged")
  ]  # fmt: skip
  assert summarise(rows)[0]["accuracy"] == pytest.approx(0.4)
  assert "because they diverged: t/0.1/2" in to_markdown(rows, 0.5)
  assert summarise([row(status="diverged")]) == []
  assert "because they diverged" in to_markdown([row(status="diverged")], 0.5)


def test_targets_without_words_are_left_out_of_the_means_of_f1_with_a_note():
  rows = [row("a", f1=None), row("a", 0.1, f1=None), row("b"), row("b", 0.1, f1=0.5)]
  a, _, mean = summarise(rows)
  assert (a["f1_0"], a["f1"], a["accuracy"]) == (None, None, 0.5)
  assert (mean["f1_0"], mean["f1"]) == (1.0, 0.5)
  columns = headings([a])
  assert [cells(a, columns)[columns.index(name)] for name in ("F1 γ=0", "F1 γ")] == ["–", "–"]
  assert without_f1(rows) == ["a"]
  assert "Left out of the means of F1 because they have no words: a." in to_markdown(rows, 0.5)
  assert "no words" not in to_markdown(rows[2:], 0.5)
  assert best(rows[:2])[0]["prompt_f1"] is None


@pytest.mark.parametrize("name", ["model", "dataset", "split", "steps", "lr", "precision"])
def test_rows_of_two_settings_are_refused(name):
  rows = [row(**{name: "one"}), row(seed=2, **{name: "other"})]
  for function in (summarise, best):
    with pytest.raises(WayjaxError, match=f"rows with {name} one and other are never averaged"):
      function(rows)


def test_constraints_are_apart_and_named_where_there_is_another_than_the_papers():
  free, held = row(gamma=0.0, accuracy=0.8), row(gamma=0.1, accuracy=0.4)
  others = [row(gamma=gamma, accuracy=0.6, constraint="ball") for gamma in (0.0, 0.1)]
  assert "constraint" not in headings(summarise([free, held]))
  lines = summarise([free, others[1], held, others[0]])
  assert "constraint" in headings(lines)
  # Gamma 0 of another constraint is held as well, and compared with the unconstrained prompt.
  assert [(line["constraint"], line["gamma"], line["accuracy"]) for line in lines] == [
    ("ball", 0.0, 0.6),
    ("ball", 0.1, 0.6),
    ("c-dist", 0.1, 0.4),
  ]
  assert {line["accuracy_0"] for line in lines} == {0.8}
  assert "| ball | 0.1 |" in to_markdown([free, *others], 0.5)


def test_tokens_stand_beside_f1_and_are_unknown_of_old_rows():
  rows = [row("a", 0.0, token_match=0.5), row("a", 0.1, 1, token_match=1.0)]
  rows += [row("a", 0.1, 2, token_match=0.5), row("b", 0.0), row("b", 0.1)]
  a, b, mean = summarise(rows)
  assert [(line["tokens_0"], line["tokens"]) for line in (a, b, mean)] == [
    (0.5, 0.75),
    (None, None),
    (0.5, 0.75),
  ]
  columns = headings([a])
  at = columns.index("F1 γ")
  assert columns[at - 1 : at + 3] == ["F1 γ=0", "F1 γ", "tokens γ=0", "tokens γ"]
  assert cells(a, columns)[at : at + 3] == ["100.0", "50.0", "75.0"]
  assert cells(b, columns)[at : at + 3] == ["100.0", "–", "–"]
  assert "prompt F1 ignores articles" in to_markdown(rows, 0.5)


def test_certified_prompts_have_a_column_where_a_constraint_is_not_the_papers():
  cell = {"constraint": "cell", "certified": True}
  free = [row("a", 0.0, seed, certified=False) for seed in (1, 2)]
  held = [row("a", 0.1, 1, certified=True), row("a", 0.1, 2, certified=False)]
  alone = summarise([*free, *held])
  assert "certified" not in headings(alone)
  assert "Certified" not in to_markdown([*free, *held], 0.5)
  lines = summarise([*free, *held, *(row("a", 0.0, seed, **cell) for seed in (1, 2))])
  columns = headings(lines)
  shown = [dict(zip(columns, cells(line, columns), strict=True)) for line in lines]
  assert [(line["constraint"], line["certified"]) for line in shown] == [
    ("c-dist", "50.0"),
    ("cell", "100.0"),
  ]
  old = summarise([row("a", 0.0), row("a", 0.0, constraint="ball")])
  assert cells(old[0], headings(old))[headings(old).index("certified")] == "–"
  assert '"Certified" ones certainly read as their targets' in to_markdown(
    [*free, row("a", 0.0, **cell)], 0.5
  )


def test_markdown_escapes_texts_and_shows_line_ends():
  text = to_markdown([row(target_text="a|b\n<script>*_`", projected_text="x" * 100)], 0.5)
  assert "a\\|b⏎&lt;script&gt;\\*\\_\\`" in text
  assert "x" * 59 + "…" in text
  table = [line for line in text.splitlines() if line.startswith("|")]
  assert len(table) == 3
  assert "50.0" in text
  assert to_markdown([], 0.5) == "No member has finished.\n"


def wayward(**changes):
  """Two targets that a constrained prompt reads as, at hardly any cost, with changes to one row."""
  changed = {"target": "b", "gamma": 0.01, "accuracy": 0.79, "f1": 1.0} | changes
  return [row("a", 0.0, accuracy=0.8), row("a", 0.01, accuracy=0.8)] + [
    row("b", 0.0, accuracy=0.8, f1=0.0), row(**changed)
  ]  # fmt: skip


def test_the_claim_is_made_where_every_target_is_read_at_hardly_any_cost():
  assert shows_waywardness(wayward(), 0.5)
  assert shows_waywardness([*wayward(), row("a", 0.1, f1=0.0), row("b", 0.1, f1=0.0)], 0.5)


@pytest.mark.parametrize(
  "changes",
  [
    {"f1": 0.0},  # one of two: their mean would be 0.5
    {"f1": 0.9},
    {"f1": None},  # undefined
    {"accuracy": 0.7},
    {"status": "diverged"},
    {"gamma": 0.1},  # no gamma at which both are read
    {"seed": 2},  # no unconstrained prompt of that seed
  ],
)
def test_no_claim_is_made_that_the_numbers_do_not_bear_out(changes):
  assert not shows_waywardness(wayward(**changes), 0.5)


def test_no_claim_is_made_of_prompts_that_do_not_solve_the_task():
  assert not shows_waywardness(wayward(), 0.75)
  assert not shows_waywardness([row("a", 0.0), row("a", 0.01)], 0.5)


def test_no_claim_is_made_of_texts_that_solve_the_task_as_they_are():
  assert not shows_waywardness([{**row, "text_accuracy": 0.75} for row in wayward()], 0.5)


def test_no_claim_is_made_without_unconstrained_or_without_constrained_prompts():
  assert not shows_waywardness([row for row in wayward() if row["gamma"]], 0.5)
  assert not shows_waywardness([row for row in wayward() if not row["gamma"]], 0.5)
  assert not shows_waywardness([], 0.5)
