"""The launch files: what they would run, and what arrives at the other end."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import bucket
import fsspec
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tpu_scripts"
SCRIPTS = ("create", "setup", "run", "resume", "fetch", "delete")
SHELL_FILES = [FOLDER / name for name in ("settings.sh", "wayjax.sbatch")] + [
  FOLDER / f"{name}.sh" for name in SCRIPTS
]
TARGET = 'The train\'s "coast" leaves at $9 `from` the café'
RUN_ARGS = r"""--dataset trec --target "The train's \"coast\" leaves at $9 `from` the café" """

# Stands in for a program: keeps its arguments, as JSON, and prints what it is told to.
STAND_IN = """#!{python}
import json, os, sys
with open({log!r}, "a") as file:
  print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]), file=file)
{then}
"""


def bash(file, *arguments, path=os.defpath, **settings):
  """Runs a script with these settings and no others."""
  return subprocess.run(
    ["bash", str(file), *arguments],
    cwd=ROOT,
    env={"HOME": "/nonexistent", "PATH": path} | settings,
    capture_output=True,
    text=True,
    timeout=60,
  )


def dry_run(name, **settings):
  """The commands that a script prints, split into words."""
  file = FOLDER / (name if "." in name else f"{name}.sh")
  done = bash(file, "--dry-run", **settings)
  assert (done.returncode, done.stderr) == (0, "")
  return [shlex.split(line) for line in done.stdout.splitlines()]


def remote(command):
  """What a gcloud ssh command has the remote shell read."""
  assert command[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh"]
  assert "--worker=all" in command
  return command[-1].removeprefix("--command=")


@pytest.fixture
def stand_in(tmp_path):
  """Makes stand-ins for programs; returns how to make one, the PATH, and what was called."""
  log = tmp_path / "calls"
  log.touch()

  def make(name, then="", folder=tmp_path / "bin"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(STAND_IN.format(python=sys.executable, log=str(log), then=then))
    (folder / name).chmod(0o755)

  return (
    make,
    f"{tmp_path / 'bin'}:{os.defpath}",
    lambda: [json.loads(line) for line in log.read_text().splitlines()],
  )


def test_create_asks_for_a_queued_resource_and_looks():
  look, create, look_again = dry_run("create")
  assert look == look_again
  assert look[:5] == ["gcloud", "compute", "tpus", "queued-resources", "list"]
  assert '--filter=name.basename()="wayjax"' in look
  assert create[4:] == [
    "create",
    "wayjax",
    "--node-id=wayjax",
    "--zone=us-west4-a",
    "--accelerator-type=v5litepod-8",
    "--runtime-version=v2-alpha-tpuv5-lite",
  ]


def test_settings_come_from_the_environment():
  settings = {"NAME": "n", "PROJECT": "p", "ZONE": "z", "ACCELERATOR_TYPE": "v6e-16", "SPOT": "1"}
  create = dry_run("create", **settings)[1]
  assert create[5:] == [
    "n",
    "--node-id=n",
    "--zone=z",
    "--project=p",
    "--accelerator-type=v6e-16",
    "--runtime-version=v2-alpha-tpuv6e",
    "--spot",
  ]
  assert "--runtime-version=mine" in dry_run("create", RUNTIME_VERSION="mine", **settings)[1]
  assert bash(FOLDER / "create.sh", SPOT="yes").returncode == 2


@pytest.mark.parametrize("poll", ["soon", "-1", "5 m"])
def test_a_pause_that_is_no_number_is_refused(gcloud, poll):
  answers, path, kinds = gcloud
  answers("WAITING_FOR_RESOURCES ACTIVE")
  done = bash(FOLDER / "create.sh", path=path, POLL=poll)
  assert done.returncode == 2
  assert done.stderr == f"POLL must be a number of seconds, not {poll}\n"
  assert kinds() == []


@pytest.mark.parametrize("kind", ["tpu7x-8", "v7x-8"])
def test_what_queued_resources_do_not_have_is_sent_elsewhere(kind):
  done = bash(FOLDER / "create.sh", "--dry-run", ACCELERATOR_TYPE=kind)
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.startswith(f"queued resources have no {kind}: use wayjax.jobset.yaml")


def test_setup_copies_this_checkout_to_every_worker(stand_in, tmp_path):
  _, copy, install = dry_run("setup")
  assert copy[4:6] == ["scp", "--recurse"]
  assert {str(ROOT / name) for name in ("pyproject.toml", "wayjax", "LICENSE")} < set(copy)
  assert "--worker=all" in copy
  make, _, calls = stand_in
  make("uv", folder=tmp_path / ".local" / "bin")
  (tmp_path / "wayjax-checkout").mkdir()
  home = {"HOME": str(tmp_path), "PATH": os.defpath}
  subprocess.run(["bash", "-c", remote(install)], cwd=tmp_path, env=home, check=True, timeout=60)
  assert calls() == (
    [
      ["uv", "venv", "--allow-existing", "--python", "3.12"],
      ["uv", "pip", "install", "-e", ".[tpu,gcs]"],
    ]
  )


def test_setup_clones_a_repository():
  clone, install = dry_run("setup", REPOSITORY="https://host/it's.git", PYTHON_VERSION="3.13")
  assert "git clone " + shlex.quote("https://host/it's.git") in remote(clone)
  assert "--python 3.13" in remote(install)


def test_setup_installs_what_brings_python_from_the_package_index(stand_in, tmp_path):
  install = remote(dry_run("setup", PYTHON_VERSION="3.12; touch broken")[-1])
  assert "curl" not in install
  make, path, calls = stand_in
  make("python3", then=f"os.rename({str(tmp_path / 'uv')!r}, {str(tmp_path / '.local/bin/uv')!r})")
  make("uv", folder=tmp_path)
  (tmp_path / ".local" / "bin").mkdir(parents=True)
  (tmp_path / "wayjax-checkout").mkdir()
  home = {"HOME": str(tmp_path), "PATH": path}
  subprocess.run(["bash", "-c", install], cwd=tmp_path, env=home, check=True, timeout=60)
  pip, venv, _ = calls()
  assert pip[:5] == ["python3", "-m", "pip", "install", "--user"]
  assert re.fullmatch(r"uv==[\d.]+", pip[5])  # a version that does not change by itself
  assert venv[-2:] == ["--python", "3.12; touch broken"]


def test_a_name_with_odd_characters_stays_one_word(stand_in, tmp_path):
  make, path, calls = stand_in
  make("gcloud")
  make("python", folder=tmp_path / "wayjax-checkout" / ".venv" / "bin")
  name = "it's; touch broken"
  done = bash(FOLDER / "run.sh", path=path, NAME=name, OUT="one")
  (start,) = calls()
  subprocess.run(["bash", "-c", remote(start) + "wait"], cwd=tmp_path, check=True, timeout=60)
  assert (tmp_path / f"{name}.log").is_file()
  assert not (tmp_path / "broken").exists()
  watch = shlex.split(done.stderr.splitlines()[-1])[-1].removeprefix("--command=")
  assert shlex.split(watch) == ["tail", "-f", f"{name}.log"]


def test_run_starts_a_distributed_run_on_every_worker():
  (start,) = dry_run("run", OUT="gs://b/one", RUN_ARGS="--dataset sst2 --steps 5", NAME="n")
  python = "nohup wayjax-checkout/.venv/bin/python -m wayjax.run"
  arguments = "--dataset sst2 --steps 5 --out gs://b/one --distributed"
  assert remote(start) == f"{python} {arguments} >> n.log 2>&1 < /dev/null &"


def test_a_target_arrives_as_it_was_written(stand_in, tmp_path):
  make, path, calls = stand_in
  make("gcloud")
  make("python", folder=tmp_path / "wayjax-checkout" / ".venv" / "bin")
  done = bash(FOLDER / "run.sh", path=path, RUN_ARGS=RUN_ARGS, OUT="my runs/one")
  assert done.returncode == 0, done.stderr
  (start,) = calls()
  # gcloud and ssh hand their command to the remote shell as it is; nothing waits for the run
  subprocess.run(["bash", "-c", remote(start) + "wait"], cwd=tmp_path, check=True, timeout=60)
  expected = ["python", "-m", "wayjax.run", "--dataset", "trec", "--target", TARGET]
  assert calls()[1] == expected + ["--out", "my runs/one", "--distributed"]


def test_an_open_quote_is_named():
  done = bash(FOLDER / "run.sh", "--dry-run", RUN_ARGS='--target "The')
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr == 'RUN_ARGS has an open quote: --target "The\n'


def test_resume_makes_a_new_vm_and_goes_on():
  commands = dry_run("resume", OUT="gs://b/one", SPOT="1")
  assert [command[4] for command in commands] == (
    ["list", "delete", "list", "create", "list", "ssh", "scp", "ssh", "ssh"]
  )
  assert "--spot" in commands[3]
  assert "-m wayjax.run --resume gs://b/one --distributed >>" in remote(commands[-1])


def test_resume_keeps_a_vm_that_is_there(stand_in):
  make, path, calls = stand_in
  make("gcloud", then='if "list" in sys.argv: print("ACTIVE")')
  done = bash(FOLDER / "resume.sh", path=path)
  assert done.returncode == 0, done.stderr
  kinds = [call[4] for call in calls()]
  assert kinds == ["list", "list", "ssh", "scp", "ssh", "ssh"]
  assert "--resume runs/wayjax" in remote(calls()[-1])


def test_resume_says_that_a_folder_on_the_vm_is_lost():
  done = bash(FOLDER / "resume.sh", "--dry-run")
  assert done.returncode == 2
  assert "only a run folder on gs:// outlives its VM" in done.stderr


@pytest.fixture
def gcloud(stand_in, tmp_path):
  """Makes a gcloud that answers looks in turn: a state, NONE for no such thing, or FAILS."""
  make, path, calls = stand_in
  states = tmp_path / "states"

  def answers(text):
    states.write_text(text)
    then = f"""
