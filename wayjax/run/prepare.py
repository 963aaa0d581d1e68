"""What a run needs before its first step: model, rows, members; and what it is going to do."""

import dataclasses
import functools
import hashlib
import platform
from importlib import metadata

import numpy as np

import wayjax
from wayjax.config import CELL, RunConfig, variants
from wayjax.constraints import get_constraint
from wayjax.data.encoding import EncodedExamples, encode
from wayjax.data.examples import TaskData, load_data
from wayjax.data.frame import Frame, make_frame
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.data.template import LABEL
from wayjax.devices import compilation, select
from wayjax.devices.sharding import fetch
from wayjax.metrics import majority
from wayjax.models import LanguageModel, load_lm
from wayjax.models.identity import tokenizer_sha256
from wayjax.readers import Context, get_reader
from wayjax.readers.fooling import make_fooling
from wayjax.readers.reading import task_context
from wayjax.run.display import several
from wayjax.tuning.decisions import Decisions
from wayjax.tuning.groups import by_length, choose_paddings
from wayjax.tuning.members import Member, make_members, take_shard

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "transformers", "datasets", "numpy")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
  """A run, ready for its first step.

  Attributes:
    config: its configuration.
    task: its task.
    targets: its targets.
    lm: the frozen language model.
    data: the task's rows.
    train: encoded rows that prompts are tuned on.
    dev: encoded rows that are evaluated while tuning.
    evaluation: encoded rows that results are reported on.
    members: what is tuned; of a sharded sweep one part.
    whole: members of the whole sweep.
  """

  config: RunConfig
  task: Task
  targets: list[Target]
  lm: LanguageModel
  data: TaskData
  train: EncodedExamples
  dev: EncodedExamples
  evaluation: EncodedExamples
  members: list[Member]
  whole: int

  @property
  def frame(self) -> Frame:
    """What stands around the prompts."""
    return self.train.frame

  @property
  def context(self) -> Context:
    """What readers of the prompts may ask for."""
    return task_context(
      self.lm.tokenizer,
      self.task,
      self.data.train,
      self.frame,
      max_length=self.config.max_length,
      candidates=tuple(dict.fromkeys(target.text for target in self.targets)),
    )

  @property
  def majority(self) -> float:
    """Accuracy of always giving the most frequent label or answer."""
    return majority(self.data.evaluation.labels)

  @functools.cached_property
  def resolved(self) -> dict:
    """The configuration as it was carried out, with all that a repetition needs."""
    return {
      **dataclasses.asdict(self.config),
      "task": dataclasses.asdict(self.task),
      "resolved": {
        "targets": [f"{target.group}/{target.name}" for target in self.targets],
        "target_texts": [target.text for target in self.targets],
        "max_length": self.config.max_length or self.task.max_length,
        "before": self.frame.before,
        "after": self.frame.after,
        "reply": self.frame.reply,
        "precision": self.lm.dtype.name,
        "device": select.describe(),
        "parameters": self.lm.parameters,
        "model_revision": self.lm.revision,
        "weights_sha256": self.lm.weights_sha256,
        "tokenizer_sha256": tokenizer_sha256(self.lm.tokenizer),
        "model_sha256": hashlib.sha256(np.ascontiguousarray(fetch(self.lm.table_VxD))).hexdigest(),
        "data_revision": self.data.revision,
        "data_sha256": self.data.sha256,
        "train_rows": len(self.data.train),
        "dev_rows": len(self.data.dev),
        "evaluation_rows": len(self.data.evaluation),
        "majority": self.majority,
        "versions": {
          "wayjax": wayjax.__version__,
          "python": platform.python_version(),
          **{name: metadata.version(name) for name in _PACKAGES},
        },
      },
    }

  def plan(self, decisions: Decisions | None = None) -> dict[str, str]:
    """What the run is going to do, as terms and facts; decisions are those of an earlier run."""
    config, lm, data, members = self.config, self.lm, self.data, self.members
    lengths = sorted({len(member.target_ids) for member in members})
    range_of = f"{lengths[0]} to " if len(lengths) > 1 else ""
    count = len({member.target for member in members})
    held_in = variants(config.constraint, config.gamma, config.cell_gamma)
    per_target = len(held_in) * len(config.seeds)
    return {
      "model": f"{lm.name}: {lm.parameters / 1e6:,.1f} M parameters, {lm.dtype.name} products, "
      f"{select.describe()}",
      "data": f"{self.task.name}: {len(data.train):,} training, {len(data.dev):,} dev, "
      f"{len(data.evaluation):,} {config.split} rows; the most frequent "
      f"{'class' if self.task.answer is None else 'answer'} is {100 * self.majority:.1f} % of them",
      "sequence": self._sequence(),
      "targets": f"{count}, of {range_of}{several(lengths[-1], 'token')}",
      "members": (f"{len(members)}, a part of " if config.shard else "")
      + f"{self.whole} = {several(self.whole // per_target, 'target')} x "
      + f"{_count(config, held_in)} x {several(len(config.seeds), 'seed')}, "
      + f"{several(config.steps, 'step')} each",
      "prompt groups": ", ".join(
        f"{len(alike)} of up to {size}" for size, alike in self._lengths(decisions or Decisions())
      )
      + f" tokens, each one program; {compilation.free_memory() / 2**30:.1f} GiB free",
    }

  def _sequence(self) -> str:
    """An example as the model sees it; what varies between examples in angle brackets."""
    layout, frame = self.task.layout, self.frame
    sizes = sorted({member.prompt_tokens for member in self.members})
    size = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
    soft = f"{frame.before}[soft × {size}]{frame.after}"
    given = "".join(f"{fixed}⟨{column}⟩" for fixed, column in layout.head) + layout.end
    lead = layout.lead.lstrip() if frame.reply else layout.lead
    answer = f"⟨{self.task.answer or LABEL}⟩{layout.tail}{self.lm.tokenizer.eos_token}"
    return f"{soft}{given}{frame.reply}{lead}{answer}"

  def _lengths(self, decisions: Decisions) -> list[tuple[int, list[Member]]]:
    """Padded lengths, and the members that share a program of each."""
    steps, platform = self.config.steps, self.lm.layout.platform
    paddings = choose_paddings(self.members, steps, platform, decisions)
    return [(padded, alike) for (padded, _), alike in by_length(self.members, paddings).items()]


