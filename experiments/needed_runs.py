"""Which calls of wayjax.run an experiment still needs, where a folder holds those of others."""

import collections
import dataclasses
import itertools
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import NamedTuple

from wayjax.command_line import parse_args, parse_options, stored_config
from wayjax.config import C_DIST, CELL, RunConfig, options, variants
from wayjax.demo import LENGTHS
from wayjax.errors import WayjaxError
from wayjax.options import AXIS, PLACE, SETTING, flag
from wayjax.results import schema
from wayjax.results.folder import CONFIG, read_run

SEEDS = (1, 10, 100)
# Tasks whose prompts are scored on dev after the last step, because Figure 5 chooses gamma on it.
CHOSEN_ON_DEV = ("sst2",)
# The embedded groups that take the place of the paper's in the demo.
DEMO_GROUPS = {"ni": "demo", "pile": "demo", "true": "demo-true", "other": "demo-other"} | {
  f"pile-{length}": f"demo-{length}" for length in LENGTHS
}
# Settings that tell an experiment's runs apart; the runs of a folder agree in all others.
_APART = ("dataset", "task_file", "model")


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Members that an experiment needs.

  Attributes:
    datasets: its tasks.
    groups: the paper's groups of targets.
    gamma: weights of the constraints' penalties.
    constraint: how prompts are held to their targets.
    cell_gamma: weights of the penalty beside the constraint `cell`, in place of `gamma`.
    settings: options of wayjax.run with the role of a setting, by field name. Runs of other values
      than the defaults are in a folder of their own in that of all experiments: no other experiment
      takes them for its own, or refuses them.
  """

  datasets: tuple[str, ...]
  groups: tuple[str, ...]
  gamma: tuple[float, ...] = (0.0, 0.01)
  constraint: tuple[str, ...] = (C_DIST,)
  cell_gamma: tuple[float, ...] = (0.0,)
  settings: dict[str, object] = dataclasses.field(default_factory=dict)


class Cell(NamedTuple):
  """The members of all targets of a group that share the other axes."""

  group: str
  constraint: str
  gamma: float
  seed: int


# What an experiment decides itself, and what belongs to several processes that share a run.
_NO_OPTIONS = (
  *("--dataset", "--task-file", "--targets", "--target", "--targets-file"),
  *("--distributed", "--coordinator", "--processes", "--process-id"),
)


def calls(
  sweep: Sweep, model: str | None, out: Path, given: list[str], *, demo: bool, resume: bool
) -> list[list[str]]:
  """The calls of wayjax.run that a sweep of one model still needs.

  Args:
    sweep: the sweep.
    model: folder or Hub id; None for wayjax.run's default.
    out: folder of run folders, shared with other experiments.
    given: more options of wayjax.run, which win.
    demo: whether to use the embedded model, rows and texts.
    resume: whether unfinished runs in the folder are resumed.

  Returns:
    Arguments of each call: unfinished runs first, then what no run holds.

  Raises:
    WayjaxError: an option is not the caller's, a run in the folder is unfinished and may not be
      resumed, or runs there have other options or shards.
  """
  for option in given:
    if option.split("=")[0] in _NO_OPTIONS:
      raise WayjaxError(
        f"{option.split('=')[0]} cannot be given: tasks and targets are the experiment's (but see "
        "--datasets), and it runs in one process (but see --shard)"
      )
  found = []
  groups = sweep.groups
  if demo:
    groups = tuple(dict.fromkeys(DEMO_GROUPS[group] for group in groups))
  out = _folder(sweep, out)
  number = itertools.count(1 + max(map(_number, out.glob("*-*")), default=-1))
  for dataset in sweep.datasets:
    base = ["--dataset", dataset, *(["--demo"] if demo else []), "--gamma", *map(repr, sweep.gamma)]
    if sweep.constraint != (C_DIST,):
      base += ["--constraint", *sweep.constraint]
    if CELL in sweep.constraint:
      base += ["--cell-gamma", *map(repr, sweep.cell_gamma)]
    for name, value in sweep.settings.items():
      base += [_flag(name), str(value)]
    base += ["--model", model] if model else []
    base += [] if demo else ["--seeds", *map(str, SEEDS)]
    base += given
    wanted = parse_args(base)
    if dataset in CHOSEN_ON_DEV and not wanted.eval_every:
      base += ["--eval-every", str(wanted.steps)]
    unfinished, cells = _held(out, wanted)
    if unfinished and not resume:
      raise WayjaxError(f"{unfinished[0]} is unfinished: give --resume, or another --out")
    found += [["--resume", str(path), *_going_on(given)] for path in unfinished]
    for own, constraint, gamma, cell_gamma, seeds in _missing(groups, wanted, cells):
      name = f"{next(number):03d}-{dataset}-{Path(wanted.model).name}"
      if wanted.shard:
        name += "-{}-of-{}".format(*wanted.shard)
      # Of an option that is given twice, the last values count.
      axes = ["--targets", *own, "--gamma", *map(repr, gamma), "--seeds", *map(str, seeds)]
      if wanted.constraint != (C_DIST,):
        axes += ["--constraint", *constraint]
      if CELL in constraint:
        axes += ["--cell-gamma", *map(repr, cell_gamma)]
      found.append([*base, *axes, "--out", str(out / name)])
  return found


def _folder(sweep: Sweep, out: Path) -> Path:
  """Where the runs of a sweep's settings are: named after those that are not the defaults."""
  usual = {each.name: each.default for each in options()}
  parts = [
    f"{name}-{value}".replace("_", "-")
    for name, value in sorted(sweep.settings.items())
    if value != usual[name]
  ]
  return out / "-".join(parts) if parts else out


