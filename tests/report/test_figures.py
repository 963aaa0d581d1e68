"""What figures are of, and that they are the same at every call."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from reports import at_the_end, held, read, row, text_and_description, write_run

from wayjax.report import drawing, figures, paper
from wayjax.visible import visible


@pytest.fixture
def drawn(monkeypatch) -> dict:
  """The curves of each figure that is drawn of results, by the figure's name."""
  curves = {}

  def keep(name, title, x_label, curves_of, free=None, levels=None):
    curves[name] = curves_of
    if levels:
      curves[f"{name} levels"] = levels

  monkeypatch.setattr(figures, "_panels", keep)
  return curves


def test_what_stands_on_the_axes(tmp_path):
  found = text_and_description(tmp_path / "run").only(paper.is_any_text)
  point = figures._point(7, found.lines)
  assert (point.x, point.f1.mean, point.tokens.mean) == (7, 0.9, 0.75)
  assert point.delta.mean == pytest.approx(0.25)


def test_figure_3_is_of_the_targets_that_have_all_gammas(tmp_path):
  swept = [row(name, g, f1=0.5) for name in "abc" for g in (0.0, 0.001, 0.003, 0.005, 0.01, 0.03)]
  sized = [row(name, g, group="pile") for name in "abcd" for g in (0.0, 0.003, 0.005, 0.01)]
  one_more = [row("a", 0.1)]
  (found,) = read(write_run(tmp_path / "1", [*swept, *sized, *one_more]))
  lines = figures._shared_gammas(found)["c-dist"]
  assert {line["group"] for line in lines} == {"ni"}
  assert len(lines) == 3 * 5
  (found,) = read(write_run(tmp_path / "2", sized))
  assert not figures.has_curve(found)
  (found,) = read(write_run(tmp_path / "3", [row("a", 0.01), row("b", 0.03)]))
  assert not figures.has_curve(found)


def test_a_drawing_is_the_same_at_every_call(tmp_path):
  rows = [row(name, gamma) for name in "ab" for gamma in (0.0, 0.001, 0.01)]
  found = read(write_run(tmp_path / "run", rows))
  first, second = figures.gamma(found), figures.gamma(found)
  assert (first.svg, first.png) == (second.svg, second.png)


def test_each_constraint_has_a_curve_of_its_own(tmp_path, drawn):
  gammas = (0.001, 0.003, 0.01)
  free = [
    row(name, 0.0, accuracy=0.8, group=group) for name, group in (("a", "ni"), ("b", "pile-4"))
  ]
  c_dist = [of | {"gamma": gamma, "prompt_key": f"{of['prompt_key']}/{gamma}", "accuracy": 0.6}
            for of in free for gamma in gammas]  # fmt: skip
  ball = [held("ball", of | {"accuracy": 0.4}) for of in c_dist]
  rows = [*free, *c_dist, *ball]
  (found,) = read(write_run(tmp_path / "run", rows, at_the_end(rows)))
  any_text, cut = found.only(paper.is_any_text), found.only(paper.has_set_length)
  figures.gamma([any_text])
  figures.length([cut])
  figures.model_size([any_text])
  drop = {"c-dist": pytest.approx(0.25), "ball": pytest.approx(0.5)}
  assert {
    name: [point.delta.mean for point in points] for name, points in drawn["fig3"].items()
  } == {f"sst2, {name}": [drop[name]] * len(gammas) for name in drop}
  assert [(name, [(point.x, point.delta.mean) for point in points])
          for name, points in drawn["fig4"].items()] == [
    ("sst2, c-dist", [(4, drop["c-dist"])]),
    *((f"sst2, ball, γ = {gamma:g}", [(4, drop["ball"])]) for gamma in gammas),
  ]  # fmt: skip
  assert {
    name: [(point.x, point.delta.mean) for point in points]
    for name, points in drawn["fig5"].items()
  } == {f"sst2, {name}": [(124, drop[name])] for name in drop}


def test_the_papers_constraint_alone_is_not_named(tmp_path, drawn):
  rows = [row(name, g, group="pile") for name in "ab" for g in (0.0, 0.001, 0.003, 0.01)]
  found = read(write_run(tmp_path / "run", rows, at_the_end(rows)))
  figures.gamma(found)
  figures.model_size(found)
  assert [list(curves) for curves in drawn.values()] == [["sst2"], ["sst2"]]


@pytest.fixture
def swept(tmp_path):
  """Writes a run of two texts at several gammas, and of some under another constraint."""

  def write(*, cell=("a", "b", "other"), cell_gammas=(0.0,), **changes):
    rows = [row(name, gamma, accuracy=0.8, **changes) for name in "ab" for gamma in
            (0.0, 0.001, 0.003, 0.01)]  # fmt: skip
    rows += [
      held("cell", row(name, gamma, accuracy=0.4 if name in "ab" else 0.1, **changes))
      for name in cell for gamma in cell_gammas
    ]  # fmt: skip
    return read(write_run(tmp_path / "run", [*rows, row("other", 0.0)]))

  return write


def test_a_constraint_without_a_weight_is_a_level_beside_the_curves_of_its_targets(swept, drawn):
  figures.gamma(swept())
  assert list(drawn["fig3"]) == ["sst2, c-dist"]
  [(label, level)] = drawn["fig3 levels"].items()
  assert label == "sst2, cell"
  assert level.delta.mean == pytest.approx(0.5)  # without the other text
  assert level.f1.targets == 2


