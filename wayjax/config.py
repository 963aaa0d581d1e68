"""RunConfig: what a run is. Its fields are the command line, their defaults the paper's."""

import dataclasses
import re

from wayjax.errors import WayjaxError
from wayjax.options import AXIS, PLACE, SETTING, Role, check_value, flag, option, path
from wayjax.visible import is_unicode

AUTO = "auto"
C_DIST, CELL = "c-dist", "cell"  # the paper's constraint, and the one that is exact
UNCONSTRAINED = (C_DIST, 0.0)  # constraint and gamma of a prompt that is free to go anywhere
PRECISIONS = ("float32", "bfloat16", AUTO)
DEVICES = (AUTO, "cpu", "gpu", "tpu")
CERTIFIED = ("float32", "float16", "bfloat16")  # types, from fine to coarse
INITS = ("target", "vocab", "random")
METRICS = ("euclidean", "dot", "cosine")
FOOLED = ("inspect", "logit_lens", "verbalise")  # readers that are differentiable in a prompt
MOST_STEPS = 1_000_000  # the order of the examples is drawn in advance


def is_unconstrained(constraint: str, gamma: float) -> bool:
  """Whether a prompt is free to go anywhere: gamma 0 under the paper's penalty."""
  return (constraint, gamma) == UNCONSTRAINED


def variants(
  constraints: tuple[str, ...], gammas: tuple[float, ...], cell_gammas: tuple[float, ...]
) -> tuple[tuple[str, float], ...]:
  """The pairs of constraint and gamma of a sweep: the cell has gammas of its own."""
  own = {CELL: cell_gammas}
  return tuple((name, gamma) for name in constraints for gamma in own.get(name, gammas))


def _is_address(text: str) -> bool:
  """Whether a text is HOST:PORT; the host of an IPv6 address stands in brackets."""
  found = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})", text, re.ASCII)
  return found is not None and 0 < int(found[1]) < 2**16


def _members_at_once(text: str):
  return text if text == AUTO else int(text)


_members_at_once.__name__ = "number"  # argparse names it where the value is wrong


def _shard(text: str) -> tuple[int, int]:
  index, count = text.split("/")
  return int(index), int(count)


_shard.__name__ = "I/N"

_COUNT = {"type": int, "metavar": "N", "least": 1}
# Of the embedding table, of all that a model computes with, and of its tokenizer.
MODEL_HASHES = "model_sha256", "weights_sha256", "tokenizer_sha256"
_ROWS = {**_COUNT, "unset": "all", "recorded": ("data_sha256",)}


