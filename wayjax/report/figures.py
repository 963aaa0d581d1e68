"""Figures on the paper's axes."""

import collections
import dataclasses
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure as Canvas

from wayjax.config import C_DIST
from wayjax.report import content, paper
from wayjax.report.dots import dots
from wayjax.report.drawing import COLOURS, MARKS, drawing, named
from wayjax.report.gather import MODEL, Results, labels
from wayjax.report.slices import cells
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


@dataclasses.dataclass(frozen=True)
class Point:
  """A point of a curve: its place, and an estimate for each panel."""

  x: float
  f1: Estimate | None
  tokens: Estimate | None
  delta: Estimate | None


# The panels of a figure, from left to right, and what is on their axes.
_PANELS = {
  "f1": "prompt F1, %",
  "tokens": "tokens that read as the target's, %",
  "delta": "relative accuracy drop Δ̂, %",
}


def gamma(results: list[Results]) -> content.Figure:
  """Figure 3: how prompts read and the accuracy drop over gamma, of the same targets at every one.

  A constraint that holds prompts without a weight has a level beside the curves.
  """
  curves, levels, free = {}, {}, {}
  for label, found, lines in _curves(results, _weighted):
    held = [line for line in lines if line["gamma"] > 0]
    if held:
      (free[label],) = numbers(held, "f1_0")
      curves[label] = [
        _point(weight, [line for line in held if line["gamma"] == weight])
        for weight in sorted({line["gamma"] for line in held})
      ]
    if alone := [line for line in lines if not line["gamma"]]:
      label += ", γ = 0" if held else ""
      of = _targets(_shared_gammas(found))
      label += "" if len(alone) == len(of) else f" ({len(alone)} of {len(of)} targets)"
      levels[label] = _point(0, alone)
  return _panels("fig3", "Figure 3: γ", "γ, the weight of the penalty", curves, free, levels)


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


def _weighted(found: Results) -> dict[str, list[dict]]:
  """By constraint, the lines of its curve over gamma, and those without a weight of its targets."""
  shared = _shared_gammas(found)
  of = _targets(shared)
  without = {
    constraint: [line for line in lines if not line["gamma"] and target_of(line) in of]
    for constraint, lines in by_constraint(found.lines).items()
  }
  lines_of = {
    constraint: shared.get(constraint, []) + without[constraint] for constraint in without
  }
  return {constraint: lines for constraint, lines in lines_of.items() if lines}


def _targets(lines_of: dict[str, list[dict]]) -> set[tuple]:
  return {target_of(line) for lines in lines_of.values() for line in lines}


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
  """Figure 4: how prompts read and the accuracy drop over the prompt's length."""
  curves = {}
  for label, _, own in _curves(results, lambda found: by_constraint(found.lines)):
    variants = main_variants(own)
    for variant in variants:
      lines = of_variant(own, variant)
      curves[f"{label}, γ = {variant[1]:g}" if len(variants) > 1 else label] = [
        _point(size, [line for line in lines if paper.length_of(line["group"]) == size])
        for size in sorted({paper.length_of(line["group"]) for line in lines})
      ]
  return _panels("fig4", "Figure 4: prompt length", "prompt tokens", curves)


def model_size(results: list[Results]) -> content.Figure:
  """Figure 5: how prompts read and the drop over the model's size, gamma chosen on dev."""
  curves: dict[str, list[Point]] = {}
  for label, found, lines in _curves(results, chosen_lines, but=(*MODEL, "precision")):
    size = found.resolved["parameters"] / 1e6
    curves.setdefault(label, []).append(_point(size, lines))
  for points in curves.values():
    points.sort(key=lambda point: point.x)
  return _panels("fig5", "Figure 5: model size", "millions of parameters", curves)


