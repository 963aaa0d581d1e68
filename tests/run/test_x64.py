"""A run computes the same where another library, or the environment, turned 64 bits on."""

import jax
import numpy as np
import pytest
import tiny

import wayjax
from wayjax.run import main


@pytest.fixture
def x64():
  """Turns 64 bits on when it is called, until the test ends."""
  yield lambda: jax.config.update("jax_enable_x64", True)
  jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("model_type", ["gpt2", "qwen3"])
def test_a_run_under_64_bits_is_the_same(model_type, inputs, tmp_path, x64):
  model = tiny.save_model(tmp_path / "model", tiny.CONFIGS[model_type])
  given = [*inputs, "--model", str(model), "--steps", "4", "--seeds", "1", "--eval-every", "2"]
  given += ["--target", "read me", "--init", "vocab"]
  assert main([*given, "--out", str(tmp_path / "first")]) == 0
  x64()
  assert main([*given, "--out", str(tmp_path / "second")]) == 0
  runs = [wayjax.read_run(tmp_path / name) for name in ("first", "second")]
  rows = [[row | {"wall_seconds": 0} for row in run.rows] for run in runs]
  assert rows[0] == rows[1]
  assert runs[0].metrics == runs[1].metrics
  for key in runs[0].prompt_keys():
    first, second = (run.prompt(key).vectors_PxD for run in runs)
    np.testing.assert_array_equal(first, second)
