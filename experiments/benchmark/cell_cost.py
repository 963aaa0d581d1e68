"""python -m experiments.benchmark.cell_cost: what holding prompts in their cells costs a step.

The two programs take turns in one process, so that both meet the same machine: the paper's penalty,
and the cells under all three metrics. Memory is what each program needs besides its inputs.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from experiments.benchmark.wayjax_sweep import Training, prepare
from experiments.benchmark.work import SHAPES, Work
from wayjax.config import C_DIST, CELL
from wayjax.exits import exit_code
from wayjax.tuning import program


def parse_args(argv: list[str] | None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.benchmark.cell_cost", description=__doc__.split("\n")[0]
  )
  parser.add_argument("--shape", choices=SHAPES, default="gpt2", help="of random weights [gpt2]")
  parser.add_argument("--model", type=Path, help="a folder with a model, in place of a shape")
  parser.add_argument("--data-dir", required=True, help="folder with <dataset>/{train,test}.csv")
  parser.add_argument(
    "--tokenizer", default="openai-community/gpt2", help="GPT-2's: a folder or a Hub id"
  )
  parser.add_argument("--dataset", default="sst2")
  parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
  parser.add_argument("--members", type=int, default=4, help="M [4]")
  parser.add_argument("--steps", type=int, default=5, help="of one turn [5]")
  parser.add_argument("--turns", type=int, default=10, help="that are timed [10]")
  return parser.parse_args(argv)


class _Contender:
  """A program, and the seconds a step of its turns."""

  def __init__(self, training: Training):
    self.training, self.seconds = training, []
    lm, group = training.lm, training.group
    self._leaves_M, self._state_M = program.begin(
      lm.layout, group, training.settings, training.program.size
    )

  def take_turn(self, steps: int) -> None:
    lm, tokens = self.training.lm, self.training.tokens
    dispatch = self.training.group.schedule.dispatch(0, steps)
    started = time.perf_counter()
    self._state_M, _ = self.training.program.compiled(
      lm.params, tokens, self._leaves_M, self._state_M, dispatch
    )
    jax.block_until_ready(self._state_M)
    self.seconds.append((time.perf_counter() - started) / steps)


def measure(args: argparse.Namespace, folder: Path) -> dict:
  """Times both programs; returns what is printed."""
  work = Work.make(
    folder,
    shape=args.shape,
    model=args.model,
    tokenizer=args.tokenizer,
    data_dir=args.data_dir,
    datasets=[args.dataset],
    run_steps=2000,
    warmup_steps=0,
    timed_steps=args.steps,
    test_rows=4,
  )
  contenders = {
    name: _Contender(prepare(work, args.dataset, "cpu", args.precision, args.members, name))
    for name in (C_DIST, CELL)
  }
  for turn in range(args.turns + 1):
    order = list(contenders) if turn % 2 else list(contenders)[::-1]
    for name in order:
      contenders[name].take_turn(args.steps)
  seconds = {name: contender.seconds[1:] for name, contender in contenders.items()}  # 0 warms up
  ratios = np.divide(seconds[CELL], seconds[C_DIST])
  return {
    "ms_a_step": {name: 1000 * statistics.median(spent) for name, spent in seconds.items()},
    "ratio": statistics.median(ratios),
    "ratio_from_to": [float(ratios.min()), float(ratios.max())],
    "program_mib": {
      name: contender.training.program.memory / 2**20 for name, contender in contenders.items()
    },
  }


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""

  def run() -> int:
    args = parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
      print(json.dumps(measure(args, Path(folder)), indent=2))
    return 0

  return exit_code("benchmark", run)


if __name__ == "__main__":
  sys.exit(main())
