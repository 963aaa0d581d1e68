"""python -m experiments.aot: wayjax's programs compiled for chips that are not there.

The compilers of TPUs and of GPUs work without a chip. What they make of wayjax's programs says
whether a sweep fits, what it moves and computes, and about how long it takes:

  pip install -e '.[aot]'
  python -m experiments.aot --chip v5e --model gpt2-large --members 16

Times are estimates: a TPU's by its compiler's cycles, a GPU's by a roofline of each instruction.
"""

import argparse
import dataclasses
import functools
import json
import os
import sys
import time
from pathlib import Path

from wayjax.exits import exit_code

PROGRAMS = "training", "evaluation", "projection", "generation"
CHIPS = "v5e", "v5p", "v6e", "h100", "a100"
TRAININGS, STEPS = (930, 1860), 2000  # of Table 2, with its NI half and whole


def _positive(text: str) -> int:
  if not text.isdecimal() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
  return int(text)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
  """Reads the command line."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.aot",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--chip", choices=CHIPS, nargs="+", default=["v5e"], help="what to compile for [v5e]")
  add("--chips", type=_positive, default=1, metavar="N", help="how many of them [1]")
  add("--model", default="gpt2-large", help="a size of GPT-2, or a folder with a config.json")
  add("--precision", choices=("float32", "bfloat16"), default="bfloat16")
  add("--members", type=_positive, default=16, metavar="M", help="prompts at once [16]")
  add(
    "--model-parallel", type=_positive, default=1, metavar="N", help="chips that share a model [1]"
  )
  add("--programs", choices=PROGRAMS, nargs="+", default=list(PROGRAMS), help="[all]")
  add("--prompt-tokens", type=_positive, default=20, metavar="P", help="[20]")
  add(
    "--text",
    type=_positive,
    default=128,
    metavar="T",
    help="text positions of a training row [128]",
  )
  add("--batch-size", type=_positive, default=8, metavar="B", help="examples in a training row [8]")
  add(
    "--rows", type=_positive, default=1821, metavar="N", help="rows of an evaluation [SST-2's 1821]"
  )
  add("--remat", action="store_true", help="compute layers again in the backward pass")
  add("--out", type=Path, help="where the JSON goes [only printed]")
  add("--hlo", type=Path, metavar="DIR", help="where the compiled programs go, as text [nowhere]")
  return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("aot", functools.partial(_run, parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
  # Before JAX starts: nothing here runs on a chip, and libtpu would look for one.
  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
  os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
  import jax

  from experiments.aot import chips, counts, programs, useful
  from wayjax.devices.sharding import make_layout

  work = programs.Work(
    prompt_tokens=args.prompt_tokens,
    text=args.text,
    batch_size=args.batch_size,
    rows=args.rows,
  )
  found = {}
  for name in args.chip:
    chip = chips.CHIPS[name]
    layout = make_layout(args.model_parallel, chip.devices(args.chips))
    lm = programs.weightless(args.model, args.precision, layout)
    for which in args.programs:
      more = (args.remat,) if which == "training" else ()
      lowered = getattr(programs, which)(lm, work, args.members, *more)
      started = time.perf_counter()
      what = f"{name} x {args.chips}, {args.model}, {args.precision}, {which} of {args.members}"
      print(f"{what}: compiling", flush=True)
      try:
        compiled = lowered.compile()
      except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
          raise
        print(f"{what}\n  does not fit: {str(error).splitlines()[0]}", flush=True)
        continue
      seconds = time.perf_counter() - started
      if args.hlo:
        args.hlo.mkdir(parents=True, exist_ok=True)
        (args.hlo / f"{name}-{which}.txt").write_text(compiled.as_text())
      operations = getattr(useful, which)(lm, work, args.members)
      counted = counts.count(compiled, chip, args.chips, operations, seconds)
      print("\n  ".join([what, *counts.described(counted, chip)]), flush=True)
      found[f"{name} {which}"] = dataclasses.asdict(counted)
    if all(f"{name} {which}" in found for which in ("training", "evaluation")):
      dispatches = len(programs.evaluator(lm, work).dispatches())
      print(_hours(name, args, dispatches, found), flush=True)
  if args.out:
    args.out.write_text(json.dumps({"arguments": vars(args) | {"out": None}, "counts": found}))
  return 0


def _hours(name: str, args: argparse.Namespace, dispatches: int, found: dict) -> str:
  """How long Table 2 would take, if all its rows were as long as these."""
  from wayjax.tuning.groups import STEPS_PER_DISPATCH

  member_step = found[f"{name} training"]["seconds"] / STEPS_PER_DISPATCH / args.members
  evaluation = found[f"{name} evaluation"]["seconds"] * dispatches / args.members
  hours = [count * (STEPS * member_step + evaluation) / 3600 * args.chips for count in TRAININGS]
  return (
    f"{name}: {member_step * 1e3:.2f} ms a member-step; Table 2 of {TRAININGS[0]:,} or "
    f"{TRAININGS[1]:,} trainings of {STEPS:,} steps, with one evaluation each, takes about "
    f"{hours[0]:.1f} or {hours[1]:.1f} chip-hours besides compiling"
  )


if __name__ == "__main__":
  sys.exit(main())