def _flag(name: str) -> str:
  """The command line's name of an option's field."""
  return next(flag(each) for each in options() if each.name == name)


def _number(folder: Path) -> int:
  """The number of a run folder; -1 for a folder without one."""
  digits = folder.name.split("-")[0]
  return int(digits) if digits.isdecimal() else -1


def _going_on(given: list[str]) -> list[str]:
  """Those of the options that may change when a run is resumed."""
  fields = {field.name: field for field in options(PLACE) if field.metadata["may_change"]}
  words = []
  for name, value in parse_options(given).items():
    if name in fields:
      words.append(flag(fields[name]))
      if value is not True:
        words += map(str, value if isinstance(value, tuple) else (value,))
  return words


def _alike() -> list[dataclasses.Field]:
  """The options in which the runs of a folder agree, or their members cannot be compared."""
  settings = [field for field in options(SETTING) if field.name not in _APART]
  # A group means all its targets, so their number and their folder count too.
  return settings + [f for f in options(AXIS) if f.name in ("max_targets", "targets_dir")]


def _held(out: Path, wanted: RunConfig) -> tuple[list[Path], set[Cell]]:
  """Of a model and task, the unfinished runs of a folder, and the cells that all runs hold."""
  unfinished, cells_of = [], collections.defaultdict(set)
  for path in sorted(path.parent for path in out.glob(f"*/{CONFIG}")):
    run = read_run(path)
    if any(run.config.get(name) != getattr(wanted, name) for name in ("dataset", "model")):
      continue
    stored = stored_config(str(path), run.config)
    if wanted.shard and stored.shard not in (None, wanted.shard):
      continue
    for field in _alike():
      before, now = getattr(stored, field.name), getattr(wanted, field.name)
      # A folder from before the option has what is usual, whatever that was called.
      if before != now and (field.name in run.config or now != field.default):
        raise WayjaxError(
          f"{path} was run with {flag(field)} {before}, not {now}: give the same, or another --out"
        )
    resolved = schema.need(run.config.get("resolved") or {}, ["targets"], f"{path}/{CONFIG}")
    pairs = len(resolved["targets"]) * len(stored.seeds)
    if stored.shard:
      pairs = len(range(stored.shard[0], pairs, stored.shard[1]))
    if len(run.rows) < pairs * len(_variants(stored)):
      unfinished.append(path)
    cells_of[stored.shard].update(_cells(stored.targets, stored))
  held = cells_of[None] | cells_of[wanted.shard]
  if not wanted.shard:
    held |= _in_all_shards(out, cells_of)
  return unfinished, held


def _in_all_shards(out: Path, cells_of: dict) -> set[Cell]:
  """What the parts of sharded sweeps hold together.

  Raises:
    WayjaxError: some of it is not in all parts: tuned again, it would be there twice.
  """
  whole = set()
  for count in {shard[1] for shard in cells_of if shard}:
    parts = [cells_of[i, count] for i in range(count)]
    if set.union(*parts) != set.intersection(*parts):
      raise WayjaxError(f"{out} holds some of {count} shards: give --shard, or add the others")
    whole |= parts[0]
  return whole


def _variants(config: RunConfig) -> tuple[tuple[str, float], ...]:
  return variants(config.constraint, config.gamma, config.cell_gamma)


def _cells(groups: tuple[str, ...], config: RunConfig) -> list[Cell]:
  """All that a configuration has of some groups."""
  axes = groups, _variants(config), config.seeds
  return [Cell(group, *variant, seed) for group, variant, seed in itertools.product(*axes)]


def _missing(groups: tuple[str, ...], wanted: RunConfig, held: set[Cell]):
  """Products of groups, constraints, their gammas and seeds: together all that no run holds."""
  missing = [cell for cell in _cells(groups, wanted) if cell not in held]
  seeds_of = _by_key((cell[:3], cell.seed) for cell in missing)
  gammas_of = _by_key(
    ((group, constraint, seeds), gamma) for (group, constraint, gamma), seeds in seeds_of.items()
  )
  # What is held in cells has gammas of its own, and joins the first call of its targets and seeds.
  cell_gamma_of = {
    (group, seeds): gammas
    for (group, constraint, seeds), gammas in gammas_of.items()
    if constraint == CELL
  }
  constraints_of = _by_key(
    ((group, gammas, seeds), constraint)
    for (group, constraint, seeds), gammas in gammas_of.items()
    if constraint != CELL
  )
  found = []
  for (group, gammas, seeds), constraints in constraints_of.items():
    if cell_gamma := cell_gamma_of.pop((group, seeds), ()):
      constraints = (*constraints, CELL)
    found.append((group, (constraints, gammas, cell_gamma, seeds)))
  for (group, seeds), cell_gamma in cell_gamma_of.items():
    found.append((group, ((CELL,), wanted.gamma, cell_gamma, seeds)))
  # With --max-targets each group is run by itself, or the last would lose its targets.
  groups_of = _by_key(
    ((axes, group if wanted.max_targets else None), group) for group, axes in found
  )
  return [(own, *axes) for (axes, _), own in groups_of.items()]


def _by_key(pairs: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, tuple]:
  """The values of each key, in the order in which they come."""
  found = {}
  for key, value in pairs:
    found[key] = (*found.get(key, ()), value)
  return found
