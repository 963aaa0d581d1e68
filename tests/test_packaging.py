"""What `pip install` brings, in fresh environments: from the folder of a clone, and as a wheel."""

import contextlib
import email
import os
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from checkouts import ROOT, copy_checkout, fresh_environment

import wayjax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def build(hook: str, source: Path, out: Path) -> Path:
  """Calls a hook of the project's build backend as an installer does."""
  backend = pytest.importorskip(PROJECT["build-system"]["build-backend"])
  with contextlib.chdir(source):
    return out / getattr(backend, hook)(str(out))


def files_of(folder: Path) -> set[str]:
  """The files of the package in a checkout."""
  paths = (path.relative_to(folder) for path in (folder / "wayjax").rglob("*") if path.is_file())
  return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def names_in(wheel: Path) -> set[str]:
  """What a wheel holds besides its metadata."""
  names = zipfile.ZipFile(wheel).namelist()
  return {name for name in names if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
  """A clone named wayjax with rows in its `data`, in a home folder under version control itself."""
  home = tmp_path_factory.mktemp("a home, with é")
  (home / ".gitignore").write_text("*\n")
  copy_checkout(home / "wayjax")
  (home / "wayjax" / "data" / "trec").mkdir(parents=True)
  (home / "wayjax" / "data" / "trec" / "train.csv").write_text("text,label\n")
  return home / "wayjax"


@pytest.fixture(scope="module", params=["build_editable", "build_wheel"])
def python(request, clone, tmp_path_factory):
  """Python in a fresh environment with the clone installed."""
  wheel = build(request.param, clone, tmp_path_factory.mktemp("wheels"))
  executable, site_packages = fresh_environment(tmp_path_factory.mktemp("environment"))
  zipfile.ZipFile(wheel).extractall(site_packages)

  def run(*arguments: str) -> str:
    done = subprocess.run(
      [executable, *arguments],
      cwd=clone.parent,
      env={"PATH": os.defpath},
      capture_output=True,
      text=True,
      timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  run.home = (clone if request.param == "build_editable" else site_packages) / "wayjax"
  return run


def test_the_folder_that_holds_the_clone_imports_the_package(python):
  code = "import wayjax; print(wayjax.__file__); wayjax.tune"
  assert python("-c", code) == f"{python.home / '__init__.py'}\n"


def test_the_folder_that_holds_the_clone_runs_the_command(python):
  assert python("-m", "wayjax.run", "--help").startswith("usage: python -m wayjax.run")


def test_a_script_beside_the_clone_gets_the_package_and_not_the_clones_folders(python, clone):
  script = clone.parent / "script.py"
  script.write_text("import wayjax.data, wayjax.demo\nprint(wayjax.data.__file__)")
  assert python("script.py") == f"{python.home / 'data' / '__init__.py'}\n"


def test_the_installed_version_is_the_packages(python):
  code = "import importlib.metadata, wayjax; print(importlib.metadata.version('wayjax'))"
  assert python("-c", code) == f"{wayjax.__version__}\n"


def test_the_wheel_holds_every_file_of_the_package(clone, tmp_path):
  wheel = build("build_wheel", clone, tmp_path)
  assert names_in(wheel) == files_of(clone)
  (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
  found = email.message_from_bytes(zipfile.ZipFile(wheel).read(metadata))
  assert set(found.get_all("Provides-Extra")) == set(PROJECT["project"]["optional-dependencies"])
  needed = [line for line in found.get_all("Requires-Dist") if "extra ==" not in line]
  assert len(needed) == len(PROJECT["project"]["dependencies"])
  assert metadata.replace("METADATA", "licenses/LICENSE") in zipfile.ZipFile(wheel).namelist()


def test_the_sdist_makes_the_same_wheel_and_holds_no_rows(clone, tmp_path):
  with tarfile.open(build("build_sdist", clone, tmp_path)) as archive:
    archive.extractall(tmp_path, filter="data")
  (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
  assert names_in(build("build_wheel", source, tmp_path)) == files_of(clone)
  assert (source / "tests" / Path(__file__).name).is_file()
  assert (source / "experiments" / "wayjax.ipynb").is_file()
  assert not (source / "data").exists()
