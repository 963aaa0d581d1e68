"""A run that nothing cuts off, which others are compared with."""

from pathlib import Path

import pytest

from wayjax.run import main


@pytest.fixture(scope="session")
def inputs(model_dir, data_dir) -> list[str]:
  """The options that name the tiny model and rows."""
  return [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir),
    "--precision", "float32",
  ]  # fmt: skip


@pytest.fixture(scope="session")
def options(inputs) -> list[str]:
  """A sweep of two chunks of one length and two of another, with many checkpoints."""
  return [
    *inputs, "--seeds", "1", "10", "--steps", "60", "--members-at-once", "2",
    "--checkpoint-every", "0", "--eval-every", "30", "--target", "read me",
    "--target", "or this one, a long one",
  ]  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(options, tmp_path_factory) -> Path:
  """The folder of that run; whoever changes it takes a copy."""
  out = tmp_path_factory.mktemp("undisturbed") / "run"
  assert main([*options, "--out", str(out)]) == 0
  return out
