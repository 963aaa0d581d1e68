"""Copies of this checkout, and environments without it, to install it in."""

import os
import shutil
import sysconfig
import venv
from pathlib import Path

import wayjax

ROOT = Path(wayjax.__file__).parents[1]
_NEEDED = (
  "wayjax",
  "experiments",
  "tests",
  "tpu_scripts",
  "pyproject.toml",
  "README.md",
  "LICENSE",
)


def copy_checkout(folder: Path) -> None:
  """Copies what belongs to the project, and nothing that came to lie beside it."""
  folder.mkdir(parents=True)
  for name in _NEEDED:
    if (ROOT / name).is_dir():
      ignored = shutil.ignore_patterns("__pycache__")
      shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    else:
      shutil.copy(ROOT / name, folder / name)


def fresh_environment(folder: Path) -> tuple[Path, Path]:
  """An environment with all packages of this one but wayjax: its Python, and their folder."""
  venv.EnvBuilder(symlinks=True).create(folder)
  (packages,) = folder.glob("lib/python*/site-packages")
  for entry in os.scandir(sysconfig.get_path("purelib")):
    if "wayjax" not in entry.name:
      (packages / entry.name).symlink_to(entry.path)
  return folder / "bin" / "python", packages
