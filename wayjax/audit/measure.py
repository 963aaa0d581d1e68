"""Soft prompts -> findings: what each reads as, where it is, and what it does on a task."""

import dataclasses

import numpy as np

from wayjax.audit.findings import (
  Comparison,
  Findings,
  PromptFindings,
  Said,
  Scores,
  TaskFacts,
)
from wayjax.audit.geometry import Geometry, squared_distance
from wayjax.data.encoding import EncodedExamples, encode, token_ids
from wayjax.data.examples import Examples, TaskData
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError
from wayjax.evaluation import MANY_LENGTHS, Evaluation, Evaluator
from wayjax.generation.generate import frame_of
from wayjax.metrics import finite, majority
from wayjax.models import LanguageModel
from wayjax.prompt_files import require_finite
from wayjax.prompts import SoftPrompt, check_prompts, text_prompt
from wayjax.readers import READERS, Context, Reading
from wayjax.readers import scores as scoring
from wayjax.readers.nearest import NearestReading
from wayjax.readers.reading import f1_with_target, task_context

AUTO = "auto"
SLOW = ("hard",)  # readers that are asked only by name


@dataclasses.dataclass(frozen=True)
class Trial:
  """A task to try prompts on.

  Attributes:
    task: the task.
    data: its rows.
    split: which of them are `data.evaluation`, in words.
    rows: how many of those to draw.
    max_length: inputs are cut to `max_length - 16` tokens; None means the task's own.
  """

  task: Task
  data: TaskData
  split: str = "test"
  rows: int = 200
  max_length: int | None = None

  def drawn(self) -> Examples:
    """The rows to evaluate on, in file order: files are often sorted by class."""
    return self.data.evaluation.drawn(self.rows)

  def encode(self, lm: LanguageModel, prompt: SoftPrompt, rows: Examples) -> EncodedExamples:
    """Rows as token ids, in the text that a prompt was tuned in."""
    frame = frame_of(lm, prompt)
    return encode(lm.tokenizer, self.task, rows, self.max_length, frame=frame)

  def context(self, lm: LanguageModel, prompt: SoftPrompt, candidates: tuple[str, ...]) -> Context:
    """What readers may ask for: never the rows that prompts are evaluated on."""
    return task_context(
      lm.tokenizer,
      self.task,
      self.data.train,
      frame_of(lm, prompt),
      max_length=self.max_length,
      candidates=candidates,
    )


def audit(
  lm: LanguageModel,
  prompts: dict[str, SoftPrompt],
  *,
  trial: Trial | None = None,
  readers: tuple[str, ...] = (AUTO,),
  texts: list[Target] = (),
) -> Findings:
  """Audits one soft prompt, or two beside each other.

  Args:
    lm: the frozen language model that they belong to.
    prompts: the prompts, by the names that they are shown under.
    trial: a task to try them on.
    readers: names in `READERS`; `auto` means all but slow ones, and of these a reader that cannot
      be asked is noted, not an error.
    texts: what each could have been made to read as.

  Returns:
    What was found.

  Raises:
    WayjaxError: a prompt is not finite or does not fit the model or the task's rows; there is no
      such reader, or one that was named cannot be asked.
  """
  check_prompts(list(prompts.values()), lm.name, lm.width)
  if len(prompts) not in (1, 2):
    raise WayjaxError(f"an audit is of one prompt, or of two beside each other, not {len(prompts)}")
  for name, prompt in prompts.items():
    require_finite(prompt, name)
  geometry = Geometry(lm)
  found, evaluations = [], []
  for name, prompt in prompts.items():
    one = _audit_one(lm, name, prompt, geometry, trial, readers, list(texts))
    if trial is not None:
      one, evaluation = _try_on(lm, prompt, one, trial)
      evaluations.append(evaluation)
    found.append(one)
  return Findings(
    model=lm.name,
    scale=geometry.scale,
    prompts=tuple(found),
    task=trial and _facts(trial),
    comparison=_compare(list(prompts.values()), geometry, evaluations),
  )


def _audit_one(
  lm: LanguageModel,
  name: str,
  prompt: SoftPrompt,
  geometry: Geometry,
  trial: Trial | None,
  readers: tuple[str, ...],
  texts: list[Target],
) -> PromptFindings:
  """All but what a prompt does on the task."""
  candidates = tuple(dict.fromkeys(target.text for target in texts))
  context = trial.context(lm, prompt, candidates) if trial else Context(candidates=candidates)
  said, not_asked = ask(lm, prompt, context, readers)
  possible, other_length, impossible = geometry.possible(prompt, texts)
  frame = frame_of(lm, prompt)
  return PromptFindings(
    name=name,
    vectors=len(prompt),
    reads_as=prompt.reads_as and prompt.reads_as.text,
    before=frame.before,
    after=frame.after,
    reply=frame.reply,
    said=tuple(said),
    not_asked=not_asked,
    positions=geometry.positions(prompt),
    possible=possible,
    other_length=other_length,
    impossible=impossible,
  )


