"""Figures on the paper's axes."""

import collections
import dataclasses
from collections.abc import Callable

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Canvas

from wayjax.config import C_DIST
from wayjax.report import content, paper
from wayjax.report.drawing import drawing, named
from wayjax.report.gather import MODEL, Results, labels
from wayjax.report.statistics import Estimate
from wayjax.report.tables import (
  MEANS,
  by_constraint,
  chosen_lines,
  main_variants,
  numbers,
  of_variant,
)
from wayjax.results.summary import target_of

_COLOURS = ("#2f6f9f", "#c8553d", "#588157", "#8a5a9e", "#b08900")
_MARKS = "osD^vP"  # one more than colours, so that pairs of both repeat late
_SHADES = ("#d5e3ee", "#dbe8d6", "#e4dcec", "#f3ddd6", "#dfdfdf", "#ece5c9", "#d3e8e6")
_FINE = 700  # points each way of a slice
_LABEL = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.7}
_LABELLED = 0.01  # share of a slice from which on a cell is labelled


@dataclasses.dataclass(frozen=True)
class Point:
  """A point of a curve: its place, and its two estimates."""

  x: float
  f1: Estimate | None
  delta: Estimate | None


def gamma(results: list[Results]) -> content.Figure:
  """Figure 3: prompt F1 and accuracy drop over gamma, of the same targets at every gamma."""
  curves, free = {}, {}
  for label, _, lines in _curves(results, _shared_gammas):
    (free[label],) = numbers(lines, "f1_0")
    curves[label] = [
      _point(weight, [line for line in lines if line["gamma"] == weight])
      for weight in sorted({line["gamma"] for line in lines})
    ]
  return _two_panels("fig3", "Figure 3: γ", "γ, the weight of c-dist", curves, free)


def has_curve(found: Results) -> bool:
  """Whether there are targets with several gammas, not only those that Figure 5 chooses from."""
  return bool(_shared_gammas(found))


def _shared_gammas(found: Results) -> dict[str, list[dict]]:
  """By constraint, the lines of its curve over gamma, where it has one."""
  shared = {
    constraint: _of_shared_gammas(lines) for constraint, lines in by_constraint(found.lines).items()
  }
  few = (set(), set(paper.FIGURE_5_GAMMAS))
  return {
    constraint: lines
    for constraint, lines in shared.items()
    if {line["gamma"] for line in lines} not in few
  }


def _curves(
  results: list[Results],
  lines_of: Callable[[Results], dict[str, list[dict]]],
  but: tuple[str, ...] = (),
) -> list[tuple[str, Results, list[dict]]]:
  """A curve for each setting and constraint; none names its constraint where all have the paper's.

  Args:
    results: rows by setting.
    lines_of: gives the lines of a setting, by constraint.
    but: names in settings that are shown otherwise.

  Returns:
    Labels, settings and lines.
  """
  found_lines = [lines_of(found) for found in results]
  named = any(constraint != C_DIST for lines in found_lines for constraint in lines)
  return [
    (f"{label}, {constraint}" if named else label, found, own)
    for label, found, lines in zip(labels(results, but), results, found_lines, strict=True)
    for constraint, own in lines.items()
  ]


def _of_shared_gammas(lines: list[dict]) -> list[dict]:
  """The lines of several gammas above 0 that many targets share, and of these targets.

  Args:
    lines: of one constraint.
  """
  gammas_of = collections.defaultdict(set)
  for line in lines:
    if line["gamma"] > 0:
      gammas_of[target_of(line)].add(line["gamma"])

  def sharing(weights):
    return {target for target, gammas in gammas_of.items() if gammas >= weights}

  sets = {frozenset(gammas) for gammas in gammas_of.values() if len(gammas) > 1}
  if not sets:
    return []
  # Figure 3's gammas before Figure 5's three, where a folder holds both.
  others = [weights for weights in sets if weights != set(paper.FIGURE_5_GAMMAS)]
  weights = max(others or sets, key=lambda own: (len(sharing(own)) * (len(own) - 1), len(own)))
  targets = sharing(weights)
  return [line for line in lines if line["gamma"] in weights and target_of(line) in targets]


def length(results: list[Results]) -> content.Figure:
  """Figure 4: prompt F1 and accuracy drop over the prompt's length."""
  curves = {}
  for label, _, own in _curves(results, lambda found: by_constraint(found.lines)):
    variants = main_variants(own)
    for variant in variants:
      lines = of_variant(own, variant)
      curves[f"{label}, γ = {variant[1]:g}" if len(variants) > 1 else label] = [
        _point(size, [line for line in lines if paper.length_of(line["group"]) == size])
        for size in sorted({paper.length_of(line["group"]) for line in lines})
      ]
  return _two_panels("fig4", "Figure 4: prompt length", "prompt tokens", curves)


def model_size(results: list[Results]) -> content.Figure:
  """Figure 5: prompt F1 and accuracy drop over the model's size, gamma chosen on dev."""
  curves: dict[str, list[Point]] = {}
  for label, found, lines in _curves(results, chosen_lines, but=(*MODEL, "precision")):
    size = found.resolved["parameters"] / 1e6
    curves.setdefault(label, []).append(_point(size, lines))
  for points in curves.values():
    points.sort(key=lambda point: point.x)
  return _two_panels("fig5", "Figure 5: model size", "millions of parameters", curves)


