"""An item of the paper as a command: what it tunes, what else it measures, and its options."""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import jax

from experiments import needed_runs
from experiments.needed_runs import Sweep
from wayjax import run as wayjax_run
from wayjax.command_line import parse_args, write_any_text
from wayjax.config import RunConfig
from wayjax.data.tasks import TASKS
from wayjax.devices.select import select_device
from wayjax.errors import WayjaxError
from wayjax.results.storage import open_files


@dataclasses.dataclass(frozen=True)
class Item:
  """A table or figure of the paper.

  Attributes:
    name: of its module.
    sweeps: members that it needs; other items in the same folder may have tuned them already.
    models: its models where the command line names none; None is wayjax.run's default.
    measure: what it measures besides, of the runs in a folder or without any; a JSON object, kept
      in `<name>.measured.json` for the report.
    measured_on: the tasks whose configurations `measure` gets.
  """

  name: str
  sweeps: tuple[Sweep, ...] = ()
  models: tuple[str | None, ...] = (None,)
  measure: Callable[[list[RunConfig], Path], dict] | None = None
  measured_on: tuple[str, ...] = ()


def main(item: Item, description: str, argv: list[str] | None = None) -> int:
  """Runs an item's command line; returns its exit code.

  Args:
    item: the item.
    description: its module's docstring.
    argv: arguments; None means the process's own.
  """
  parser = argparse.ArgumentParser(
    prog=f"python -m experiments.{item.name}",
    description=description,
    epilog="Every other option is one of wayjax.run and goes to its runs.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--out", default="runs/paper", help="folder of the runs [runs/paper]")
  add("--model", nargs="+", metavar="MODEL", help="folders, or ids on the Hugging Face Hub")
  add("--demo", action="store_true", help="the embedded model, rows and texts: minutes, offline")
  add("--resume", action="store_true", help="go on with unfinished runs in the folder")
  add("--datasets", nargs="+", metavar="NAME", help="only these of its tasks")
  write_any_text()
  args, options = parser.parse_known_args(argv)
  try:
    return _run(item, args, options)
  except WayjaxError as error:
    print(f"{item.name}: error: {error}", file=sys.stderr)
    return 2


def _run(item: Item, args: argparse.Namespace, options: list[str]) -> int:
  if "://" in args.out:
    raise WayjaxError(f"--out {args.out}: items share a folder of a file system")
  out, models = Path(args.out), args.model or ((None,) if args.demo else item.models)
  if item.measure and len(models) > 1:
    raise WayjaxError(f"{item.name} is of one --model, not of {len(models)}")
  for sweep in item.sweeps:
    sweep = dataclasses.replace(sweep, datasets=_chosen(item, sweep.datasets, args.datasets))
    for model in models:
      needed = needed_runs.calls(sweep, model, out, options, demo=args.demo, resume=args.resume)
      for i, call in enumerate(needed, start=1):
        print(f"{item.name}, run {i} of {len(needed)}: python -m wayjax.run {shlex.join(call)}")
        if code := wayjax_run.main(call):
          return code
        # Compiled programs take memory maps, of which Linux gives a process 65,530.
        jax.clear_caches()
  if "--dry-run" in options:
    return 0
  if item.measure:
    _measure(item, args, models[0], out, options)
  print(f"{item.name} is complete in {args.out}; to see it: python -m wayjax.report {args.out}")
  return 0


def _measure(
  item: Item, args: argparse.Namespace, model: str | None, out: Path, options: list[str]
) -> None:
  given = [*(["--demo"] if args.demo else []), *(["--model", model] if model else []), *options]
  datasets = _chosen(item, item.measured_on, args.datasets)
  configs = [parse_args(["--dataset", name, *given]) for name in datasets]
  select_device(configs[0].device)
  measured = item.measure(configs, out)
  given += ["--datasets", *args.datasets] if args.datasets else []
  measured["command"] = shlex.join(["python", "-m", f"experiments.{item.name}", *given])
  out.mkdir(parents=True, exist_ok=True)
  content = json.dumps(measured, ensure_ascii=False).encode()
  open_files(out).replace(f"{item.name}.measured.json", content)


def _chosen(item: Item, datasets: tuple[str, ...], asked: list[str] | None) -> tuple[str, ...]:
  if unknown := sorted(set(asked or ()) - set(TASKS)):
    raise WayjaxError(f"--datasets {unknown[0]}: there are the tasks {', '.join(TASKS)}")
  chosen = tuple(name for name in datasets if asked is None or name in asked)
  if not chosen:
    raise WayjaxError(f"--datasets: {item.name} has the tasks {', '.join(datasets)}")
  return chosen
