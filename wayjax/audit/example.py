"""The prompt that `--demo` audits: tuned for a task, held in the cell of another task's text."""

from wayjax import demo
from wayjax.config import CELL
from wayjax.data.encoding import encode, token_ids
from wayjax.data.examples import TaskData
from wayjax.data.targets import Target, load_targets
from wayjax.data.tasks import Task
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt
from wayjax.tuning.sweep import tune

EXAMPLE = "agnews"  # the task, unless one is named
_STEPS = demo.DEFAULTS["steps"]


def tune_example(lm: LanguageModel, task: Task, data: TaskData) -> SoftPrompt:
  """Tunes a prompt for a task in as many steps as `wayjax.run --demo`.

  Args:
    lm: the embedded model.
    task: one of the five built-in tasks.
    data: its rows.

  Raises:
    WayjaxError: the demo has no texts for the task.
  """
  target = load_targets(task, groups=(demo.NAME,))[0]
  (tuned,) = tune(
    lm,
    encode(lm.tokenizer, task, data.train),
    [target],
    constraints=(CELL,),
    seeds=(1,),
    steps=_STEPS,
  )
  return tuned.prompt


def of_its_length(lm: LanguageModel, prompt: SoftPrompt, texts: list[Target]) -> list[Target]:
  """The texts of as many tokens as a prompt has: readers that try all texts take their time."""
  encoded = token_ids(lm.tokenizer, [target.text for target in texts])
  return [target for target, ids in zip(texts, encoded, strict=True) if len(ids) == len(prompt)]
