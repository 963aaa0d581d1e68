"""RunConfig: what a run is. Its fields are the command line, their defaults the paper's."""

import dataclasses
import math
import re

from wayjax.errors import WayjaxError

AUTO = "auto"
MOST_STEPS = 1_000_000  # the order of examples is drawn ahead


def _option(default, group: str, help: str, **details):
  """A field that is also a command-line option of that group."""
  return dataclasses.field(default=default, metadata={"group": group, "help": help, **details})


def _members_at_once(text: str):
  return text if text == AUTO else int(text)


_members_at_once.__name__ = "number"  # argparse names it where the value is wrong


def _shard(text: str) -> tuple[int, int]:
  index, count = text.split("/")
  return int(index), int(count)


_shard.__name__ = "I/N"


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """Everything that decides a run; written to its folder as `config.json`."""

  dataset: str | None = _option(None, "task", "sst2, sst5, agnews, trec or subj", metavar="NAME")
  demo: bool = _option(
    False,
    "task",
    "a first look, without a network: an embedded model, a miniature of --dataset, a few steps; "
    "every other option still counts",
    action="store_true",
  )
  task_file: str | None = _option(
    None,
    "task",
    "your own task: a TOML file with template and label_words, perhaps max_length and class_names",
    metavar="FILE",
  )
  data_dir: str | None = _option(
    None,
    "task",
    "folder with <dataset>/{train,test,dev}.{csv,tsv,jsonl,parquet}, columns text and label; demo "
    "is the embedded miniatures",
    metavar="DIR",
    unset="the Hub",
  )
  split: str = _option("test", "task", "what to report on", choices=("test", "dev"))
  train_rows: int | None = _option(
    None, "task", "use only the first N training rows", type=int, metavar="N", unset="all"
  )
  eval_rows: int | None = _option(
    None, "task", "use only the first N test or dev rows", type=int, metavar="N", unset="all"
  )
  max_length: int | None = _option(
    None, "task", "inputs are cut to N - 16 tokens", type=int, metavar="N", unset="the task's"
  )

  model: str = _option(
    "gpt2-large",
    "model",
    "folder, or id on the Hugging Face Hub; demo is the embedded model",
    metavar="DIR_OR_ID",
  )
  revision: str | None = _option(
    None, "model", "branch, tag or commit on the Hub", metavar="REV", unset="main"
  )
  precision: str = _option(
    AUTO,
    "model",
    "of the products; auto is bfloat16 where the device is fast at it",
    choices=("float32", "bfloat16", AUTO),
  )
  model_parallel: int = _option(
    1,
    "model",
    "devices that share one copy of the model, where it is too large for one",
    type=int,
    metavar="N",
  )
  device: str = _option(AUTO, "model", "what to compute on", choices=(AUTO, "cpu", "gpu", "tpu"))

  targets: tuple[str, ...] = _option(
    (),
    "targets",
    "the paper's groups: ni, pile, pile-4, pile-7, pile-14, pile-28, pile-56, true; the demo's: "
    "demo, demo-true, demo-4 to demo-56",
    nargs="+",
    metavar="GROUP",
    unset="ni, unless --target or --targets-file is given",
  )
  target: tuple[str, ...] = _option(
    (),
    "targets",
    "a text; may be given several times",
    action="append",
    metavar="TEXT",
    unset="none",
  )
  targets_file: str | None = _option(
    None, "targets", "JSON object of names to texts, or one text a line", metavar="FILE"
  )
  targets_dir: str | None = _option(
    None,
    "targets",
    "folder with the paper's prompt files",
    metavar="DIR",
    unset="the released repository, cached",
  )
  max_targets: int | None = _option(
    None, "targets", "use only the first N targets", type=int, metavar="N", unset="all"
  )

  gamma: tuple[float, ...] = _option(
    (0.0, 0.01),
    "sweep",
    "weights of c-dist; 0 is the unconstrained prompt",
    nargs="+",
    type=float,
    metavar="G",
  )
  seeds: tuple[int, ...] = _option(
    (1, 10, 100),
    "sweep",
    "seeds, which order the training examples",
    nargs="+",
    type=int,
    metavar="S",
  )
  steps: int = _option(2000, "sweep", "training steps", type=int, metavar="N")
  lr: float = _option(
    0.01, "sweep", "learning rate, decaying linearly to 0", type=float, metavar="X"
  )
  batch_size: int = _option(8, "sweep", "examples in a batch", type=int, metavar="N")
  init: str = _option(
    "target",
    "sweep",
    "the prompt at step 0: the target's embeddings, random tokens' embeddings, or normal noise",
    choices=("target", "vocab", "random"),
  )
  prompt_tokens: int | None = _option(
    None, "sweep", "prompt length", type=int, metavar="N", unset="the target's"
  )
  projection: str = _option(
    "euclidean", "sweep", "how a prompt is read", choices=("euclidean", "dot", "cosine")
  )
  members_at_once: int | str = _option(
    AUTO,
    "sweep",
    "members in one compiled program; auto is what fits the memory",
    type=_members_at_once,
    metavar="N",
  )
  eval_every: int = _option(
    0, "sweep", "evaluate on dev every N steps; 0 is never", type=int, metavar="N"
  )

  shard: tuple[int, int] | None = _option(
    None,
    "sweep",
    "one of N disjoint parts of the sweep, for machines that share nothing; I from 0",
    type=_shard,
    metavar="I/N",
    unset="the whole sweep",
  )

  out: str | None = _option(
    None,
    "output",
    "run folder, new or empty, or gs://BUCKET/FOLDER",
    metavar="DIR",
    unset="runs/<dataset>-<model>-<time>",
  )
  checkpoint_every: float = _option(
    60.0,
    "output",
    "seconds between checkpoints of what is in training",
    type=float,
    metavar="SECONDS",
  )
  resume: str | None = _option(
    None,
    "output",
    "go on with the run of this folder, which holds all its options",
    metavar="RUN_DIR",
    unset="a new run",
  )
  log_to: tuple[str, ...] = _option(
    (),
    "output",
    "where training curves and rows go too: tensorboard, wandb or both",
    nargs="+",
    choices=("tensorboard", "wandb"),
    unset="none",
  )
  distributed: bool = _option(
    False,
    "processes",
    "one of several processes of a TPU slice, SLURM or Open MPI, which know each other",
    action="store_true",
  )
  coordinator: str | None = _option(
    None,
    "processes",
    "elsewhere: address of the first process",
    metavar="HOST:PORT",
    unset="a process alone",
  )
  processes: int | None = _option(
    None, "processes", "how many there are", type=int, metavar="N", unset="1"
  )
  process_id: int | None = _option(
    None, "processes", "which of them this is", type=int, metavar="I", unset="0"
  )

  dry_run: bool = _option(
    False, "output", "show the plan and the expected time, then stop", action="store_true"
  )

  def validate(self) -> None:
    """Checks what can be checked without loading anything.

    Raises:
      WayjaxError: naming the option that is wrong.
    """
    for field in dataclasses.fields(self):
      choices, value = field.metadata.get("choices"), getattr(self, field.name)
      for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
          raise WayjaxError(f"{flag(field)} must be one of {', '.join(choices)}, not '{one}'")
    if not (math.isfinite(self.checkpoint_every) and self.checkpoint_every >= 0):
      raise WayjaxError(f"--checkpoint-every must be at least 0, not {self.checkpoint_every}")
    if (self.dataset is None) == (self.task_file is None):
      raise WayjaxError(
        "say which task: --dataset sst2, sst5, agnews, trec or subj, or --task-file with your own"
      )
    for name in ("steps", "batch_size", "model_parallel"):
      self._at_least(name, 1)
    if self.steps > MOST_STEPS:
      raise WayjaxError(f"--steps must be at most {MOST_STEPS:,}, not {self.steps:,}")
    for name in ("train_rows", "eval_rows", "max_targets", "prompt_tokens"):
      self._at_least(name, 1, optional=True)
    self._at_least("max_length", 17, optional=True)
    self._at_least("eval_every", 0)
    if self.members_at_once != AUTO:
      self._at_least("members_at_once", 1)
    if not (math.isfinite(self.lr) and self.lr >= 0):
      raise WayjaxError(f"--lr must be a number of at least 0, not {self.lr}")
    for gamma in self.gamma:
      if not (math.isfinite(gamma) and gamma >= 0):
        raise WayjaxError(f"--gamma must be numbers of at least 0, not {gamma}")
    for seed in self.seeds:
      if seed < 0:
        raise WayjaxError(f"--seeds must be whole numbers of at least 0, not {seed}")
    for name in ("out", "resume"):
      folder = getattr(self, name) or ""
      if "://" in folder and not re.fullmatch(r"gs://[^/]+/[^/].*", folder):
        raise WayjaxError(f"--{name} must be a folder or gs://BUCKET/FOLDER, not {folder}")
    given = [getattr(self, name) is not None for name in ("coordinator", "processes", "process_id")]
    if any(given) and not all(given):
      raise WayjaxError("--coordinator, --processes and --process-id go together")
    if all(given) and not 0 <= self.process_id < self.processes:
      raise WayjaxError(f"--process-id must be from 0 to {self.processes - 1}")
    if (self.distributed or any(given)) and not (self.out or self.resume):
      raise WayjaxError("--out must name the run folder where several processes share it")
    if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
      index, count = self.shard
      raise WayjaxError(f"--shard {index}/{count}: I must be from 0 to N - 1")
    for name in ("gamma", "seeds", "targets"):
      values = getattr(self, name)
      if len(set(values)) < len(values):
        raise WayjaxError(f"--{name} holds the same value twice")
      if not values and name != "targets":
        raise WayjaxError(f"--{name} needs at least one value")
    if self.log_to:
      from wayjax import trackers  # imported here: most runs have no use for it

      trackers.require(self.log_to, self.out or self.resume)

  def _at_least(self, name: str, least: int, optional: bool = False) -> None:
    value = getattr(self, name)
    if value is None and optional:
      return
    if not isinstance(value, int) or value < least:
      option = "--" + name.replace("_", "-")
      raise WayjaxError(f"{option} must be a whole number of at least {least}, not {value}")


def flag(field: dataclasses.Field) -> str:
  """A field's name on the command line."""
  return "--" + field.name.replace("_", "-")
