"""How a slice through an embedding table is drawn."""

import pytest
from matplotlib.collections import PathCollection
from reports import EARLIER

from wayjax.errors import WayjaxError
from wayjax.report import build, drawing, slices

WORDS = {"name": "n", "title": "t", "caption": "c"}
SLICE = {
  "half": 1.0,
  "target_token": 1,
  "cells": [
    {"token": 1, "text": " a", "score": [0.0, 0.0, 0.0]},
    {"token": 2, "text": "$b", "score": [1.0, 0.0, -0.5]},
  ],
  "points": [{"x": 0.0, "y": 0.0, "label": "the token's embedding"}],
  **WORDS,
}
PATH = {
  "label": "$a path",
  "points": [
    {"x": 0.0, "y": 0.0, "leans": False},
    {"x": 0.4, "y": 0.5, "leans": True},
    {"x": 0.4, "y": 0.6, "leans": True},
  ],
}


@pytest.fixture
def lines(monkeypatch) -> dict[str, list]:
  """The points of what is drawn, by label, in a dictionary that grows; and the dotted lines."""
  found = {}

  class Watched(drawing.Canvas):
    def savefig(self, *args, **options):
      (axes,) = self.axes
      found.update({line.get_label(): line.get_xydata().tolist() for line in axes.lines})
      found["dotted"] = [
        path.vertices[:, 0].round(3).tolist()
        for collection in axes.collections
        if not isinstance(collection, PathCollection) and collection.get_linestyle()[0][1]
        for path in collection.get_paths()
      ]
      super().savefig(*args, **options)

  monkeypatch.setattr(drawing, "Canvas", Watched)
  return found


def test_a_path_is_drawn_with_its_end_and_where_it_leans(lines):
  slices.cells(SLICE | {"path": PATH, "wall": 2})
  assert lines["$a path"] == [[0.0, 0.0], [0.4, 0.5], [0.4, 0.6]]
  assert lines["where it leans on a wall"] == [[0.4, 0.5], [0.4, 0.6]]
  assert lines["its end"] == [[0.4, 0.6]]
  [wall] = lines["dotted"]
  assert set(wall) == {0.5}  # where both tokens are as near


def test_a_path_that_leans_nowhere_does_not_say_so(lines):
  free = [point | {"leans": False} for point in PATH["points"]]
  slices.cells(SLICE | {"path": PATH | {"points": free}})
  assert "where it leans on a wall" not in lines
  assert lines["dotted"] == []


def test_slices_of_earlier_versions_have_neither_path_nor_wall(lines):
  slices.cells(SLICE)
  assert set(lines) == {"the token's embedding", "dotted"}
  slices.cells(EARLIER["fig6_voronoi"] | WORDS)


@pytest.mark.parametrize(
  "damage",
  [
    {"wall": 3},
    {"path": []},
    {"path": {"points": []}},
    {"path": PATH | {"points": [{"x": 0.0, "y": 0.0}]}},
    {"path": PATH | {"points": [{"x": "a", "y": 0.0, "leans": True}]}},
  ],
)
def test_a_damaged_path_is_named(damage):
  content = SLICE | damage | {"figure": "cells", "command": ""}
  with pytest.raises(WayjaxError, match=r"toy\.measured\.json is damaged"):
    build.make_report([], {"toy": content})


def test_a_path_without_points_is_none(lines):
  slices.cells(SLICE | {"path": PATH | {"points": []}})
  assert lines["its end"] == []
