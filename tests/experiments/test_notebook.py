"""The notebook runs from top to bottom as it is, on the embedded model, in few steps."""

import json
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from checkouts import copy_checkout, fresh_environment
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import experiments

NOTEBOOK = Path(experiments.__file__).parent / "wayjax.ipynb"


def said_by(notebook) -> str:
  """What the cells of a notebook printed."""
  outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
  return "".join(output.get("text", "") for output in outputs)


def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
  monkeypatch.setenv("WAYJAX_NOTEBOOK_MODEL", "demo")  # the real one is not on this machine
  monkeypatch.setenv("WAYJAX_NOTEBOOK_OPTIONS", "--steps 5 --train-rows 80 --eval-rows 20")
  monkeypatch.setenv("HF_HUB_OFFLINE", "1")
  monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
  monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  assert all(not cell.get("outputs") for cell in notebook.cells)
  NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
  said = said_by(notebook)
  assert "right on agnews:" in said
  assert "16 of 16 members are in" in said
  assert "2 of 2 members are in" in said
  assert (tmp_path / "report" / "index.html").is_file()
  drawn = [output for cell in notebook.cells for output in cell.get("outputs", [])]
  assert any("image/svg+xml" in output.get("data", {}) for output in drawn)


@pytest.fixture
def colab(tmp_path, monkeypatch):
  """Runs the install cell, then others, in an empty folder by a Python that lacks wayjax."""
  pytest.importorskip("hatchling")
  python, _ = fresh_environment(tmp_path / "environment")
  kernel = tmp_path / "jupyter" / "kernels" / "colab" / "kernel.json"
  kernel.parent.mkdir(parents=True)
  argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
  kernel.write_text(json.dumps({"argv": argv, "display_name": "colab", "language": "python"}))
  monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
  monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
  monkeypatch.setenv("PIP_NO_INDEX", "1")
  monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # which is how pip spells yes
  monkeypatch.delenv("PYTHONPATH", raising=False)
  content = tmp_path / "content"
  content.mkdir()

  def run(*cells: str) -> str:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    install = next(cell for cell in notebook.cells if cell.cell_type == "code")
    notebook.cells = [install, *map(nbformat.v4.new_code_cell, cells)]
    resources = {"metadata": {"path": str(content)}}
    NotebookClient(notebook, timeout=300, kernel_name="colab", resources=resources).execute()
    return said_by(notebook)

  return run, content


USES = (
  "import wayjax; print(wayjax.__file__); wayjax.tune",
  "!{sys.executable} -m wayjax.run --help",
)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_without_a_clone_it_clones_and_installs(colab, tmp_path, monkeypatch):
  run, content = colab
  repository = tmp_path / "a repository"
  copy_checkout(repository)
  for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *who, *command], cwd=repository, check=True)
  monkeypatch.setenv("WAYJAX_NOTEBOOK_REPOSITORY", str(repository))
  said = run(*USES)
  assert str(content / "wayjax" / "wayjax" / "__init__.py") in said
  assert "usage: python -m wayjax.run" in said


def test_beside_a_clone_it_installs_that(colab):
  run, content = colab
  copy_checkout(content / "wayjax")
  said = run(*USES)
  assert str(content / "wayjax" / "wayjax" / "__init__.py") in said
  assert "usage: python -m wayjax.run" in said


def test_without_a_clone_or_a_repository_it_says_what_to_give(colab, monkeypatch):
  run, content = colab
  monkeypatch.delenv("WAYJAX_NOTEBOOK_REPOSITORY", raising=False)
  with pytest.raises(CellExecutionError, match="give REPOSITORY, above, the git URL of wayjax"):
    run()
  assert list(content.iterdir()) == []