def cells(measured: dict) -> content.Figure:
  """A slice through an embedding table: the cells of its tokens, and points among them.

  Args:
    measured: `half` the slice's width; `cells`, whose `score` (a, b, c) is the highest
      a x + b y + c where their `token`, shown as `text`, is nearest; the `target_token`; and
      `points`, each an `x`, a `y` and a `label`.
  """
  half, target = measured["half"], measured["target_token"]
  steps_N = np.linspace(-half, half, _FINE)
  x_NxN, y_NxN = np.meshgrid(steps_N, steps_N)
  found = measured["cells"]
  scores_CxNxN = np.stack(
    [a * x_NxN + b * y_NxN + c for a, b, c in (cell["score"] for cell in found)]
  )
  nearest_NxN = np.argmax(scores_CxNxN, axis=0)

  def draw(canvas: Canvas):
    axes = canvas.add_subplot()
    shades = [
      "#f6d9a8" if cell["token"] == target else _SHADES[i % len(_SHADES)]
      for i, cell in enumerate(found)
    ]
    axes.imshow(
      nearest_NxN, origin="lower", extent=(-half, half, -half, half), cmap=ListedColormap(shades),
      interpolation="nearest", aspect="equal", vmin=-0.5, vmax=len(found) - 0.5,
    )  # fmt: skip
    for i, cell in enumerate(found):
      others_NxN = np.max(np.delete(scores_CxNxN, i, axis=0), axis=0)
      lead_NxN = scores_CxNxN[i] - others_NxN
      axes.contour(steps_N, steps_N, lead_NxN, levels=[0], colors="white", linewidths=1.2)
      inside_NxN = nearest_NxN == i
      if inside_NxN.mean() > _LABELLED:
        x, y = x_NxN[inside_NxN].mean(), y_NxN[inside_NxN].mean()
        side = "right" if x > half / 2 else "left" if x < -half / 2 else "center"
        text = cell["text"].replace(" ", "␣")
        axes.text(x, y, text, ha=side, va="center", fontsize=9, color="0.2", bbox=_LABEL)
    for i, point in enumerate(measured["points"]):
      axes.plot(
        point["x"], point["y"], _MARKS[i % len(_MARKS)], ms=7, color=_COLOURS[i % len(_COLOURS)],
        mec="white", label=named(point["label"]), zorder=3,
      )  # fmt: skip
    axes.grid(False)
    axes.set_xlabel("embedding units")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=8)

  return drawing(*_words(measured), draw, (6.0, 6.0))


def histogram(measured: dict) -> content.Figure:
  """How often values occur.

  Args:
    measured: `counts` between `edges`, `marks` by their labels, an `x_label` and a `y_label`.
  """
  edges, counts = np.array(measured["edges"]), np.array(measured["counts"])

  def draw(canvas: Canvas):
    axes = canvas.add_subplot()
    axes.stairs(counts, edges, fill=True, color=_COLOURS[0], alpha=0.6)
    for label, value in measured["marks"].items():
      axes.axvline(value, color="0.3", lw=0.8, ls=":")
      axes.text(value, axes.get_ylim()[1], label, rotation=90, va="top", ha="right", size=8)
    axes.set_xlabel(measured["x_label"])
    axes.set_ylabel(measured["y_label"])

  return drawing(*_words(measured), draw, (6.0, 3.4))


# What an experiment may have drawn of what it measured, by the name that it gives as `figure`.
FIGURES: dict[str, Callable[[dict], content.Figure]] = {"cells": cells, "histogram": histogram}


def _words(measured: dict) -> tuple[str, str, str]:
  return measured["name"], measured["title"], measured["caption"]


def _point(x: float, lines: list[dict]) -> Point:
  delta, f1 = numbers(lines, "delta", "f1")
  return Point(x, f1, delta)


def _two_panels(
  name: str,
  title: str,
  x_label: str,
  curves: dict[str, list[Point]],
  free: dict[str, Estimate | None] | None = None,
) -> content.Figure:
  """Curves of prompt F1 and of the accuracy drop; `free` is the F1 of each curve at gamma 0."""

  def draw(canvas: Canvas):
    left, right = canvas.subplots(1, 2)
    for i, (label, points) in enumerate(curves.items()):
      style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKS[i % len(_MARKS)], "ms": 4}
      if free and free[label]:
        left.axhline(100 * free[label].mean, color=style["color"], lw=1, ls=":")
      for axes, field in ((left, "f1"), (right, "delta")):
        known = [(point.x, getattr(point, field)) for point in points if getattr(point, field)]
        if not known:
          continue
        x_N = [x for x, _ in known]
        low_N, mean_N, high_N = (
          [100 * getattr(estimate, end) for _, estimate in known] for end in ("low", "mean", "high")
        )
        axes.plot(x_N, mean_N, label=named(label), **style)
        axes.fill_between(x_N, low_N, high_N, color=style["color"], alpha=0.15, lw=0)
    left.set_ylabel("prompt F1, %")
    left.set_ylim(min(90, left.get_ylim()[0]), 101)
    right.set_ylabel("relative accuracy drop Δ̂, %")
    right.axhline(0, color="0.6", lw=0.8)
    xs = sorted({point.x for points in curves.values() for point in points})
    for axes in (left, right):
      axes.set_xlabel(x_label)
      axes.set_xscale("log")
      axes.set_xticks(xs, [f"{x:.3g}" for x in xs], rotation=45 if len(xs) > 5 else 0)
      axes.minorticks_off()
    if left.get_legend_handles_labels()[0]:
      left.legend()

  caption = f"{MEANS} Bands are the intervals."
  if free and any(free.values()):
    caption += " Dotted: prompt F1 at γ = 0."
  return drawing(name, title, caption, draw, (8.4, 3.4))
