"""Two real processes over jax.distributed train one sweep."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
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


UNUSABLE = [
  *((name, value, f"SLURM has not set {name}") for name in SLURM for value in (None, "")),
  ("SLURM_NTASKS", "2(x3)", "SLURM has SLURM_NTASKS=2(x3)"),
  ("SLURM_PROCID", "2", "SLURM_PROCID is not below SLURM_NTASKS"),
  ("SLURM_LOCALID", "-1", "SLURM has SLURM_LOCALID=-1"),
]
# In a process of its own: jax looks for others only before its first computation.
_START = """
import json, os, sys
from wayjax.devices import processes
from wayjax.errors import WayjaxError
for environment in json.loads(sys.argv[1]):
  os.environ.update(environment)
  try:
    processes.start(None, None, None, distributed=True)
  except WayjaxError as error:
    print(error)
  for name in environment:
    del os.environ[name]
"""


def test_processes_without_a_launcher_are_told_what_to_do():
  found = [
    {variable: text for variable, text in (SLURM | {name: value}).items() if text is not None}
    for name, value, _ in UNUSABLE
  ]
  done = subprocess.run(
    [sys.executable, "-c", _START, json.dumps([*found, {}])],
    env={name: text for name, text in os.environ.items() if not name.startswith("SLURM_")},
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  *of_slurm, alone = done.stdout.splitlines()
  failed = "the processes cannot find each other: "
  assert of_slurm == [f"{failed}{why}: start them with srun" for _, _, why in UNUSABLE]
  assert alone == (
    f"{failed}no launcher tells of them, so give --coordinator, --processes and --process-id"
  )


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


def test_a_first_process_that_does_not_answer_is_named(monkeypatch):
  monkeypatch.setattr(processes, "_PATIENCE_SECONDS", 0.0)
  monkeypatch.setattr(processes, "_RETRY_SECONDS", 0.01)
  for address in ("127.0.0.1:1", "[::1]:1", "no.such.host:1"):
    with pytest.raises(WayjaxError, match=f"nothing answers at --coordinator {re.escape(address)}"):
      processes.start(address, 2, 1, False)


@pytest.mark.parametrize(
  ("error", "is_lost"),
  [
    (jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: Connection reset"), True),
    (ValueError("UNKNOWN: Gloo AllGather failed: Connection reset"), True),
    (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), False),
    (ValueError("wrong"), False),
  ],
)
def test_another_process_that_is_lost_is_a_sentence_only_where_there_are_others(
  monkeypatch, error, is_lost
):
  for joined in (True, False):
    monkeypatch.setattr(processes, "_joined", joined)
    monkeypatch.setattr(processes, "_failed", False)
    kind = WayjaxError if joined and is_lost else type(error)
    with pytest.raises(kind), processes.together():
      raise error
    assert processes._failed == (joined and is_lost)


def test_a_process_ends_in_a_sentence_soon_after_another_was_killed(model_dir, data_dir, tmp_path):
  options = [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir), "--seeds", "1",
    "--steps", "200000", "--precision", "float32", "--target", "read me", "--checkpoint-every", "0",
  ]  # fmt: skip
  done = subprocess.run(
    [sys.executable, PAIRS.with_name("lost.py"), tmp_path, *options],
    env={**os.environ, "XLA_FLAGS": "", "PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"},
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  log = (tmp_path / "run-0").read_text()
  assert done.returncode == 0, (done.stderr, log)
  code, seconds = done.stdout.split()
  assert int(code) == 2, log
  assert float(seconds) < 60
  assert "Traceback" not in log
  assert "wayjax: error: another process of this run has ended or cannot be reached" in log
  assert "start all processes again with --resume" in log
