"""The prompts that readers are given: tuned ones from run folders, and controls beside them."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.needed_runs import DEMO_GROUPS
from wayjax import demo
from wayjax.config import C_DIST, CELL, UNCONSTRAINED, RunConfig
from wayjax.data.targets import OTHER, load_targets, task_described
from wayjax.data.tasks import TASKS
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.report import gather, paper
from wayjax.results.summary import variant_of

GROUPS = OTHER, "pile", demo.OTHER, demo.NAME
OF_TASK, ANY_OTHER = "another task's", "any other"  # kinds of text
TUNED = {UNCONSTRAINED: "unconstrained", (C_DIST, paper.GAMMA): "γ = 0.01", (CELL, 0.0): "cell"}
RANDOM, ELSEWHERE = "random tokens", "prompt of another task"
PLAIN, TRUE = "the text itself", "true description"
ARMS = (*TUNED.values(), RANDOM, ELSEWHERE, PLAIN, TRUE)
# Options in which all prompts agree; runs in folders of other settings are other experiments'.
_ALIKE = (
  *("model", "dataset", "split", "steps", "init", "lr", "batch_size"),
  *("fool", "fool_weight"),
)


class Case(NamedTuple):
  """A prompt that is read, and what its readings are held against.

  Attributes:
    task: A, the task that it was tuned for, or stands beside prompts of.
    text: what these are held to.
    told: B, the task that this text describes; None for a text that describes none.
    arm: one of ARMS.
    prompt: the prompt.
    shard: the part of a sharded sweep that tuned it; None for the whole, and for controls.
    made_of: the description that a control is made of; None for all others.
  """

  task: str
  text: str
  told: str | None
  arm: str
  prompt: SoftPrompt
  shard: tuple[int, int] | None = None
  made_of: str | None = None

  @property
  def unit(self) -> str:
    """What intervals resample: its text, or, where several texts have one prompt, what that is."""
    return self.made_of or self.text

  @property
  def kind(self) -> str:
    """The kind of its text."""
    return ANY_OTHER if self.told is None else OF_TASK


def true_descriptions(config: RunConfig) -> dict[str, tuple[str, ...]]:
  """True descriptions of every task, by task."""
  group = DEMO_GROUPS["true"] if config.demo else "true"
  return {
    name: tuple(
      target.text for target in load_targets(task, groups=(group,), targets_dir=config.targets_dir)
    )
    for name, task in TASKS.items()
  }


def tuned_prompts(
  configs: list[RunConfig], runs: list[gather.Results], out: Path
) -> dict[str, gather.Results]:
  """The rows of a folder that are read, by task; a task without any is left out.

  Args:
    configs: of the tasks; they name the settings that prompts were tuned in.
    runs: all that is in the folder.
    out: the folder.

  Raises:
    WayjaxError: those of a task are of several settings.
  """
  merged = [results.only(_is_read) for results in runs]
  found = {}
  for config in configs:
    own = [
      results
      for results in merged
      if results.rows and all(results.setting[name] == getattr(config, name) for name in _ALIKE)
    ]
    if len(own) > 1:
      named = "; ".join(gather.labels(own))
      raise WayjaxError(f"{out} holds prompts of several settings ({named}): name a folder of one")
    if own:
      found[config.dataset] = own[0]
  return {task: results for task, results in found.items() if sound(results)}


def require_prompts(found: dict, model: str, out: Path) -> None:
  """Raises WayjaxError where a folder holds nothing to read."""
  if not found:
    raise WayjaxError(f"{out} holds no prompts of {model} to read: run the experiment")


def _is_read(row: dict) -> bool:
  is_of_group = row["target_group"] in GROUPS and not paper.describes_task(row)
  return is_of_group and variant_of(row) in TUNED


def sound(results: gather.Results) -> list[dict]:
  """The rows of prompts that did not diverge."""
  return [row for row in results.rows if row["status"] == "done"]


def cases(
  lm: LanguageModel, found: dict[str, gather.Results], descriptions: dict[str, tuple[str, ...]]
) -> list[Case]:
  """All prompts that are read: what did not diverge, and the controls of its texts.

  The controls of a text are random tokens, as many as it has; the text; one of the task's true
  descriptions, in turn; and for each seed the unconstrained prompt of another task, of the same
  text where there is one.

  Args:
    lm: the frozen language model.
    found: rows by task.
    descriptions: true descriptions by task.
  """
  return [
    case
    for task, results in found.items()
    for case in (*tuned(task, results), *_controls(lm, task, found, descriptions[task]))
  ]


def tuned(task: str, results: gather.Results) -> Iterator[Case]:
  """The tuned prompts of a task, those of `sound` rows in their order."""
  for row in sound(results):
    home = results.homes[gather.member(row)]
    shard = home.config.get("shard")
    yield Case(
      task,
      row["target_text"],
      task_described(row["target_group"], row["target_name"]),
      TUNED[variant_of(row)],
      home.prompt(row["prompt_key"]),
      shard and tuple(shard),
    )


def _controls(
  lm: LanguageModel,
  task: str,
  found: dict[str, gather.Results],
  descriptions: tuple[str, ...],
) -> Iterator[Case]:
  results = found[task]
  rows_of: dict[tuple, list[dict]] = {}
  for row in sound(results):
    text = row["target_group"], row["target_name"], row["target_text"]
    rows_of.setdefault(text, []).append(row)
  free = [
    (other, row)
    for other, others in found.items()
    for row in sound(others)
    if other != task and variant_of(row) == UNCONSTRAINED
  ]
  for number, ((group, name, text), rows) in enumerate(rows_of.items()):
    told = task_described(group, name)
    like = results.homes[gather.member(rows[0])].prompt(rows[0]["prompt_key"])

    def control(arm: str, vectors_PxD, made_of=None, told=told, text=text, like=like) -> Case:
      prompt = dataclasses.replace(like, vectors_PxD=vectors_PxD, origin={})
      return Case(task, text, told, arm, prompt, made_of=made_of)

    yield control(RANDOM, _random_tokens(lm, text, len(like)))
    yield control(PLAIN, text_prompt(lm, text).vectors_PxD)
    description = descriptions[number % len(descriptions)]
    yield control(TRUE, text_prompt(lm, description).vectors_PxD, made_of=description)
    if free:
      for row in {row["seed"]: row for row in rows}.values():
        other, its_row = min(free, key=lambda pair, row=row: _unlike(*pair, row, told))
        home = found[other].homes[gather.member(its_row)]
        yield control(ELSEWHERE, home.prompt(its_row["prompt_key"]).vectors_PxD)


def _unlike(other: str, its_row: dict, row: dict, told: str | None) -> tuple[bool, ...]:
  """How little another task's prompt is like a row's; what matters most comes first."""
  return (
    its_row["target_text"] != row["target_text"],
    other == told,  # a reader that works would name B
    its_row["target_group"] != row["target_group"],
    its_row["seed"] != row["seed"],
  )


def _random_tokens(lm: LanguageModel, text: str, count: int) -> np.ndarray:
  """Embeddings of random tokens, (P, D), the same for a text whatever else is read."""
  table_VxD = fetch(lm.table_VxD)
  known = np.setdiff1d(np.arange(len(table_VxD)), lm.rows_of_no_token)
  seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
  return table_VxD[np.random.default_rng(seed).choice(known, count)]
