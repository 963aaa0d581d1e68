"""Which calls of wayjax.run an item still needs, where a folder holds those of other items."""

import collections
import dataclasses
import itertools
from pathlib import Path

from wayjax.command_line import parse_args
from wayjax.config import RunConfig
from wayjax.demo import LENGTHS
from wayjax.errors import WayjaxError
from wayjax.results.folder import CONFIG, read_run

SEEDS = (1, 10, 100)
# Tasks whose prompts are scored on dev after the last step, for gamma is chosen on it (Figure 5).
CHOSEN_ON_DEV = ("sst2",)
# The embedded groups that stand for the paper's in the demo.
DEMO_GROUPS = {"ni": "demo", "pile": "demo", "true": "demo-true"} | {
  f"pile-{length}": f"demo-{length}" for length in LENGTHS
}
# What makes members comparable: runs that share a folder agree in it.
_ALIKE = (
  *("demo", "data_dir", "split", "train_rows", "eval_rows", "max_length", "max_targets", "steps"),
  *("lr", "batch_size", "init", "prompt_tokens", "projection", "precision", "revision"),
)


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Members that an item needs.

  Attributes:
    datasets: its tasks.
    groups: the paper's groups of targets.
    gamma: weights of c-dist.
  """

  datasets: tuple[str, ...]
  groups: tuple[str, ...]
  gamma: tuple[float, ...] = (0.0, 0.01)


# What an item decides itself, and what belongs to several processes that share one run.
_NO_OPTIONS = (
  *("--dataset", "--task-file", "--targets", "--target", "--targets-file"),
  *("--distributed", "--coordinator", "--processes", "--process-id"),
)


def calls(
  sweep: Sweep, model: str | None, out: Path, options: list[str], *, demo: bool, resume: bool
) -> list[list[str]]:
  """The calls of wayjax.run that a sweep of one model still needs.

  Args:
    sweep: the sweep.
    model: folder or Hub id; None for wayjax.run's default.
    out: folder of run folders, shared with other items.
    options: more options of wayjax.run, which win.
    demo: whether embedded model, rows and texts stand for the real ones.
    resume: whether unfinished runs in the folder go on.

  Returns:
    Arguments of each call: unfinished runs first, then what no run holds.

  Raises:
    WayjaxError: an option is not the caller's, a run in the folder is unfinished and may not go
      on, or runs there are of other options or shards.
  """
  for option in options:
    if option.split("=")[0] in _NO_OPTIONS:
      raise WayjaxError(
        f"{option.split('=')[0]} cannot be given: tasks and targets are the item's (but see "
        "--datasets), and it runs in one process (but see --shard)"
      )
  found = []
  groups = sweep.groups
  if demo:
    groups = tuple(dict.fromkeys(DEMO_GROUPS[group] for group in groups))
  number = itertools.count(1 + max(map(_number, out.glob("*-*")), default=-1))
  for dataset in sweep.datasets:
    base = ["--dataset", dataset, *(["--demo"] if demo else []), "--gamma", *map(repr, sweep.gamma)]
    base += ["--model", model] if model else []
    base += [] if demo else ["--seeds", *map(str, SEEDS)]
    base += options
    wanted = parse_args(base)
    if dataset in CHOSEN_ON_DEV and not wanted.eval_every:
      base += ["--eval-every", str(wanted.steps)]
    unfinished, cells = _held(out, wanted)
    if unfinished and not resume:
      raise WayjaxError(f"{unfinished[0]} is unfinished: give --resume, or another --out")
    found += [["--resume", str(path), *_going_on(wanted)] for path in unfinished]
    for own, gamma, seeds in _missing(groups, wanted, cells):
      name = f"{next(number):03d}-{dataset}-{Path(wanted.model).name}"
      if wanted.shard:
        name += "-{}-of-{}".format(*wanted.shard)
      found.append(
        [*base, "--targets", *own, "--gamma", *map(repr, gamma), "--seeds", *map(str, seeds)]
        + ["--out", str(out / name)]
      )
  return found


def _number(folder: Path) -> int:
  """The number of a run folder; -1 of what is none."""
  digits = folder.name.split("-")[0]
  return int(digits) if digits.isdecimal() else -1


def _going_on(wanted: RunConfig) -> list[str]:
  """The options that may change where a run goes on."""
  words = ["--dry-run"] if wanted.dry_run else []
  words += ["--log-to", *wanted.log_to] if wanted.log_to else []
  if wanted.checkpoint_every != RunConfig.checkpoint_every:
    words += ["--checkpoint-every", str(wanted.checkpoint_every)]
  return words


def _held(out: Path, wanted: RunConfig) -> tuple[list[Path], set[tuple]]:
  """Of a model and task, the unfinished runs of a folder, and the (group, gamma, seed) of all."""
  unfinished, cells_of = [], collections.defaultdict(set)
  for path in sorted(path.parent for path in out.glob(f"*/{CONFIG}")):
    run = read_run(path)
    # As it was written: JSON knows no tuples.
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in run.config.items()}
    if any(config.get(name) != getattr(wanted, name) for name in ("dataset", "model")):
      continue
    shard = config.get("shard")
    if wanted.shard and shard not in (None, wanted.shard):
      continue
    for name in _ALIKE:
      if config.get(name) != getattr(wanted, name):
        option = "--" + name.replace("_", "-")
        raise WayjaxError(
          f"{path} was run with {option} {config.get(name)}, not {getattr(wanted, name)}: give the "
          "same, or another --out"
        )
    pairs = len(config["resolved"]["targets"]) * len(config["seeds"])
    if shard:
      pairs = len(range(shard[0], pairs, shard[1]))
    if len(run.rows) < pairs * len(config["gamma"]):
      unfinished.append(path)
    cells_of[shard].update(itertools.product(config["targets"], config["gamma"], config["seeds"]))
  held = cells_of[None] | cells_of[wanted.shard]
  if not wanted.shard:
    held |= _in_all_shards(out, cells_of)
  return unfinished, held


def _in_all_shards(out: Path, cells_of: dict) -> set[tuple]:
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


def _missing(groups: tuple[str, ...], wanted: RunConfig, cells: set[tuple]):
  """Products of groups, gammas and seeds that together are all cells that no run holds."""
  gammas_of = {}
  for group in groups:
    for gamma in wanted.gamma:
      seeds = tuple(seed for seed in wanted.seeds if (group, gamma, seed) not in cells)
      if seeds:
        gammas_of.setdefault((group, seeds), []).append(gamma)
  groups_of = {}
  for (group, seeds), gammas in gammas_of.items():
    # With --max-targets each group is run by itself, or the last would lose its targets.
    alone = group if wanted.max_targets else None
    groups_of.setdefault((tuple(gammas), seeds, alone), []).append(group)
  return [(own, gammas, seeds) for (gammas, seeds, _), own in groups_of.items()]