def histogram(measured: dict) -> content.Figure:
  """How often values occur.

  Args:
    measured: `counts` between `edges`, `marks` by their labels, an `x_label` and a `y_label`.
  """
  edges, counts = np.array(measured["edges"]), np.array(measured["counts"])

  def draw(canvas: Canvas):
    axes = canvas.add_subplot()
    axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.6)
    for label, value in measured["marks"].items():
      axes.axvline(value, color="0.3", lw=0.8, ls=":")
      axes.text(value, axes.get_ylim()[1], label, rotation=90, va="top", ha="right", size=8)
    axes.set_xlabel(measured["x_label"])
    axes.set_ylabel(measured["y_label"])

  words = measured["name"], measured["title"], measured["caption"]
  return drawing(*words, draw, (6.0, 3.4))


# What an experiment may have drawn of what it measured, by the name that it gives as `figure`.
FIGURES: dict[str, Callable[[dict], content.Figure]] = {
  "cells": cells,
  "histogram": histogram,
  "dots": dots,
}


def _point(x: float, lines: list[dict]) -> Point:
  return Point(x, *numbers(lines, *_PANELS))


def _panels(
  name: str,
  title: str,
  x_label: str,
  curves: dict[str, list[Point]],
  free: dict[str, Estimate | None] | None = None,
  levels: dict[str, Point] | None = None,
) -> content.Figure:
  """Curves of how prompts read, and of the accuracy drop.

  Args:
    name: of the figure's files.
    title: above it.
    x_label: what is on the x-axes.
    curves: points by label.
    free: the prompt F1 of each curve's unconstrained prompts.
    levels: what has no place on the x-axes, by label.
  """
  free, levels = free or {}, levels or {}
  points_of = [*curves.values(), list(levels.values())]
  fields = [
    field
    for field in _PANELS
    # Earlier runs do not tell how many tokens read as the target's.
    if field != "tokens" or any(point.tokens for points in points_of for point in points)
  ]

  def draw(canvas: Canvas):
    panels = dict(zip(fields, canvas.subplots(1, len(fields)), strict=True))
    for i, label in enumerate(dict.fromkeys([*curves, *levels])):
      style = {"color": COLOURS[i % len(COLOURS)]}
      if free.get(label):
        panels["f1"].axhline(100 * free[label].mean, lw=1, ls=":", **style)
      for field, axes in panels.items():
        _draw_curve(axes, label, [(p.x, getattr(p, field)) for p in curves.get(label, ())], i)
        if label in levels and (level := getattr(levels[label], field)):
          axes.axhline(100 * level.mean, ls="--", label=named(label), **style)
          axes.axhspan(100 * level.low, 100 * level.high, alpha=0.08, lw=0, **style)
    for field, axes in panels.items():
      axes.set_ylabel(_PANELS[field])
      if field != "delta":
        axes.set_ylim(min(90, axes.get_ylim()[0]), 101)
    panels["delta"].axhline(0, color="0.6", lw=0.8)
    xs = sorted({point.x for points in curves.values() for point in points})
    for axes in panels.values():
      axes.set_xlabel(x_label)
      axes.set_xscale("log")
      axes.set_xticks(xs, [f"{x:.3g}" for x in xs], rotation=45 if len(xs) > 5 else 0)
      axes.minorticks_off()
    if panels["f1"].get_legend_handles_labels()[0]:
      panels["f1"].legend()

  caption = f"{MEANS} Bands are the intervals."
  if any(free.values()):
    caption += " Dotted: prompt F1 of the unconstrained prompts, γ=0."
  if levels:
    caption += " Dashed: prompts of the same targets that a constraint alone holds, with γ = 0."
  return drawing(name, title, caption, draw, (1.4 + 3.5 * len(fields), 3.4))


def _draw_curve(axes, label: str, points: list[tuple[float, Estimate | None]], number: int) -> None:
  """A curve with its intervals, in the style of its number."""
  known = [(x, found) for x, found in points if found]
  if not known:
    return
  colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
  x_N = [x for x, _ in known]
  low_N, mean_N, high_N = (
    [100 * getattr(found, end) for _, found in known] for end in ("low", "mean", "high")
  )
  axes.plot(x_N, mean_N, label=named(label), color=colour, marker=mark, ms=4)
  axes.fill_between(x_N, low_N, high_N, color=colour, alpha=0.15, lw=0)
