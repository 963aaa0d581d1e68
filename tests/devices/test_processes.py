"""Two real processes over jax.distributed train one sweep."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import wayjax
from wayjax.devices import processes
from wayjax.errors import WayjaxError
from wayjax.run import main

PAIRS = Path(__file__).resolve().parents[1] / "run" / "pairs.py"


def test_two_processes_one_of_them_killed(model_dir, data_dir, tmp_path):
  options = [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir),
    "--seeds", "1", "10", "--steps", "60", "--precision", "float32", "--checkpoint-every", "0",
    "--members-at-once", "2", "--target", "read me",
  ]  # fmt: skip
  alone = tmp_path / "alone"
  assert main([*options, "--out", str(alone)]) == 0
  done = subprocess.run(
    [sys.executable, PAIRS, tmp_path, *options],
    env={
      **os.environ, "XLA_FLAGS": "", "PYTHONUNBUFFERED": "1",
      "JAX_DEFAULT_MATMUL_PRECISION": "highest", "JAX_PLATFORMS": "cpu",
    },
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  logs = {path.name: path.read_text() for path in tmp_path.glob("*-?")}
  assert done.returncode == 0, (done.stderr, logs)
  shown = ["member-steps" in logs[f"both-{i}"] for i in range(2)]
  assert shown == [True, False]  # only the first shows
  runs = [wayjax.read_run(tmp_path / name) for name in ("alone", "both", "cut")]
  rows = [[{**row, "wall_seconds": 0} for row in run.rows] for run in runs]
  assert rows[1] == rows[2]
  assert len(rows[1]) == len(rows[0])
  for key in runs[0].prompt_keys():
    alone, both, resumed = (run.prompt(key).vectors_PxD for run in runs)
    np.testing.assert_allclose(both, alone, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(resumed, both)


SLURM = {
  "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "2", "SLURM_PROCID": "0",
  "SLURM_LOCALID": "0",
}  # fmt: skip


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    *((name, value, f"SLURM has not set {name}") for name in SLURM for value in (None, "")),
    ("SLURM_NTASKS", "2(x3)", r"SLURM has SLURM_NTASKS=2\(x3\)"),
    ("SLURM_PROCID", "2", "SLURM_PROCID is not below SLURM_NTASKS"),
    ("SLURM_LOCALID", "-1", "SLURM has SLURM_LOCALID=-1"),
  ],
)
def test_slurm_without_srun_is_told_to_use_it(monkeypatch, name, value, message):
  for variable, usual in (SLURM | {name: value}).items():
    monkeypatch.setenv(variable, usual or "")
    if usual is None:
      monkeypatch.delenv(variable)
  with pytest.raises(WayjaxError, match=f"cannot find each other: {message}: start them with srun"):
    processes.start(None, None, None, distributed=True)


def test_alone_and_without_a_launcher_it_is_said_what_is_missing(monkeypatch):
  for name in SLURM:
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(WayjaxError, match="so give --coordinator, --processes and --process-id"):
    processes.start(None, None, None, distributed=True)


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (["--processes", "2"], "--coordinator, --processes and --process-id go together"),
    (["--distributed"], "--out must name the run folder"),
  ],
)
def test_what_does_not_go_together_is_refused(given, message, capsys):
  assert main(["--dataset", "sst2", *given]) == 2
  assert message in capsys.readouterr().err