def ask(
  lm: LanguageModel, prompt: SoftPrompt, context: Context, readers: tuple[str, ...]
) -> tuple[list[Said], dict[str, str]]:
  """What readers say of a prompt, and why some were not asked.

  Raises:
    WayjaxError: see `audit`.
  """
  if not readers:
    raise WayjaxError(f"no reader is named: choose from auto, {', '.join(READERS)}")
  named = [name for name in readers if name != AUTO]
  for name in named:
    if name not in READERS:
      raise WayjaxError(f"there is no reader '{name}': choose from auto, {', '.join(READERS)}")
  usual = [name for name in READERS if name not in SLOW] if AUTO in readers else []
  not_asked = {name: "it is slow" for name in READERS if name in SLOW and AUTO in readers}
  said = []
  for name in dict.fromkeys([*usual, *named]):
    try:
      (reading,) = READERS[name](lm, [prompt], context)
    except WayjaxError as error:
      if name in named:
        raise
      not_asked[name] = str(error)
      continue
    not_asked.pop(name, None)
    said += _said(lm, prompt, name, reading)
  return said, not_asked


def _said(lm: LanguageModel, prompt: SoftPrompt, name: str, reading: Reading) -> list[Said]:
  """One reading, or, of nearest tokens, one by each metric."""
  if not isinstance(reading, NearestReading):
    record = reading.to_json()
    return [Said(reader=name, text=reading.text, prompt_f1=reading.prompt_f1, record=record)]
  found = []
  for metric, text in reading.texts.items():
    f1 = f1_with_target(text, prompt.reads_as, lm.tokenizer)
    record = {"text": text, **f1}
    found.append(
      Said(reader=name, metric=metric, text=text, prompt_f1=f1["prompt_f1"], record=record)
    )
  return found


def _try_on(
  lm: LanguageModel, prompt: SoftPrompt, found: PromptFindings, trial: Trial
) -> tuple[PromptFindings, Evaluation]:
  """The same with what the prompt, no prompt and the readings' texts do on a task."""
  rows = trial.encode(lm, prompt, trial.drawn())
  evaluator = Evaluator(lm, rows, length_multiple=MANY_LENGTHS)
  room = lm.max_positions - evaluator.examples.longest()
  sizes = dict.fromkeys(said.text for said in found.said)
  for text, ids in zip(sizes, token_ids(lm.tokenizer, list(sizes)) if sizes else []):
    sizes[text] = len(ids)
  texts = [text for text, size in sizes.items() if size <= room]
  hard = [text_prompt(lm, text) if sizes[text] else None for text in texts]
  soft, none, *others = evaluator([prompt, None, *hard])
  by_text = dict(zip(texts, others, strict=True))

  def scores_of(one: Evaluation) -> Scores:
    behaviour = scoring.behaviour(soft, one, none)
    return Scores(
      accuracy=one.accuracy,
      macro_f1=one.macro_f1,
      faithfulness=behaviour.faithfulness,
      kl=finite(behaviour.kl),
      agreement=behaviour.agreement,
    )

  said = tuple(
    dataclasses.replace(
      one,
      class_rate=scoring.class_rate(one.text, trial.task),
      scores=scores_of(by_text[one.text]) if one.text in by_text else None,
    )
    for one in found.said
  )
  return dataclasses.replace(
    found, said=said, scores=scores_of(soft), nothing=scores_of(none)
  ), soft


def _facts(trial: Trial) -> TaskFacts:
  rows = trial.drawn()
  return TaskFacts(
    name=trial.task.name,
    split=trial.split,
    rows=len(rows),
    of=len(trial.data.evaluation),
    majority=majority(rows.labels),
  )


def _compare(
  prompts: list[SoftPrompt], geometry: Geometry, evaluations: list[Evaluation]
) -> Comparison | None:
  if len(prompts) < 2:
    return None
  c_dist = same = None
  if len(prompts[0]) == len(prompts[1]):
    c_dist = finite(squared_distance(*(prompt.vectors_PxD for prompt in prompts)))
    same = int(np.sum(np.equal(*map(geometry.nearest, prompts))))
  return Comparison(
    c_dist=c_dist,
    same_tokens=same,
    agreement=scoring.agreement(*evaluations) if evaluations else None,
  )
