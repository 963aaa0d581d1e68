"""How a figure is drawn: as SVG and PNG, the same bytes at every call."""

import io
from collections.abc import Callable

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from wayjax.report import content
from wayjax.visible import visible

COLOURS = ("#2f6f9f", "#c8553d", "#588157", "#8a5a9e", "#b08900")
MARKS = "osD^vP"  # one more than colours, so that pairs of both repeat late
_STYLE = {
  "font.size": 10,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "grid.alpha": 0.25,
  "legend.frameon": False,
  "svg.hashsalt": "wayjax",  # ids that do not change from call to call
  "svg.fonttype": "path",
  "text.parse_math": False,  # names and tokens may hold dollars
  "text.usetex": False,
  "axes.formatter.use_mathtext": False,
}


def drawing(
  name: str,
  title: str,
  caption: str,
  draw: Callable[[Canvas], None],
  inches: tuple[float, float],
) -> content.Figure:
  """A figure, in whose texts nothing is markup and nothing unseen.

  Args:
    name: of its files.
    title: above it.
    caption: what it shows.
    draw: draws it on a canvas.
    inches: its width and height.
  """
  with matplotlib.rc_context(_STYLE):
    canvas = Canvas(figsize=inches, layout="constrained")
    draw(canvas)
    for text in canvas.findobj(Text):
      text.set_text(visible(text.get_text()))
    svg, png = io.StringIO(), io.BytesIO()
    canvas.savefig(svg, format="svg", metadata={"Date": None})
    canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
  return content.Figure(name, title, caption, svg.getvalue(), png.getvalue())


def named(label: str) -> str:
  """A label that a legend shows, unlike those that begin with an underscore."""
  return f" {label}" if label.startswith("_") else label