if "list" in sys.argv:
  with open({str(states)!r}) as file: first, *rest = file.read().split()
  with open({str(states)!r}, "w") as file: file.write(" ".join(rest))
  if first == "FAILS": sys.exit("ERROR: (gcloud) UNAVAILABLE: try again")
  if first != "NONE": print(first)
"""
    make("gcloud", then=then)

  return answers, path, lambda: [call[4] for call in calls()]


def test_create_waits_until_the_vm_is_there(gcloud):
  answers, path, kinds = gcloud
  answers("WAITING_FOR_RESOURCES WAITING_FOR_RESOURCES PROVISIONING ACTIVE")
  done = bash(FOLDER / "create.sh", path=path, POLL="0")
  assert done.returncode == 0, done.stderr
  assert kinds() == ["list"] * 4
  assert "wayjax is PROVISIONING" in done.stderr
  assert done.stderr.endswith("wayjax is ACTIVE\n")


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDED"])
def test_create_fails_where_there_will_be_no_vm(stand_in, state):
  make, path, _ = stand_in
  make("gcloud", then=f'if "list" in sys.argv: print("{state}")')
  done = bash(FOLDER / "create.sh", path=path)
  assert done.returncode == 1
  assert done.stderr.endswith(f"wayjax is {state}\n")


def test_create_asks_where_there_is_none(gcloud):
  answers, path, kinds = gcloud
  answers("NONE NONE")
  assert bash(FOLDER / "create.sh", path=path, POLL="0").returncode == 1  # it never comes
  assert kinds() == ["list", "create", "list"]


def test_a_look_that_fails_does_not_end_the_waiting(gcloud):
  answers, path, kinds = gcloud
  answers("NONE FAILS WAITING_FOR_RESOURCES FAILS FAILS ACTIVE")
  done = bash(FOLDER / "create.sh", path=path, POLL="0")
  assert done.returncode == 0, done.stderr
  assert kinds() == ["list", "create", *["list"] * 5]
  assert done.stderr.count("UNAVAILABLE") == done.stderr.count("looking again") == 3
  assert done.stderr.endswith("wayjax is ACTIVE\n")


@pytest.mark.parametrize("name", ["create", "resume"])
def test_a_first_look_that_fails_is_not_taken_for_a_loss(gcloud, name):
  answers, path, kinds = gcloud
  answers("FAILS")
  done = bash(FOLDER / f"{name}.sh", path=path)
  assert done.returncode == 2
  assert done.stderr.endswith("gcloud did not say how wayjax is, so nothing has been done\n")
  assert kinds() == ["list"]


def test_resume_waits_through_a_look_that_fails(gcloud):
  answers, path, kinds = gcloud
  answers("SUSPENDING FAILS SUSPENDED NONE FAILS ACTIVE")
  done = bash(FOLDER / "resume.sh", path=path, OUT="gs://b/one", POLL="0")
  assert done.returncode == 0, done.stderr
  assert kinds() == ["list"] * 3 + ["delete", "list", "create", "list", "list"] + (
    ["ssh", "scp", "ssh", "ssh"]
  )


def test_resume_says_that_a_folder_on_a_vm_that_is_gone_is_lost(gcloud):
  answers, path, kinds = gcloud
  answers("NONE")
  done = bash(FOLDER / "resume.sh", path=path)
  assert done.returncode == 2
  assert done.stderr.startswith("wayjax is NONE, and runs/wayjax went with it")
  assert kinds() == ["list"]


def test_fetch_copies_from_the_bucket_or_from_worker_0(tmp_path):
  into = tmp_path / "here"
  make_folder, copy = dry_run("fetch", OUT="gs://b/one", INTO=str(into))
  assert make_folder == ["mkdir", "-p", str(into)]
  assert copy == ["gcloud", "storage", "cp", "--recursive", "gs://b/one", str(into)]
  assert not into.exists()
  _, copy = dry_run("fetch")
  assert copy[4:] == (
    ["scp", "--recurse", "wayjax:runs/wayjax", "runs", "--zone=us-west4-a", "--worker=0"]
  )


def test_delete():
  (delete,) = dry_run("delete", NAME="n")
  assert delete[4:] == ["delete", "n", "--zone=us-west4-a", "--force", "--quiet"]


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("arguments", [["--help"], ["--dry-run", "x"], [""]])
def test_other_arguments_are_refused(name, arguments):
  done = bash(FOLDER / f"{name}.sh", *arguments)
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr == f"usage: {name}.sh [--dry-run]; settings: see tpu_scripts/README.md\n"


@pytest.mark.parametrize("name", SCRIPTS)
def test_gcloud_is_asked_for(name, tmp_path):
  for program in ("bash", "dirname", "python3"):
    (tmp_path / program).symlink_to(shutil.which(program))
  done = bash(FOLDER / f"{name}.sh", path=str(tmp_path))
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.startswith("gcloud is missing")
  assert done.stderr.count("\n") == 1


def test_sbatch_begins_and_after_a_requeue_goes_on(tmp_path):
  out = tmp_path / "out"
  (begin,) = dry_run("wayjax.sbatch", OUT=str(out), RUN_ARGS=RUN_ARGS, PYTHON="py")
  arguments = ["--dataset", "trec", "--target", TARGET, "--out", str(out), "--distributed"]
  assert begin == ["srun", "py", "-m", "wayjax.run", *arguments]
  out.mkdir()
  (out / "config.json").touch()
  (resume,) = dry_run("wayjax.sbatch", OUT=str(out), RUN_ARGS=RUN_ARGS)
  assert resume[3:] == ["wayjax.run", "--resume", str(out), "--distributed"]


def test_sbatch_saves_and_queues_again_before_its_time_is_up(stand_in, tmp_path):
  make, path, calls = stand_in
  signalled, ended = tmp_path / "signalled", tmp_path / "ended"
  # SLURM signals the batch shell; the tasks end some time after scancel has signalled them
  make(
    "srun",
    then=f"""