def _check_unicode(field: dataclasses.Field, value) -> None:
  """Refuses bytes that are no UTF-8, which Python has as halves of surrogate pairs."""
  for text in value if isinstance(value, tuple) else (value,):
    if isinstance(text, str) and not is_unicode(text):
      raise WayjaxError(f"{flag(field)} {text} is not valid Unicode: use another")


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """Everything that decides a run; written to its folder as `config.json`."""

  # fmt: off
  dataset: str | None = option(
    None, "task", SETTING, "sst2, sst5, agnews, trec or subj", metavar="NAME")
  demo: bool = option(
    False, "task", SETTING, "a first look, without a network: an embedded model, a miniature of "
    "--dataset, a few steps; every other option still counts", action="store_true",
    recorded=())  # it only sets other options
  task_file: str | None = option(
    None, "task", SETTING, "your own task: a TOML file with template and label_words or answer, "
    "perhaps max_length and class_names", type=path, metavar="FILE",
    recorded=("template", "label_words", "answer"))
  data_dir: str | None = option(
    None, "task", SETTING, "folder with <dataset>/{train,test,dev}.{csv,tsv,jsonl,parquet}, "
    "columns text and label or those of --task-file; demo is the embedded miniatures", type=path,
    metavar="DIR", unset="the Hub", recorded=("data_sha256",),
    may_change=True)  # a resumed run compares the rows themselves
  split: str = option(
    "test", "task", SETTING, "the rows that results are reported on", choices=("test", "dev"))
  train_rows: int | None = option(
    None, "task", SETTING, "use only the first N training rows", **_ROWS)
  eval_rows: int | None = option(
    None, "task", SETTING, "use only the first N test or dev rows", **_ROWS)
  max_length: int | None = option(
    None, "task", SETTING, "inputs are cut to N - 16 tokens", type=int, metavar="N", least=17,
    unset="the task's")
  before: str = option(
    AUTO, "task", SETTING, "text before the prompt, special tokens by their names; auto is the "
    "beginning of sequence where the tokenizer adds one by itself, else nothing", metavar="TEXT",
    absent="")
  after: str = option(
    AUTO, "task", SETTING, "text between the prompt and the input; auto is nothing", metavar="TEXT",
    absent="")
  chat: bool = option(
    False, "task", SETTING, "prompt and input are a user's turn of the tokenizer's chat template, "
    "the label or answer is the reply", action="store_true", recorded=("reply",), absent=False)
  system: str | None = option(
    None, "task", SETTING, "with --chat: the system's text", metavar="TEXT",
    unset="what the template has", recorded=(), absent=None)  # it is part of `before`

  model: str = option(
    "gpt2-large", "model", SETTING, "folder, or id on the Hugging Face Hub; demo is the embedded "
    "model", type=path, metavar="DIR_OR_ID", recorded=("model", *MODEL_HASHES),
    may_change=True)  # a resumed run compares the weights themselves
  revision: str | None = option(
    None, "model", SETTING, "branch, tag or commit on the Hub", metavar="REV", unset="main",
    recorded=MODEL_HASHES)
  precision: str = option(
    AUTO, "model", SETTING, "of the matrix products; auto is bfloat16 where the device is fast at "
    "it", choices=PRECISIONS)
  model_parallel: int = option(
    1, "model", PLACE, "devices that share one copy of the model, where it is too large for one",
    may_change=False, in_command=True, **_COUNT)
  device: str = option(
    AUTO, "model", PLACE, "what to compute on", choices=DEVICES, may_change=False, in_command=True)

  targets: tuple[str, ...] = option(
    (), "targets", AXIS, "the paper's groups: ni, pile, pile-4, pile-7, pile-14, pile-28, pile-56, "
    "true; the demo's: demo, demo-true, demo-4 to demo-56", nargs="+", metavar="GROUP",
    unset="ni, unless --target or --targets-file is given")
  target: tuple[str, ...] = option(
    (), "targets", AXIS, "a text; may be given several times", action="append", metavar="TEXT",
    unset="none")
  targets_file: str | None = option(
    None, "targets", AXIS, "JSON object of names to texts, or one text a line", type=path,
    metavar="FILE")
  targets_dir: str | None = option(
    None, "targets", AXIS, "folder with the paper's prompt files", type=path, metavar="DIR",
    unset="the released repository, cached")
  max_targets: int | None = option(
    None, "targets", AXIS, "use only the first N targets", unset="all", **_COUNT)

  gamma: tuple[float, ...] = option(
    (0.0, 0.01), "sweep", AXIS, "weights of c-dist; 0 is the unconstrained prompt", nargs="+",
    type=float, metavar="G", least=0)
  constraint: tuple[str, ...] = option(
    (C_DIST,), "sweep", AXIS, "how prompts are held to their texts: c-dist, the paper's penalty, "
    "or cell, each vector inside the cell of its token, so that it reads as that by construction",
    nargs="+", metavar="NAME", absent=(C_DIST,))
  cell_gamma: tuple[float, ...] = option(
    (0.0,), "sweep", AXIS, "weights of c-dist beside --constraint cell; 0 is the cell alone",
    nargs="+", type=float, metavar="G", least=0, absent=(0.0,))
  certify_dtype: str = option(
    "bfloat16", "sweep", SETTING, "the coarsest type that prompts held in cells can be stored in "
    "and still read as their texts", choices=CERTIFIED, absent="bfloat16")
  certify_metrics: tuple[str, ...] = option(
    (), "sweep", SETTING, "the readers' metrics in whose cells prompts are held", nargs="+",
    choices=METRICS, unset="all under which some vector reads as each of the text's tokens",
    absent=())
  seeds: tuple[int, ...] = option(
    (1, 10, 100), "sweep", AXIS, "seeds, which order the training examples", nargs="+", type=int,
    metavar="S", least=0)
  steps: int = option(2000, "sweep", SETTING, "training steps", most=MOST_STEPS, **_COUNT)
  lr: float = option(
    0.01, "sweep", SETTING, "learning rate, decaying linearly to 0", type=float, metavar="X",
    least=0)
  batch_size: int = option(8, "sweep", SETTING, "examples in a batch", **_COUNT)
  init: str = option(
    "target", "sweep", SETTING, "the prompt at step 0: the target's embeddings, random tokens' "
    "embeddings, or normal noise", choices=INITS)
  prompt_tokens: int | None = option(
    None, "sweep", SETTING, "prompt length", unset="the target's", **_COUNT)
  projection: str = option("euclidean", "sweep", SETTING, "how a prompt is read", choices=METRICS)
  readers: tuple[str, ...] = option(
    (), "sweep", PLACE, "who reads the prompts besides their nearest tokens: logit_lens, "
    "contextual, inspect, verbalise, mixture, hard", nargs="+", metavar="NAME", unset="nobody",
    may_change=False, in_command=True, absent=())
  fool: str | None = option(
    None, "sweep", SETTING, "a reader that is to say the target, too, as an attack on it: its "
    "negative log-likelihood by that reader is added to the loss", choices=FOOLED, unset="none",
    absent=None)
  fool_weight: float = option(
    1.0, "sweep", SETTING, "with --fool: its weight in the loss", type=float, metavar="B",
    least=0, absent=1.0)
  members_at_once: int | str = option(
    AUTO, "sweep", PLACE, "members in one compiled program; auto is what fits the memory",
    type=_members_at_once, metavar="N", least=1,
    may_change=False)  # a resumed run keeps what its folder decided
  eval_every: int = option(
    0, "sweep", PLACE, "evaluate on dev every N steps; 0 is never", type=int, metavar="N", least=0,
    may_change=False, in_command=True)
  shard: tuple[int, int] | None = option(
    None, "sweep", AXIS, "one of N disjoint parts of the sweep, for machines that share nothing; "
    "I from 0", type=_shard, metavar="I/N", unset="the whole sweep",
    to_word=lambda shard: "{}/{}".format(*shard))

  out: str | None = option(
    None, "output", PLACE, "run folder, new or empty, or gs://BUCKET/FOLDER", type=path,
    metavar="DIR", unset="runs/<dataset>-<model>-<time>", may_change=False)
  checkpoint_every: float = option(
    60.0, "output", PLACE, "seconds between checkpoints of what is in training", type=float,
    metavar="SECONDS", least=0)
  resume: str | None = option(
    None, "output", PLACE, "continue the run in this folder, which holds all its options",
    type=path, metavar="RUN_DIR", unset="a new run")
  log_to: tuple[str, ...] = option(
    (), "output", PLACE, "where training curves and rows go too: tensorboard, wandb or both",
    nargs="+", choices=("tensorboard", "wandb"), unset="none")
  distributed: bool = option(
    False, "processes", PLACE, "this is one of several processes of a TPU slice, SLURM or Open "
    "MPI, which find each other", action="store_true")
  coordinator: str | None = option(
    None, "processes", PLACE, "elsewhere: address of the first process", metavar="HOST:PORT",
    unset="a single process")
  processes: int | None = option(
    None, "processes", PLACE, "how many there are", type=int, metavar="N", unset="1")
  process_id: int | None = option(
    None, "processes", PLACE, "which of them this is", type=int, metavar="I", unset="0")
  dry_run: bool = option(
    False, "output", PLACE, "show the plan and the expected time, then stop", action="store_true")
  # fmt: on

  def validate(self) -> None:
    """Checks what can be checked without loading anything.

    Raises:
      WayjaxError: naming the option that is wrong.
    """
    if (self.dataset is None) == (self.task_file is None):
      raise WayjaxError(
        "which task? give --dataset sst2, sst5, agnews, trec or subj, or --task-file with your own"
      )
    for field in options():
      value = getattr(self, field.name)
      _check_unicode(field, value)
      check_value(field, value)
    if self.system is not None and not self.chat:
      raise WayjaxError("--system is the system's text of a chat: it goes with --chat")
    if self.fool is None and self.fool_weight != RunConfig.fool_weight:
      raise WayjaxError("--fool-weight is that of a reader that is fooled: it goes with --fool")
    self._check_axes()
    self._check_folders_and_processes()

  def _check_axes(self) -> None:
    several = ("gamma", "constraint", "cell_gamma", "certify_metrics", "seeds", "targets")
    several += ("readers",)
    for field in (field for field in options() if field.name in several):
      values = getattr(self, field.name)
      if len(set(values)) < len(values):
        raise WayjaxError(f"{flag(field)} has the same value twice")
      if not values and field.default:
        raise WayjaxError(f"{flag(field)} needs at least one value")
    if CELL in self.constraint and self.projection not in (self.certify_metrics or METRICS):
      raise WayjaxError(
        f"--certify-metrics {' '.join(self.certify_metrics)} lacks --projection {self.projection}, "
        "by which prompts are read: name that metric too, or read by another"
      )
    if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
      index, count = self.shard
      raise WayjaxError(f"--shard {index}/{count}: I must be from 0 to N - 1")

  def _check_folders_and_processes(self) -> None:
    for name in ("out", "resume"):
      folder = getattr(self, name) or ""
      if "://" in folder and not re.fullmatch(r"gs://[^/]+/[^/].*", folder):
        raise WayjaxError(f"--{name} must be a folder or gs://BUCKET/FOLDER, not {folder}")
    given = [getattr(self, name) is not None for name in ("coordinator", "processes", "process_id")]
    if any(given) and not all(given):
      raise WayjaxError("--coordinator, --processes and --process-id go together")
    if all(given) and not 0 <= self.process_id < self.processes:
      raise WayjaxError(f"--process-id must be from 0 to {self.processes - 1}")
    if all(given) and not _is_address(self.coordinator):
      raise WayjaxError(
        f"--coordinator must be HOST:PORT, such as 10.0.0.1:1234 or [::1]:1234, not "
        f"{self.coordinator!r}"
      )
    if (self.distributed or any(given)) and not (self.out or self.resume):
      raise WayjaxError("--out must name the run folder where several processes share it")


def options(role: Role | None = None) -> tuple[dataclasses.Field, ...]:
  """The fields of RunConfig, all of them or those of one role."""
  fields = dataclasses.fields(RunConfig)
  return tuple(field for field in fields if role in (None, field.metadata["role"]))


def make_config(values: dict) -> RunConfig:
  """A valid configuration of the values of some options.

  Raises:
    WayjaxError: a value is wrong.
  """
  config = RunConfig(**values)
  config.validate()
  return config