def _count(config: RunConfig, held_in: tuple) -> str:
  """How many gammas and constraints, or which where the cell has gammas of its own."""
  if CELL not in config.constraint:
    several = f" x {len(config.constraint)} constraints" if len(config.constraint) > 1 else ""
    return f"{len(config.gamma)} gamma{several}"
  named = ", ".join(f"{constraint} γ={gamma:g}" for constraint, gamma in held_in)
  return f"{len(held_in)} ({named})"


def prepare(config: RunConfig, task: Task, targets: list[Target]) -> Prepared:
  """Loads and encodes all that a configuration names.

  Raises:
    WayjaxError: whatever is wrong with model, rows or targets.
  """
  for name in config.constraint:
    get_constraint(name)  # a wrong name is told before anything is loaded
  for name in config.readers:
    get_reader(name)
  compilation.keep_programs()
  data = load_rows(config, task)
  lm = load_model(config)
  frame = make_frame(
    lm.tokenizer, config.before, config.after, chat=config.chat, system=config.system
  )
  train, dev, evaluation = (
    encode(lm.tokenizer, task, part, config.max_length, frame=frame)
    for part in (data.train, data.dev, data.evaluation)
  )
  for part in (train, dev, evaluation):
    part.require_fit(lm)
  fooling = None
  if config.fool is not None:
    fooling = make_fooling(lm, config.fool, config.fool_weight, frame, targets)
  members = make_members(
    lm,
    targets,
    config.gamma,
    config.seeds,
    constraints=config.constraint,
    cell_gammas=config.cell_gamma,
    certify_dtype=config.certify_dtype,
    certify_metrics=config.certify_metrics,
    init=config.init,
    prompt_tokens=config.prompt_tokens,
    longest_example=max(part.longest() for part in (train, dev, evaluation)),
    fooling=fooling,
  )
  whole = len(members)
  if config.shard:
    members = take_shard(members, *config.shard)
  return Prepared(config, task, targets, lm, data, train, dev, evaluation, members, whole)


def load_model(config: RunConfig) -> LanguageModel:
  """Loads the model that a configuration names; see `load_lm`."""
  return load_lm(
    config.model,
    revision=config.revision,
    precision=config.precision,
    model_parallel=config.model_parallel,
  )


def load_rows(config: RunConfig, task: Task) -> TaskData:
  """Loads the rows that a configuration names; see `load_data`."""
  return load_data(
    task,
    config.data_dir,
    split=config.split,
    train_rows=config.train_rows,
    eval_rows=config.eval_rows,
  )