import pathlib, signal, time
os.kill(int(os.environ["BATCH_SHELL"]), signal.SIGUSR1)
while not pathlib.Path({str(signalled)!r}).exists(): time.sleep(0.01)
time.sleep(0.2)
open({str(ended)!r}, "w")
""",
  )
  make("scancel", then=f"open({str(signalled)!r}, 'w')")
  make("scontrol", then=f"open({str(ended)!r})")
  job = tmp_path / "slurm_script"
  job.write_text("export BATCH_SHELL=$$\n" + (FOLDER / "wayjax.sbatch").read_text())
  done = bash(job, path=path, SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=str(ROOT))
  assert done.returncode == 0, done.stderr
  assert [call[0] for call in calls()] == ["srun", "scancel", "scontrol"]
  assert calls()[1:] == [["scancel", "--signal=TERM", "7"], ["scontrol", "requeue", "7"]]


def test_sbatch_passes_a_failure_on(stand_in):
  make, path, calls = stand_in
  make("srun", then="sys.exit(3)")
  assert bash(FOLDER / "wayjax.sbatch", path=path, SLURM_JOB_ID="7").returncode == 3
  assert len(calls()) == 1


def read_yaml(name):
  """A launch file in YAML."""
  yaml = pytest.importorskip("yaml")
  return yaml.safe_load((FOLDER / name).read_text())


def sky_task():
  """The SkyPilot task file."""
  return read_yaml("wayjax.sky.yaml")


def gke_container():
  """The container of the JobSet."""
  (job,) = read_yaml("wayjax.jobset.yaml")["spec"]["replicatedJobs"]
  (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
  return container


def test_sky_begins_and_after_a_preemption_goes_on(tmp_path):
  task = sky_task()
  assert task["file_mounts"]["/runs"]["name"] == "${BUCKET}"
  assert task["envs"]["BUCKET"] is None
  assert task["envs"]["OUT"].startswith("/runs/")
  job = tmp_path / "job"
  job.write_text(task["run"])
  settings = {"DRY_RUN": "1", "RUN_ARGS": task["envs"]["RUN_ARGS"], "OUT": str(tmp_path)}
  begin = shlex.split(bash(job, **settings).stdout)
  assert begin[1:] == ["-m", "wayjax.run", "--dataset", "agnews", "--out", str(tmp_path)]
  (tmp_path / "config.json").touch()
  resume = shlex.split(bash(job, **settings).stdout)
  assert resume[1:] == ["-m", "wayjax.run", "--resume", str(tmp_path)]


@pytest.mark.parametrize(("programs", "extra"), [(["nvidia-smi"], "cuda"), ([], "tpu")])
def test_sky_installs_what_the_machine_needs(stand_in, tmp_path, programs, extra):
  make, path, calls = stand_in
  for program in ("uv", *programs):
    make(program)
  job = tmp_path / "job"
  job.write_text(sky_task()["setup"])
  done = bash(job, path=path)
  assert done.returncode == 0, done.stderr
  assert calls()[-1] == ["uv", "pip", "install", "-e", f".[{extra}]"]


@pytest.mark.parametrize("begun", [False, True])
def test_gke_begins_and_after_a_loss_goes_on(stand_in, tmp_path, monkeypatch, begun):
  container = gke_container()
  make, path, calls = stand_in
  clone = f"os.symlink({str(ROOT)!r}, sys.argv[-1])"
  make("git", then=clone)
  make("pip")
  make("python", then=f"sys.exit(sys.argv[1] == '-c' and not {begun})")
  settings = {entry["name"]: entry["value"] for entry in container["env"]}
  settings |= {"REPOSITORY": "https://host/it's.git", "RUN_ARGS": RUN_ARGS, "PATH": path}
  done = subprocess.run(
    [*container["command"], *container["args"]],
    cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=60,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  git, pip, look, run = calls()
  assert git[-2:] == ["https://host/it's.git", "wayjax-checkout"]
  assert pip == ["pip", "install", "-e", ".[tpu,gcs]"]
  out = settings["OUT"]
  begin = ["--dataset", "trec", "--target", TARGET, "--out", out]
  arguments = ["--resume", out] if begun else begin
  assert run == ["python", "-m", "wayjax.run", *arguments, "--distributed"]
  # how it looks for a run, looking into a bucket
  objects = bucket.install(monkeypatch)
  if begun:
    with fsspec.open(f"{out}/config.json", "wb") as file:
      file.write(b"{}")
  assert len(objects.objects()) == begun
  monkeypatch.setattr(sys, "argv", ["-c", *look[3:]])
  with pytest.raises(SystemExit) as ended:
    exec(look[2], {})
  assert bool(ended.value.code) is not begun


def test_gke_asks_for_tpu7x_machines():
  (job,) = read_yaml("wayjax.jobset.yaml")["spec"]["replicatedJobs"]
  spec = job["template"]["spec"]
  pod = spec["template"]["spec"]
  assert spec["parallelism"] == spec["completions"]
  assert pod["restartPolicy"] == "Never"  # all machines of a slice begin again together
  assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == "tpu7x"
  assert gke_container()["resources"]["limits"] == {"google.com/tpu": 4}


def test_what_is_run_can_be_run():
  for file in SHELL_FILES:
    subprocess.run(["bash", "-n", str(file)], check=True)
  for name in SCRIPTS:
    assert os.access(FOLDER / f"{name}.sh", os.X_OK)
    assert "\nset -euo pipefail\n" in (FOLDER / f"{name}.sh").read_text()


def test_shellcheck_finds_nothing(tmp_path):
  beside_python = str(Path(sys.executable).parent)
  shellcheck = shutil.which("shellcheck", path=beside_python + os.pathsep + os.environ["PATH"])
  if shellcheck is None:
    pytest.skip("no shellcheck")
  embedded = {name: sky_task()[name] for name in ("setup", "run")}
  embedded["gke"] = gke_container()["args"][0]
  parts = []
  for name, text in embedded.items():
    parts.append(tmp_path / f"{name}.sh")
    # their working directory is the checkout
    parts[-1].write_text(f"#!/usr/bin/env bash\n# shellcheck source-path={ROOT}\n{text}")
  done = subprocess.run(
    [shellcheck, "--external-sources", *map(str, SHELL_FILES + parts)],
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
