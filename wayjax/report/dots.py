"""A dot plot: shares with their intervals, a row for each of what is compared."""

from matplotlib.figure import Figure as Canvas

from wayjax.report import content
from wayjax.report.drawing import COLOURS, MARKS, drawing, named

_ROOM = 0.7  # of a row, that its dots take


def dots(measured: dict) -> content.Figure:
  """Shares in rows, a panel for each kind of share.

  Args:
    measured: `rows`, their names from top to bottom; `labels`, those of the dots within a row; and
      `panels`, each an `x_label` and `dots`, which have a `row`, a `label`, a `mean` and the ends
      of its interval, `low` and `high`: fractions.
  """
  rows, labels, panels = measured["rows"], measured["labels"], measured["panels"]
  step = _ROOM / max(1, len(labels) - 1)

  def draw(canvas: Canvas):
    axes_of = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(axes_of, panels, strict=True):
      for i, label in enumerate(labels):
        own = [dot for dot in panel["dots"] if dot["label"] == label]
        x_N, low_N, high_N = ([100 * dot[end] for dot in own] for end in ("mean", "low", "high"))
        y_N = [rows.index(dot["row"]) - _ROOM / 2 + i * step for dot in own]
        colour = COLOURS[i % len(COLOURS)]
        axes.hlines(y_N, low_N, high_N, color=colour, lw=1)
        axes.plot(
          x_N, y_N, MARKS[i % len(MARKS)], ms=4, color=colour, ls="none", label=named(label)
        )
      axes.set_xlim(-3, 103)
      axes.set_xlabel(panel["x_label"])
    axes_of[0].set_yticks(range(len(rows)), rows)
    axes_of[0].set_ylim(len(rows) - 0.5, -0.5)
    canvas.legend(*axes_of[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)

  inches = 1.4 + 3.5 * len(panels), 1.4 + 0.75 * len(rows)
  return drawing(measured["name"], measured["title"], measured["caption"], draw, inches)