def test_a_level_of_fewer_targets_says_so(swept, drawn):
  figures.gamma(swept(cell=("a", "other")))
  assert list(drawn["fig3 levels"]) == ["sst2, cell (1 of 2 targets)"]


def test_a_constraint_with_and_without_weights_has_a_curve_and_a_level(swept, drawn):
  figures.gamma(swept(cell_gammas=(0.0, 0.001, 0.01)))
  assert list(drawn["fig3"]) == ["sst2, c-dist", "sst2, cell"]
  assert [point.x for point in drawn["fig3"]["sst2, cell"]] == [0.001, 0.01]
  assert list(drawn["fig3 levels"]) == ["sst2, cell, γ = 0"]


def test_a_constraint_without_a_weight_is_a_curve_over_length(tmp_path, drawn):
  rows = [row("a", 0.0, group=f"pile-{size}", accuracy=0.8) for size in (4, 7)]
  rows += [held("cell", of | {"accuracy": 0.6}) for of in rows]
  figures.length(read(write_run(tmp_path / "run", rows)))
  [(label, points)] = drawn["fig4"].items()
  assert label == "sst2, cell"
  assert [(point.x, point.delta.mean) for point in points] == [
    (4, pytest.approx(0.25)), (7, pytest.approx(0.25))
  ]  # fmt: skip


def test_levels_and_tokens_are_drawn_and_explained(swept, texts):
  figure = figures.gamma(swept(token_match=0.5))
  assert {"sst2, c-dist", "sst2, cell"} <= set(texts)
  assert any(text.startswith("tokens that read") for text in texts)
  assert "Dashed: prompts of the same targets" in figure.caption


def test_of_old_rows_there_are_neither_tokens_nor_levels(tmp_path, texts):
  rows = [row(name, gamma) for name in "ab" for gamma in (0.0, 0.001, 0.01)]
  figure = figures.gamma(read(write_run(tmp_path / "run", rows)))
  assert not any(text.startswith("tokens that read") for text in texts)
  assert "Dashed" not in figure.caption


WORDS = {"name": "n", "title": "t", "caption": "c"}


def test_what_experiments_may_have_drawn():
  slice_of = {
    "half": 1.0,
    "target_token": 1,
    "cells": [
      {"token": 1, "text": " a", "score": [0.0, 0.0, 0.0]},
      {"token": 2, "text": "$b", "score": [1.0, 0.5, -0.4]},
    ],
    "points": [{"x": 0.0, "y": 0.0, "label": "the token's embedding"}],
  }
  counts, edges = np.histogram([0.1, 0.2, 0.9], 4)
  counted = {"counts": counts.tolist(), "edges": edges.tolist(), "marks": {"50 %": 0.2}}
  counted |= {"x_label": "x", "y_label": "y"}
  dot = {"row": "one", "label": "b", "mean": 0.5, "low": 0.25, "high": 0.75}
  panels = [{"x_label": "x", "dots": [dot]}, {"x_label": "of nothing", "dots": []}]
  shares = {"rows": ["one", "another"], "labels": ["_a", "b"], "panels": panels}
  data = {"cells": slice_of, "histogram": counted, "dots": shares}
  assert figures.FIGURES.keys() == data.keys()
  for kind, draw in figures.FIGURES.items():
    figure = draw(data[kind] | WORDS)
    assert (figure.name, figure.title, figure.caption) == ("n", "t", "c")
    assert figure.svg.startswith("<?xml")
    assert figure.png.startswith(b"\x89PNG")


@pytest.fixture
def texts(monkeypatch) -> list[str]:
  """The texts of what is drawn, in a list that grows."""
  found = []

  class Watched(drawing.Canvas):
    def savefig(self, *args, **options):
      assert not any(text.get_parse_math() or text.get_usetex() for text in self.findobj(Text))
      found.extend(text.get_text() for text in self.findobj(Text))
      super().savefig(*args, **options)

  monkeypatch.setattr(drawing, "Canvas", Watched)
  return found


# Math that cannot be parsed, what LaTeX reads as markup, a legend's hidden label, control signs.
NAMES = ("$x^{", "_hidden", "a_b^c$d$", r"\frac{", "a\x1b[31m\u202eb")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is_written(tmp_path, texts, name):
  matplotlib.rcParams["text.usetex"] = True  # as a user's own settings may have it
  rows = [row(name, gamma, dataset=name) for gamma in (0.0, 0.001, 0.01)]
  try:
    drawn = figures.gamma(read(write_run(tmp_path / "run", rows)))
  finally:
    matplotlib.rcParams["text.usetex"] = False
  assert visible(name) in [text.strip() for text in texts]
  assert "\x1b" not in drawn.svg
  cell = {"token": 1, "text": name, "score": [0.0, 0.0, 0.0]}
  point = {"x": 0.0, "y": 0.0, "label": name}
  slice_of = {"half": 1.0, "target_token": 1, "cells": [cell, cell | {"token": 2}]}
  words = {"name": "n", "title": "t", "caption": "c"}
  figures.cells({**slice_of, "points": [point], **words})
  marks = {"edges": [0.0, 1.0], "counts": [1], "marks": {name: 0.5}, "x_label": name}
  figures.histogram({**marks, "y_label": name, **words})
  assert texts.count(visible(name)) + texts.count(f" {name}") >= 8
