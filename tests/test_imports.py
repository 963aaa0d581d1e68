"""Imports go one way: from what everything rests on to what rests on everything."""

import ast
import graphlib
from pathlib import Path

import pytest

import wayjax

ROOT = Path(wayjax.__file__).parents[1]
# A room is a module of wayjax or a folder; it may import itself and what stands before it.
ORDER = [
  *("visible", "errors", "exits", "files", "metrics", "demo", "options", "config", "command_line"),
  *("hub", "blocks"),
  *(
    "devices",
    "projection",
    "models",
    "data",
    "prompts",
    "loss",
    "results",
    "prompt_files",
    "vocabulary",
    "cells",
    "hull",
    "anchors",
    "certificate",
    "constraints",
  ),
  *("generation", "generate", "answers", "evaluation", "readers"),
  *("export", "report", "tuning", "audit", "run", "experiments"),
]
MOST_LINES = 300


def name_of(path: Path) -> str:
  return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
  name_of(path): path for room in ("wayjax", "experiments") for path in (ROOT / room).rglob("*.py")
}
SOURCES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
PUBLIC = "wayjax"  # the public names, which come from everywhere: it has no place in the order


def room_of(module: str) -> str:
  """`data` for `wayjax.data.tasks`, and `experiments` for all that is in that folder."""
  return module.removeprefix("wayjax.").split(".")[0]


def imports(module: str, source: str) -> set[str]:
  """The modules of this project that a module imports, anywhere in it and under any condition.

  What it takes from `wayjax` itself counts as an import of where that name comes from.
  """
  is_package = module in FILES and FILES[module].name == "__init__.py"
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      if node.level:
        parts = module.split(".")
        base = ".".join([*parts[: len(parts) - node.level + is_package], *base.split()])
      names = {f"{base}.{alias.name}" for alias in node.names}
      found |= {_home(name) or (name if name in FILES else base) for name in names}
    elif isinstance(node, ast.Attribute):
      found.add(_home(ast.unparse(node)))
  return found & FILES.keys() - {module, PUBLIC}


def _home(name: str) -> str | None:
  """The module of a name that `wayjax` offers, such as `wayjax.load_lm`."""
  home = wayjax._HOMES.get(name.removeprefix("wayjax."))
  return f"wayjax.{home}" if home and name.startswith("wayjax.") else None


def upward(module: str, imported: set[str]) -> list[str]:
  """Those of a module's imports that stand above it."""
  rank = ORDER.index(room_of(module))
  return sorted(name for name in imported if ORDER.index(room_of(name)) > rank)


GRAPH = {name: imports(name, source) for name, source in SOURCES.items() if name != PUBLIC}


def test_every_room_has_its_place():
  assert {room_of(name) for name in GRAPH} == set(ORDER)
  assert len(ORDER) == len(set(ORDER))
  assert len(GRAPH) > 90


def test_imports_go_one_way():
  found = {name: upward(name, imported) for name, imported in GRAPH.items()}
  assert {name: above for name, above in found.items() if above} == {}


def test_no_modules_import_each_other():
  try:
    graphlib.TopologicalSorter(GRAPH).prepare()
  except graphlib.CycleError as error:
    pytest.fail(" <- ".join(error.args[1]))


def test_types_are_imported_as_everything_else_is():
  """An import that only type checkers see would hide a circle."""
  assert [name for name, source in SOURCES.items() if "TYPE_CHECKING" in source] == [PUBLIC]


def test_modules_are_short_and_named_after_what_they_hold():
  lines = {name: len(source.splitlines()) for name, source in SOURCES.items()}
  package = {name: count for name, count in lines.items() if name.split(".")[0] == PUBLIC}
  assert {name: count for name, count in package.items() if count > MOST_LINES} == {}
  assert not [name for name in SOURCES if {"util", "utils"} & set(name.split("."))]


@pytest.mark.parametrize(
  ("source", "found"),
  [
    ("import wayjax.run.measure", {"wayjax.run.measure"}),
    ("from wayjax.run import measure", {"wayjax.run.measure"}),
    ("from wayjax.run import main", {"wayjax.run"}),
    ("from .. import run", {"wayjax.run"}),
    ("from ..run.measure import Measure", {"wayjax.run.measure"}),
    ("from . import tasks", {"wayjax.data.tasks"}),
    ("from .tasks import Task", {"wayjax.data.tasks"}),
    ("def late():\n  from wayjax import run", {"wayjax.run"}),
    ("if TYPE_CHECKING:\n  from wayjax import run", {"wayjax.run"}),
    ("from wayjax import tune", {"wayjax.tuning.sweep"}),
    ("import wayjax\nwayjax.tune()", {"wayjax.tuning.sweep"}),
    ("from experiments.experiment import Experiment", {"experiments.experiment"}),
    ("import jax\nimport wayjax\nfrom wayjax import __version__\nwayjax.__version__", set()),
  ],
)
def test_every_way_to_import_is_seen(source, found):
  assert imports("wayjax.data.packing", source) == found


def test_upward_imports_are_told_from_others():
  imported = {"wayjax.errors", "wayjax.data.tasks", "wayjax.loss", "experiments.experiment"}
  assert upward("wayjax.data.packing", imported) == ["experiments.experiment", "wayjax.loss"]
