"""Readers read the prompts of one task, and what they say is measured."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from inspect import signature

import numpy as np

from experiments.readings.cases import Case
from experiments.readings.kept import Behaviour, Kept, Record
from wayjax.audit.measure import Trial
from wayjax.config import RunConfig
from wayjax.data.encoding import token_ids
from wayjax.data.tasks import TASKS
from wayjax.evaluation import MANY_LENGTHS, Evaluation, Evaluator
from wayjax.generation.likelihood import log_likelihoods
from wayjax.generation.requests import Request
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.models.identity import tokenizer_sha256
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import READERS, SEQUENCES, scores, verbalise
from wayjax.run.display import duration
from wayjax.run.prepare import load_rows

_PROMPTS = 128  # that a reader is given at once; what it says of them is kept before the next
_TEXTS = 256  # that are evaluated at once
_SECONDS = 5.0  # between two lines of progress


class Progress:
  """Shows how far a step is and how long it still takes, every few seconds, and when it ends."""

  def __init__(self, steps: int):
    self._steps, self._number, self._last = steps, 0, 0.0

  def begin(self, what: str, of: int) -> None:
    """Begins the next step, of so many parts."""
    self._number += 1
    self._what, self._of, self._begun = what, of, time.monotonic()

  def __call__(self, done: int) -> None:
    """Shows that so many parts are done."""
    now = time.monotonic()
    if done < self._of and now - self._last < _SECONDS:
      return
    self._last, took = now, now - self._begun
    how_long = f"{duration(took / done * (self._of - done))} left" if done < self._of else ""
    print(
      f"step {self._number} of {self._steps}, {self._what}: {done:,} of {self._of:,}, "
      f"{how_long or duration(took)}",
      flush=True,
    )


class Asker:
  """Asks readers, and measures what they say, as far as that is not known yet.

  Args:
    lm: the frozen language model.
    trial: the task, its training rows that readers see, and the others that texts are tried on.
    descriptions: true descriptions by task.
    metric: by which tokens are nearest.
    kept: what is known.
  """

  def __init__(
    self,
    lm: LanguageModel,
    trial: Trial,
    descriptions: dict[str, tuple[str, ...]],
    metric: str,
    kept: Kept,
  ):
    self._lm, self._trial, self._kept = lm, trial, kept
    self._descriptions, self._metric = descriptions, metric
    settings = {
      "weights": lm.weights_sha256,
      "tokenizer": tokenizer_sha256(lm.tokenizer),
      "precision": lm.dtype.name,
      "task": dataclasses.asdict(trial.task),
      "data": trial.data.sha256,
      "training rows": len(trial.data.train),
      "max_length": trial.max_length,
      "split": trial.split,
      "rows": trial.rows,
      "descriptions": descriptions,
      "metric": metric,
    }
    self._settings = json.dumps(settings, sort_keys=True)

  def key(self, prompt: SoftPrompt, reader: str) -> str:
    """Of what a reader says of a prompt, and all that this depends on."""
    # A reader's defaults, such as its question, are what it is asked with.
    asked = str(signature(READERS[reader])) if reader in READERS else ""
    frame = prompt.before, prompt.after, prompt.reply
    found = hashlib.sha256(
      json.dumps([self._settings, reader, asked, *frame, len(prompt)]).encode()
    )
    found.update(prompt.vectors_PxD.tobytes())
    return found.hexdigest()

  def read(self, reader: str, prompts: list[SoftPrompt], show: Progress) -> None:
    """Has a reader read prompts.

    Args:
      reader: its name.
      prompts: of one frame, in an order that does not depend on what is known.
      show: is told the progress.

    Raises:
      WayjaxError: the reader cannot be asked.
    """
    candidates = tuple(
      dict.fromkeys(text for texts in self._descriptions.values() for text in texts)
    )
    show.begin(f"{reader} reads {self._trial.task.name}", len(prompts))
    about = {"dataset": self._trial.task.name, "reader": reader}
    for keys, given, done in self._unknown("text", reader, prompts):
      context = self._trial.context(self._lm, given[0], candidates)
      context = dataclasses.replace(context, metric=self._metric)
      found = READERS[reader](self._lm, list(given), context)
      self._kept.add(
        [
          Record(key=key, **about, text=reading.text, texts=list(reading.all_texts))
          for key, reading in zip(keys, found, strict=True)
        ]
      )
      show(done)

  def compare(self, reader: str, prompts: list[SoftPrompt], show: Progress) -> None:
    """How probable each task's descriptions are where a reader's text begins.

    Args:
      reader: a name in SEQUENCES.
      prompts: what it has read.
      show: is told the progress.
    """
    show.begin(f"{reader} on {self._trial.task.name}: descriptions", len(prompts))
    for keys, given, done in self._unknown("log_p", reader, prompts):
      context = self._trial.context(self._lm, given[0], ())
      found = self._log_p(SEQUENCES[reader](self._lm, list(given), context))
      self._kept.add([Record(key=key, log_p=log_p) for key, log_p in zip(keys, found)])
      show(done)

  def _unknown(self, part: str, reader: str, prompts: list[SoftPrompt]) -> Iterator[tuple]:
    """Keys and prompts of which a part is not known yet, and how many prompts end with these.

    What a reader says may depend, in the last digits, on what it is given at once: prompts are
    divided alike whatever is known.
    """
    for start in range(0, len(prompts), _PROMPTS):
      whole = prompts[start : start + _PROMPTS]
      keyed = [(self.key(prompt, reader), prompt) for prompt in whole]
      if chunk := [pair for pair in keyed if part not in self._kept[pair[0]]]:
        yield *zip(*chunk, strict=True), start + len(whole)

  def _log_p(self, requests: list[Request]) -> list[dict[str, float]]:
    """Of each sequence, by task: the mean over descriptions of log P a token."""
    space = verbalise.lead(requests[0].frame)
    names = [name for name, texts in self._descriptions.items() for _ in texts]
    texts = [space + text for texts in self._descriptions.values() for text in texts]
    ids = [np.array(each, np.int32) for each in token_ids(self._lm.tokenizer, texts)]
    per_token_RxT = log_likelihoods(self._lm, requests, ids) / [len(each) for each in ids]
    return [
      {
        task: float(np.mean([p for p, name in zip(log_p_T, names, strict=True) if name == task]))
        for task in self._descriptions
      }
      for log_p_T in per_token_RxT
    ]

  def try_out(self, readers: list[str], prompts: list[SoftPrompt], show: Progress) -> None:
    """Measures what the texts of readings do in the prompts' place, each different text once.

    Args:
      readers: those whose readings are meant.
      prompts: what they have read.
      show: is told the progress.
    """
    waiting: dict[str, list[tuple[str, int]]] = {}  # by text, the records that it is of
    for number, prompt in enumerate(prompts):
      for key in (self.key(prompt, reader) for reader in readers):
        record = self._kept[key]
        if "text" in record and "behaviour" not in record:
          waiting.setdefault(record["text"], []).append((key, number))
    show.begin(f"texts tried on {self._trial.task.name}", len(waiting))
    if not waiting:
      return
    lm, trial = self._lm, self._trial
    rows = trial.encode(lm, prompts[0], trial.drawn())
    evaluator = Evaluator(lm, rows, length_multiple=MANY_LENGTHS)
    room = lm.max_positions - evaluator.examples.longest()
    sizes = dict(zip(waiting, map(len, token_ids(lm.tokenizer, list(waiting))), strict=True))
    too_long = []
    for text, of_text in waiting.items():
      fitting = [pair for pair in of_text if max(sizes[text], len(prompts[pair[1]])) <= room]
      too_long += [key for key, number in of_text if (key, number) not in fitting]
      waiting[text] = fitting
    self._kept.add([Record(key=key, behaviour=None) for key in too_long])
    fitting = sorted((text for text in waiting if waiting[text]), key=sizes.get)
    needed = sorted({number for text in fitting for _, number in waiting[text]})
    soft: list[Evaluation] = []
    for start in range(0, len(fitting), _TEXTS):
      texts = fitting[start : start + _TEXTS]
      hard = [text_prompt(lm, text) if sizes[text] else None for text in texts]
      # In one call those of a length share a program.
      first = [] if soft else [None, *(prompts[number] for number in needed)]
      found = evaluator([*first, *hard])
      soft, found = soft or found[: len(first)], found[len(first) :]
      of_prompt = dict(zip(needed, soft[1:], strict=True))
      self._kept.add(
        [
          Record(key=key, behaviour=_behaviour(of_prompt[number], one, soft[0]))
          for text, one in zip(texts, found, strict=True)
          for key, number in waiting[text]
        ]
      )
      show(start + len(texts))


def _behaviour(soft: Evaluation, hard: Evaluation, none: Evaluation) -> Behaviour:
  return Behaviour(
    text=hard.accuracy,
    prompt=soft.accuracy,
    nothing=none.accuracy,
    kl=finite(scores.kl(soft, hard)),
    agreement=scores.agreement(soft, hard),
  )


def make_asker(
  lm: LanguageModel, config: RunConfig, descriptions: dict[str, tuple[str, ...]], kept: Kept
) -> Asker:
  """Who asks readers about the prompts of a configuration's task."""
  task = TASKS[config.dataset]
  trial = Trial(task, load_rows(config, task), config.split, max_length=config.max_length)
  return Asker(lm, trial, descriptions, config.projection, kept)


def prompts_to_read(
  asker: Asker, own: list[Case], shard: tuple[int, int] | None
) -> list[SoftPrompt]:
  """The different prompts of a task that this process reads, in an order of their own.

  Of a sharded sweep they are what its part tuned; all others are divided by their keys.
  """

  def is_ours(case: Case, key: str) -> bool:
    if shard is None or case.shard is not None:
      return case.shard == shard or shard is None
    return int(key, 16) % shard[1] == shard[0]

  found = {}
  for case in own:
    if is_ours(case, key := asker.key(case.prompt, "")):
      found[len(case.prompt), key] = case.prompt
  return [found[key] for key in sorted(found)]  # those of a length share programs
