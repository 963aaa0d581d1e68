"""Two real processes over jax.distributed train one sweep."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import wayjax
from wayjax.run import main


def options(model_dir, data_dir, out):
  return [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir),
    "--seeds", "1", "10", "--steps", "60", "--precision", "float32", "--checkpoint-every", "0",
    "--members-at-once", "2", "--target", "read me", "--target", "or this one, a long one",
    "--out", str(out),
  ]  # fmt: skip


def free_port() -> int:
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


def start(arguments, tmp_path, name) -> list[subprocess.Popen]:
  """The same command in two processes of one device each."""
  port = free_port()
  environment = {**os.environ, "XLA_FLAGS": "", "PYTHONUNBUFFERED": "1"}
  environment |= {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "JAX_PLATFORMS": "cpu"}
  environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "xla")
  processes = []
  for i in range(2):
    with (tmp_path / f"{name}-{i}").open("w") as log:
      where = ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process-id", str(i)]
      processes.append(
        subprocess.Popen(
          [sys.executable, "-m", "wayjax.run", *arguments, *where],
          stdout=log, stderr=subprocess.STDOUT, env=environment,
        )
      )  # fmt: skip
  return processes


def wait(processes, tmp_path, name):
  for i, process in enumerate(processes):
    assert process.wait(600) == 0, (tmp_path / f"{name}-{i}").read_text()


def test_two_processes_one_of_them_killed(model_dir, data_dir, tmp_path):
  alone = tmp_path / "alone"
  assert main(options(model_dir, data_dir, alone)) == 0
  wait(start(options(model_dir, data_dir, tmp_path / "both"), tmp_path, "both"), tmp_path, "both")
  cut = tmp_path / "cut"
  processes = start(options(model_dir, data_dir, cut), tmp_path, "cut")
  while not (cut / "metrics.jsonl").exists() and processes[0].poll() is None:
    time.sleep(0.005)
  processes[1].send_signal(signal.SIGKILL)
  processes[1].wait()
  processes[0].kill()  # it would wait for the other until its heartbeat is missed
  processes[0].wait()
  assert len(wayjax.read_run(cut).rows) < len(wayjax.read_run(alone).rows)
  wait(start(["--resume", str(cut)], tmp_path, "resumed"), tmp_path, "resumed")
  shown = [(tmp_path / f"both-{i}").read_text() for i in range(2)]
  assert ["member-steps" in text for text in shown] == [True, False]  # only the first shows
  runs = [wayjax.read_run(folder) for folder in (alone, tmp_path / "both", cut)]
  rows = [[{**row, "wall_seconds": 0} for row in run.rows] for run in runs]
  assert rows[1] == rows[2]
  for key in runs[0].prompt_keys():
    alone, both, resumed = (run.prompt(key) for run in runs)
    np.testing.assert_allclose(both, alone, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(resumed, both)


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
