"""A run computes the same where another library, or the environment, turned 64 bits on."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

import wayjax


def run(arguments: list[str], **environment: str) -> None:
  """A run in a process of its own, compiled as users' programs are: other emitters round anew."""
  subprocess.run(
    [sys.executable, "-m", "wayjax.run", *arguments],
    env={**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", **environment},
    check=True,
  )


@pytest.mark.parametrize("model_type", ["gpt2", "qwen3"])
def test_a_run_under_64_bits_is_the_same(model_type, inputs, tmp_path):
  model = tiny.save_model(tmp_path / "model", tiny.CONFIGS[model_type])
  given = [*inputs, "--model", str(model), "--steps", "4", "--seeds", "1", "--eval-every", "2"]
  given += ["--target", "read me", "--init", "vocab"]
  run([*given, "--out", str(tmp_path / "first")])
  run([*given, "--out", str(tmp_path / "second")], JAX_ENABLE_X64="1")
  runs = [wayjax.read_run(tmp_path / name) for name in ("first", "second")]
  rows = [[row | {"wall_seconds": 0} for row in run.rows] for run in runs]
  assert rows[0] == rows[1]
  assert runs[0].metrics == runs[1].metrics
  for key in runs[0].prompt_keys():
    first, second = (run.prompt(key).vectors_PxD for run in runs)
    np.testing.assert_array_equal(first, second)
