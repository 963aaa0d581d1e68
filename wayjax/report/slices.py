"""A slice through an embedding table, as it is drawn."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Canvas

from wayjax.report import content
from wayjax.report.drawing import COLOURS, MARKS, drawing, named

_SHADES = ("#d5e3ee", "#dbe8d6", "#e4dcec", "#f3ddd6", "#dfdfdf", "#ece5c9", "#d3e8e6")
_LEANING = "#e8b04a"
_FINE = 700  # points each way of a slice
_LABEL = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.7}
_LABELLED = 0.01  # share of a slice from which on a cell is labelled


def cells(measured: dict) -> content.Figure:
  """A slice through an embedding table: the cells of its tokens, and points among them.

  Args:
    measured: `half` the slice's width; `cells`, whose `score` (a, b, c) is the highest
      a x + b y + c where their `token`, shown as `text`, is nearest; the `target_token`; and
      `points`, each an `x`, a `y` and a `label`. There may be a `path`: its `label`, and `points`,
      each an `x`, a `y` and whether it `leans` on a wall; and a `wall`: the token of the cells on
      whose other side the target's is.
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
    if measured.get("wall") is not None:
      tokens = [cell["token"] for cell in found]
      own, other = scores_CxNxN[tokens.index(target)], scores_CxNxN[tokens.index(measured["wall"])]
      axes.contour(steps_N, steps_N, own - other, levels=[0], colors="0.3", linestyles=":")
    if measured.get("path") is not None:
      _draw_path(axes, measured["path"])
    for i, point in enumerate(measured["points"]):
      axes.plot(
        point["x"], point["y"], MARKS[i % len(MARKS)], ms=7, color=COLOURS[i % len(COLOURS)],
        mec="white", ls="none", label=named(point["label"]), zorder=4,
      )  # fmt: skip
    axes.grid(False)
    axes.set_xlabel("embedding units")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8)

  return drawing(measured["name"], measured["title"], measured["caption"], draw, (6.0, 6.4))


def _draw_path(axes, path: dict) -> None:
  """A line through the points of a path, its end, and where it leans on a wall."""
  points = [(float(point["x"]), float(point["y"]), point["leans"]) for point in path["points"]]
  x_N, y_N = ([point[k] for point in points] for k in range(2))
  line = {"color": "0.15", "lw": 1.2, "marker": "o", "ms": 2.5, "zorder": 3}
  axes.plot(x_N, y_N, label=named(path["label"]), **line)
  if leaning := [(x, y) for x, y, leans in points if leans]:
    axes.plot(
      *zip(*leaning, strict=True), "o", ms=5, color=_LEANING, mec="0.15", mew=0.6,
      label="where it leans on a wall", zorder=3,
    )  # fmt: skip
  axes.plot(x_N[-1:], y_N[-1:], "*", ms=12, color="0.15", mec="white", label="its end", zorder=4)
