"""python -m experiments.benchmark: wayjax beside the released protocol and PEFT, on one machine.

Every contender does the same work in a process of its own, one after the other, and their losses
and gradients must agree. `experiments/results/` holds what was measured, and on what machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from experiments.benchmark import comparison
from experiments.benchmark.contenders import CONTENDERS, PEFT, RELEASED
from wayjax.errors import WayjaxError

QUICK = {"shape": "gpt2-two-layers", "warmup_steps": 1, "timed_steps": 3, "test_rows": 12}
QUICK_CONTENDERS = (
  f"{RELEASED}, f32",
  f"{PEFT}, bf16",
  "wayjax, f32, M = 4",
  "wayjax, bf16, M = 4",
)
FULL = {"warmup_steps": 2, "timed_steps": 10, "test_rows": 64}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
  """Reads the command line."""
  from experiments.benchmark.work import SHAPES

  parser = argparse.ArgumentParser(
    prog="python -m experiments.benchmark", description=__doc__.split("\n")[0]
  )
  parser.add_argument("--model", choices=SHAPES, default="gpt2", help="its shape [gpt2]")
  parser.add_argument("--data-dir", required=True, help="folder with <dataset>/{train,test}.csv")
  parser.add_argument(
    "--tokenizer", default="openai-community/gpt2", help="GPT-2's: a folder or a Hub id"
  )
  parser.add_argument("--datasets", nargs="+", default=["sst2", "agnews", "trec"])
  parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
  parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
  parser.add_argument(
    "--quick", action="store_true", help="two layers, SST-2 and four contenders only"
  )
  parser.add_argument("--out", type=Path, help="where the JSON goes [only printed]")
  return parser.parse_args(argv)


def run(args: argparse.Namespace, folder: Path) -> dict:
  """Measures all contenders; gives what was found, as it goes into the JSON.

  Raises:
    WayjaxError: a peer is not installed, a contender failed, or they do not agree.
  """
  from experiments.benchmark.work import Work

  options = QUICK if args.quick else {"shape": args.model, **FULL}
  datasets = ["sst2"] if args.quick else args.datasets
  contenders = QUICK_CONTENDERS if args.quick else args.contenders
  Work.make(folder, tokenizer=args.tokenizer, data_dir=args.data_dir, datasets=datasets, **options)
  machine = _in_a_process("machine", args.device, result=folder / "machine.json")
  found = {"machine": machine, "settings": options, "datasets": {}}
  for dataset in datasets:
    results = {}
    for number, name in enumerate(contenders):
      print(f"{dataset}: {name} ...", file=sys.stderr, flush=True)
      result = folder / f"{dataset}-{number}.json"
      results[name] = _in_a_process("contenders", name, dataset, args.device, folder, result=result)
    comparison.check_agreement(results, dataset)
    found["datasets"][dataset] = comparison.compare(
      results, machine["matmul_operations_per_second"]
    )
    print(f"\n{dataset}\n\n{comparison.to_markdown(found['datasets'][dataset])}\n", flush=True)
  return found


def _in_a_process(module: str, *arguments, result: Path) -> dict:
  command = [sys.executable, "-m", f"experiments.benchmark.{module}", *map(str, arguments)]
  done = subprocess.run([*command, str(result)], stdout=subprocess.DEVNULL, check=False)
  if done.returncode:
    raise WayjaxError(f"{' '.join(command[2:])} failed: its own message stands above")
  return json.loads(result.read_text())


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  args = parse_args(argv)
  try:
    if missing := [name for name in ("torch", "peft") if find_spec(name) is None]:
      raise WayjaxError(f"{' and '.join(missing)} not installed: pip install -e '.[bench]'")
    with tempfile.TemporaryDirectory() as folder:
      found = run(args, Path(folder))
  except WayjaxError as error:
    print(f"benchmark: error: {error}", file=sys.stderr)
    return 2
  rates = found["machine"]["matmul_operations_per_second"]
  print(json.dumps(found["machine"], indent=2))
  print(", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in rates.items()))
  if args.out:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=2) + "\n")
  return 0


if __name__ == "__main__":
  sys.exit(main())
