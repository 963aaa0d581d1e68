"""python -m experiments.benchmark: wayjax beside its peers in PyTorch, on one machine.

Every contender does the same work in a process of its own, one after the other, and their losses
and gradients must agree. The processes start together, because half of a quick run would be
imports. `experiments/results/` holds what was measured, and on what machine.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from experiments.benchmark import comparison
from experiments.benchmark.contenders import CONTENDERS, PEFT, RELEASED
from wayjax.errors import WayjaxError
from wayjax.exits import exit_code

QUICK = {
  "shape": "gpt2-two-layers",
  "run_steps": 2,
  "warmup_steps": 0,
  "timed_steps": 2,
  "test_rows": 4,
}
QUICK_CONTENDERS = (
  f"{RELEASED}, f32",
  f"{PEFT}, bf16",
  "wayjax, f32, M = 1",
  "wayjax, bf16, M = 4",
)
FULL = {"run_steps": 2000, "warmup_steps": 2, "timed_steps": 10, "test_rows": 64}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
  """Reads the command line."""
  from experiments.benchmark.work import SHAPES

  parser = argparse.ArgumentParser(
    prog="python -m experiments.benchmark", description=__doc__.split("\n")[0]
  )
  parser.add_argument("--model", choices=SHAPES, default="gpt2", help="its shape [gpt2]")
  parser.add_argument("--data-dir", help="folder with <dataset>/{train,test}.csv")
  parser.add_argument(
    "--tokenizer", default="openai-community/gpt2", help="GPT-2's: a folder or a Hub id"
  )
  parser.add_argument("--datasets", nargs="+", default=["sst2", "agnews", "trec"])
  parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
  parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
  parser.add_argument(
    "--quick", action="store_true", help="two layers, SST-2 and four contenders only"
  )
  parser.add_argument("--before", default="", metavar="TEXT", help="text before the prompt [none]")
  parser.add_argument("--after", default="", metavar="TEXT", help="text after the prompt [none]")
  parser.add_argument(
    "--generation", action="store_true", help="generating text after 16 prompts, on the CPU"
  )
  parser.add_argument(
    "--scaling", action="store_true", help="sweeps of the demo that grow, on the CPU; no peers"
  )
  parser.add_argument(
    "--out", type=Path, help="where the JSON goes, and --scaling's figure beside it [only printed]"
  )
  return parser.parse_args(argv)


def run(args: argparse.Namespace, folder: Path) -> dict:
  """Measures all contenders; returns what goes into the JSON.

  Raises:
    WayjaxError: a peer is not installed, a contender failed, or they do not agree.
  """
  from experiments.benchmark.work import Work

  options = QUICK if args.quick else {"shape": args.model, **FULL}
  datasets = ["sst2"] if args.quick else args.datasets
  contenders = QUICK_CONTENDERS if args.quick else args.contenders
  if args.before and any(name.startswith(PEFT) for name in contenders):
    raise WayjaxError("PEFT puts nothing before its prompts: leave it out of --contenders")
  options |= {"before": args.before, "after": args.after}
  Work.make(folder, tokenizer=args.tokenizer, data_dir=args.data_dir, datasets=datasets, **options)
  with _Process("machine", args.device, result=folder / "machine.json") as process:
    machine = process.measure()
  found = {"machine": machine, "settings": options, "datasets": {}}
  for dataset in datasets:
    results = _take_turns(contenders, dataset, args.device, folder)
    comparison.check_agreement(results, dataset)
    found["datasets"][dataset] = comparison.compare(
      results, machine["matmul_operations_per_second"]
    )
    print(f"\n{dataset}\n\n{comparison.to_markdown(found['datasets'][dataset])}\n", flush=True)
  return found


def _take_turns(contenders, dataset: str, device: str, folder: Path) -> dict[str, dict]:
  """Measures contenders one after the other, each in its own process."""
  results = {}
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(
        _Process("contenders", name, dataset, device, folder, result=folder / f"{number}.json")
      )
      for number, name in enumerate(contenders)
    ]
    for process in processes:
      process.wait_until_ready()
    for name, process in zip(contenders, processes, strict=True):
      print(f"{dataset}: {name} ...", file=sys.stderr, flush=True)
      results[name] = process.measure()
  return results


class _Process:
  """A module of this package in its own process: it imports, and then waits for its turn."""

  def __init__(self, module: str, *arguments, result: Path):
    self._name = " ".join(map(str, (module, *arguments)))
    self._result = result
    command = [sys.executable, "-m", f"experiments.benchmark.{module}"]
    self._process = subprocess.Popen(
      [*command, *map(str, arguments), str(result)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

  def wait_until_ready(self) -> None:
    if not self._process.stdout.readline():
      raise WayjaxError(f"{self._name} failed: its own message is above")

  def measure(self) -> dict:
    """Lets it run, and returns what it found."""
    self._process.communicate(b"\n")
    if self._process.returncode:
      raise WayjaxError(f"{self._name} failed: its own message is above")
    return json.loads(self._result.read_text())

  def __enter__(self) -> "_Process":
    return self

  def __exit__(self, *exception) -> None:
    self._process.kill()
    self._process.wait()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("benchmark", lambda: _benchmark(parse_args(argv)))


def _benchmark(args: argparse.Namespace) -> int:
  if args.scaling:
    return _scaling(args)
  if missing := [name for name in ("torch", "peft") if find_spec(name) is None]:
    raise WayjaxError(f"{' and '.join(missing)} not installed: pip install -e '.[bench]'")
  with tempfile.TemporaryDirectory() as folder:
    if args.generation:
      return _generation(args, Path(folder))
    if args.data_dir is None:
      raise WayjaxError("the rows are not known: give --data-dir")
    found = run(args, Path(folder))
  rates = found["machine"]["matmul_operations_per_second"]
  print(json.dumps(found["machine"], indent=2))
  print(", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in rates.items()))
  _keep(args, found)
  return 0


def _generation(args: argparse.Namespace, folder: Path) -> int:
  from experiments.benchmark import generation, machine, work

  shape = QUICK["shape"] if args.quick else args.model
  work.save_model(folder / "model", args.tokenizer, shape)
  found = {
    "machine": machine.describe("cpu"),
    "shape": shape,
    "generation": generation.measure(folder / "model"),
  }
  print(json.dumps(found, indent=2))
  _keep(args, found)
  return 0


def _scaling(args: argparse.Namespace) -> int:
  from experiments.benchmark import machine, scaling

  with tempfile.TemporaryDirectory() as folder:
    found = scaling.measure(Path(folder))
  print(scaling.to_markdown(found))
  _keep(args, {"machine": machine.describe("cpu"), "scaling": found})
  if args.out:
    args.out.with_suffix(".png").write_bytes(scaling.to_figure(found).png)
  return 0


def _keep(args: argparse.Namespace, found: dict) -> None:
  if args.out:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
  sys.exit(main())
