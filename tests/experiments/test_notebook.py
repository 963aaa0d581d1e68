"""The notebook runs from top to bottom as it is, on the embedded model, in few steps."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

import experiments

NOTEBOOK = Path(experiments.__file__).parent / "wayjax.ipynb"


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
  said = "".join(
    output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
  )
  assert "solves agnews:" in said
  assert "16 of 16 members are in" in said
  assert "2 of 2 members are in" in said
  assert (tmp_path / "report" / "index.html").is_file()
  drawn = [output for cell in notebook.cells for output in cell.get("outputs", [])]
  assert any("image/svg+xml" in output.get("data", {}) for output in drawn)
