"""Nothing in the package runs what a file holds: no pickle, no code from text, no shell."""

import ast
from pathlib import Path

import pytest

import wayjax

MODULES = sorted(Path(wayjax.__file__).parent.rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load"}
SWITCHES = {"allow_pickle", "shell", "trust_remote_code"}


def unsafe(source: str) -> list[str]:
  """What a module does that could run what a file holds."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [name.name for name in node.names if name.name.split(".")[0] in PICKLES]
    elif isinstance(node, ast.ImportFrom):
      names = {f"{node.module}.{name.name}" for name in node.names}
      found += [node.module] if (node.module or "").split(".")[0] in PICKLES else names & CALLS
    elif isinstance(node, ast.Call):
      found += {ast.unparse(node.func).removeprefix("builtins.")} & CALLS
    elif isinstance(node, ast.keyword) and node.arg in SWITCHES:
      found += [] if ast.unparse(node.value) == "False" else [ast.unparse(node)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
      found += {node.value} & SWITCHES  # as in {"trust_remote_code": True}
  return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_runs_what_a_file_holds(path):
  assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
  "source",
  [
    "import pickle",
    "from pickle import load",
    "import torch",
    "eval(text)",
    "exec(text)",
    "os.system(text)",
    "from os import system",
    "np.load(path, allow_pickle=True)",
    "subprocess.run(text, shell=True)",
    "load(path, trust_remote_code=trusted)",
    "load(path, **{'trust_remote_code': True})",
  ],
)
def test_what_it_looks_for_is_found(source):
  assert unsafe(source)


def test_the_whole_package_is_looked_at():
  assert len(MODULES) > 30
