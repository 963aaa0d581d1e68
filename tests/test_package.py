"""The package from outside: its public names, seen by people, editors and type checkers."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import wayjax

FOLDER = Path(wayjax.__file__).parent
# What is of use without a model, and so must not wait for jax.
WITHOUT_JAX = """
import sys
import wayjax
assert "jax" not in sys.modules, "import wayjax"
import wayjax.command_line
import wayjax.run
names = "RunConfig SoftPrompt TASKS Target WayjaxError load_prompt load_targets prompt_f1 read_run"
for name in names.split():
  getattr(wayjax, name)
  assert "jax" not in sys.modules, name
"""


def test_dir_lists_what_the_package_offers():
  assert wayjax.__all__ == sorted(wayjax._HOMES)
  assert set(wayjax.__all__) <= set(dir(wayjax))
  assert "__version__" in dir(wayjax)


@pytest.mark.parametrize("name", wayjax.__all__)
def test_every_name_loads(name):
  home = importlib.import_module(f"wayjax.{wayjax._HOMES[name]}")
  assert getattr(wayjax, name) is getattr(home, name)


def test_type_checkers_see_the_same_names():
  tree = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
  (block,) = (node for node in tree.body if isinstance(node, ast.If))
  assert ast.unparse(block.test) == "TYPE_CHECKING"
  seen = {}
  for node in block.body:
    (alias,) = node.names
    assert alias.asname == alias.name  # else type checkers take it for a private import
    seen[alias.name] = node.module.removeprefix("wayjax.")
  assert seen == wayjax._HOMES
  assert (FOLDER / "py.typed").is_file()


def test_import_does_not_wait_for_jax():
  done = subprocess.run([sys.executable, "-c", WITHOUT_JAX], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="module 'wayjax' has no attribute 'tuned'"):
    _ = wayjax.tuned
