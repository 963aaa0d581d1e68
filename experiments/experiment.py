"""An experiment of the paper as a command: what it tunes, what else it measures, its options."""

import argparse
import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import jax

from experiments import needed_runs
from experiments.needed_runs import Sweep
from wayjax import run as wayjax_run
from wayjax.command_line import Parser, parse_args
from wayjax.config import RunConfig, options
from wayjax.data.tasks import TASKS
from wayjax.devices.select import select_device
from wayjax.errors import WayjaxError, in_one_sentence
from wayjax.exits import exit_code
from wayjax.options import flag, path
from wayjax.readers import READERS, get_reader
from wayjax.results.storage import open_files
from wayjax.visible import visible


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A table or figure of the paper.

  Attributes:
    name: the name of its module.
    sweeps: members that it needs; other experiments in the same folder may have tuned them already.
    models: its models where the command line names none; None is wayjax.run's default.
    measure: what it measures besides, of the runs in a folder or without any. It returns a `table`,
      a `figure` or both for the report, as `wayjax.report.build.make_report` describes them, and
      whatever else is worth keeping; all of it is written to `<name>.measured.json`.
    measured_on: the tasks whose configurations `measure` is given.
    takes_readers: whether `--readers` says who reads for `measure`; it does not go to its runs.
    in_demo: of its `datasets`, its sweeps' settings and other options of wayjax.run what the demo
      has, which is to take minutes, unless the command line names others.
  """

  name: str
  sweeps: tuple[Sweep, ...] = ()
  models: tuple[str | None, ...] = (None,)
  measure: Callable[[list[RunConfig], Path], dict] | None = None
  measured_on: tuple[str, ...] = ()
  takes_readers: bool = False
  in_demo: dict[str, tuple] = dataclasses.field(default_factory=dict)

  @property
  def settings(self) -> dict[str, tuple]:
    """The values that its sweeps have of settings, by field name; the command line chooses some."""
    found = {}
    for name, value in (item for sweep in self.sweeps for item in sweep.settings.items()):
      found[name] = tuple(dict.fromkeys((*found.get(name, ()), value)))
    return found


def main(experiment: Experiment, description: str, argv: list[str] | None = None) -> int:
  """Runs an experiment's command line; returns its exit code.

  Args:
    experiment: the experiment.
    description: its module's docstring.
    argv: arguments; None means the process's own.
  """

  def run() -> int:
    args = _parse(experiment, description, argv)
    if code := _tune(experiment, args):
      return code
    if "--dry-run" in args.options:
      return 0
    if experiment.measure:
      _measure(experiment, args)
    report = shlex.join(["python", "-m", "wayjax.report", args.out])
    print(visible(f"{experiment.name} is complete in {args.out}; to see it: {report}"))
    return 0

  return exit_code(experiment.name, run)


def _parse(experiment: Experiment, description: str, argv: list[str] | None) -> argparse.Namespace:
  """Reads the command line; `options` are those that go to wayjax.run."""
  parser = Parser(
    prog=f"python -m experiments.{experiment.name}",
    description=description,
    epilog="Every other option is one of wayjax.run and goes to its runs.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--out", type=path, default="runs/paper", help="folder of the runs [runs/paper]")
  add(
    "--model", nargs="+", type=path, metavar="MODEL", help="folders, or ids on the Hugging Face Hub"
  )
  add("--demo", action="store_true", help="the embedded model, rows and texts: minutes, offline")
  add("--resume", action="store_true", help="resume unfinished runs in the folder")
  add("--datasets", nargs="+", metavar="NAME", help="only these of its tasks")
  settings, fields = experiment.settings, {field.name: field for field in options()}
  for name, values in settings.items():
    kind, known = fields[name].metadata.get("type"), ", ".join(map(str, values))
    add(flag(fields[name]), nargs="+", type=kind, metavar="X", help=f"only these of {known}")
  if experiment.takes_readers:
    add("--readers", nargs="+", metavar="NAME", help=f"who reads: {', '.join(READERS)}")
  args, args.options = parser.parse_known_args(argv)
  for name in getattr(args, "readers", None) or ():
    get_reader(name)  # a wrong name is told before anything is tuned
  for name, values in settings.items():
    for value in getattr(args, name) or ():
      if value not in values:
        known = ", ".join(map(str, values))
        raise WayjaxError(f"{flag(fields[name])} {value}: {experiment.name} has {known}")
  given = [word.split("=")[0] for word in args.options]
  for name, chosen in experiment.in_demo.items() if args.demo else ():
    if name in ("datasets", *settings):
      setattr(args, name, getattr(args, name) or list(chosen))
    elif flag(fields[name]) not in given:
      args.options += [flag(fields[name]), *map(str, chosen)]
  return args


def _tune(experiment: Experiment, args: argparse.Namespace) -> int:
  """Tunes what the folder does not hold yet; returns the exit code of the last run."""
  if "://" in args.out:
    raise WayjaxError(f"--out {args.out}: experiments share a folder of a file system")
  models = _models(experiment, args)
  if experiment.measure and len(models) > 1:
    raise WayjaxError(f"{experiment.name} takes one --model, not {len(models)}")
  for sweep in experiment.sweeps:
    if any(value not in (getattr(args, name) or [value]) for name, value in sweep.settings.items()):
      continue
    sweep = dataclasses.replace(sweep, datasets=_chosen(experiment, sweep.datasets, args.datasets))
    for model in models:
      calls = needed_runs.calls(
        sweep, model, Path(args.out), args.options, demo=args.demo, resume=args.resume
      )
      for i, call in enumerate(calls, start=1):
        command = shlex.join(["python", "-m", "wayjax.run", *call])
        print(visible(f"{experiment.name}, run {i} of {len(calls)}: {command}"))
        if code := wayjax_run.main(call):
          return code
        # Compiled programs take memory maps, of which Linux gives a process 65,530.
        jax.clear_caches()
  return 0


def _measure(experiment: Experiment, args: argparse.Namespace) -> None:
  """Measures, and writes what was measured for the report."""
  (model,) = _models(experiment, args)
  given = [*(["--demo"] if args.demo else []), *(["--model", model] if model else [])]
  given += args.options
  if readers := getattr(args, "readers", None):
    given += ["--readers", *readers]
  datasets = _chosen(experiment, experiment.measured_on, args.datasets)
  configs = [parse_args(["--dataset", name, *given]) for name in datasets]
  select_device(configs[0].device)
  out = Path(args.out)
  measured = experiment.measure(configs, out)
  for name in ("datasets", *experiment.settings):
    if chosen := getattr(args, name):
      given += ["--" + name.replace("_", "-"), *map(str, chosen)]
  command = shlex.join(["python", "-m", f"experiments.{experiment.name}", *given])
  content = json.dumps({**measured, "command": command}, ensure_ascii=False).encode()
  files = open_files(out)
  with in_one_sentence(f"--out {out} cannot be written to"):
    files.make()
  files.replace(f"{experiment.name}.measured.json", content)


def _models(experiment: Experiment, args: argparse.Namespace) -> tuple[str | None, ...]:
  """The models of the command line, or the experiment's own; the demo has only one."""
  return tuple(args.model or ((None,) if args.demo else experiment.models))


def _chosen(
  experiment: Experiment, datasets: tuple[str, ...], asked: list[str] | None
) -> tuple[str, ...]:
  """Those of an experiment's tasks that were asked for."""
  if unknown := sorted(set(asked or ()) - set(TASKS)):
    raise WayjaxError(f"--datasets {unknown[0]}: there are the tasks {', '.join(TASKS)}")
  chosen = tuple(name for name in datasets if asked is None or name in asked)
  if not chosen:
    raise WayjaxError(f"--datasets: {experiment.name} has the tasks {', '.join(datasets)}")
  return chosen
