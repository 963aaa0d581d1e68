"""The paper's five classification tasks, and tasks read from a TOML file."""

import dataclasses
import functools
import tomllib
from pathlib import Path

from wayjax.data.template import LABEL, TEXT, Template, parse_template
from wayjax.errors import WayjaxError, reason
from wayjax.files import MIB, read_text

_MOST_BYTES = MIB  # of a task file


@dataclasses.dataclass(frozen=True)
class HubSource:
  """Where a task's rows are on the Hugging Face Hub.

  Attributes:
    repo_id: dataset repository.
    text: column with the input text.
    label: column with the class, either a ClassLabel or the class's name.
    test_split: split that serves as the test set.
  """

  repo_id: str
  text: str
  label: str
  test_split: str = "test"


@dataclasses.dataclass(frozen=True)
class Task:
  """A task, solved by completing a template with a label word (paper, §4.1) or with an answer.

  Attributes:
    name: its name on the command line, and that of its data folder.
    template: text that follows the column `text` and a space, with `%s` where the label word or
      the answer goes; or the whole example, with `{column}` for every column, and for the label
      word `{label}`.
    label_words: one word per class, in the order of the class numbers; none for free-text answers.
    class_names: the data set's own names for the classes, in the same order.
    max_length: inputs are cut to `max_length - 16` tokens.
    hub: where the rows are on the Hub; None if they come only from a folder of files.
    dev_within_class: whether the tenth that becomes dev is drawn from each class separately.
    true_prefix: prefix of this task's names in the paper's file of true descriptions.
    answer: the column with the answers, where they are free text; None for classes.
  """

  name: str
  template: str
  label_words: tuple[str, ...]
  class_names: tuple[str, ...]
  max_length: int = 128
  hub: HubSource | None = None
  dev_within_class: bool = False
  true_prefix: str | None = None
  answer: str | None = None

  @classmethod
  def from_json(cls, stored: dict) -> "Task":
    """A task as a run folder has it.

    Raises:
      KeyError, TypeError: it is damaged.
    """
    fields = {
      name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    hub = fields.pop("hub", None)
    return cls(**fields, hub=hub and HubSource(**hub))

  @functools.cached_property
  def layout(self) -> Template:
    """The template, taken apart.

    Raises:
      WayjaxError: it is not one.
    """
    try:
      return parse_template(self.template, self.answer or LABEL)
    except ValueError as error:
      raise WayjaxError(f"task '{self.name}': its template {error}") from error

  @property
  def columns(self) -> tuple[str, ...]:
    """The columns that rows must have: those of the input, then the label's or the answer's."""
    return (*self.layout.columns, self.answer or LABEL)

  @property
  def is_plain(self) -> bool:
    """Whether an example is its column `text`, then the template, as in the paper's tasks."""
    return self.layout.head == (("", TEXT),) and not self.layout.end

  def inputs(self, texts) -> tuple[str, ...]:
    """What of rows stands before the label or answer, as texts.

    Args:
      texts: of each row its text, or those of all its input's columns.
    """
    return tuple(texts) if self.is_plain else tuple(map(self.layout.input, texts))

  def fill(self) -> list[str]:
    """What follows the input, with each class's label word, in class order."""
    return [self.layout.lead + word + self.layout.tail for word in self.label_words]


TASKS = {
  task.name: task
  for task in (
    Task(
      name="sst2",
      template="It was %s .",
      label_words=("terrible", "great"),
      class_names=("negative", "positive"),
      hub=HubSource("stanfordnlp/sst2", "sentence", "label", test_split="validation"),
      true_prefix="SST-2_",
    ),
    Task(
      name="sst5",
      template="It was %s .",
      label_words=("terrible", "bad", "okay", "good", "great"),
      class_names=("very negative", "negative", "neutral", "positive", "very positive"),
      hub=HubSource("SetFit/sst5", "text", "label_text"),
      true_prefix="sst-5_",
    ),
    Task(
      name="agnews",
      template="Subject: %s.",
      label_words=("World", "Sports", "Business", "Technology"),
      class_names=("World", "Sports", "Business", "Sci/Tech"),
      max_length=256,
      hub=HubSource("fancyzhx/ag_news", "text", "label"),
      dev_within_class=True,
      true_prefix="agnews_",
    ),
    Task(
      name="trec",
      template="Q: %s :",
      label_words=("Description", "Entity", "Expression", "Human", "Location", "Number"),
      class_names=("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"),
      hub=HubSource("SetFit/TREC-QC", "text", "label_coarse_original"),
      true_prefix="trec_",
    ),
    Task(
      name="subj",
      template="It's all %s .",
      label_words=("subjective", "objective"),
      class_names=("subjective", "objective"),
      max_length=256,
      hub=HubSource("SetFit/subj", "text", "label_text"),
      true_prefix="subj_",
    ),
  )
}


def get_task(name: str) -> Task:
  """The built-in task with this name.

  Raises:
    WayjaxError: there is no such task.
  """
  if name not in TASKS:
    raise WayjaxError(
      f"unknown dataset '{name}': choose one of {', '.join(TASKS)}, "
      "or describe your own with --task-file"
    )
  return TASKS[name]


def read_task_file(path: str | Path) -> Task:
  """Reads a task from a TOML file.

  The file holds `template` and either `label_words` or `answer`, the column with free-text answers;
  and optionally `name` (default: the file's name), `class_names` (default: the label words) and
  `max_length` (default: 128).

  Raises:
    WayjaxError: the file cannot be read, or a field is missing, unknown or of the wrong type.
  """
  path = Path(path)
  content = read_text(path, _MOST_BYTES, f"task file {path}")
  try:
    fields = tomllib.loads(content)
  except (ValueError, RecursionError) as error:  # a huge number is a plain ValueError
    raise WayjaxError(f"task file {path} cannot be read: {reason(error)}") from error

  def fail(why: str):
    raise WayjaxError(f"task file {path}: {why}")

  allowed = {"name", "template", "label_words", "class_names", "max_length", "answer"}
  if unknown := sorted(set(fields) - allowed):
    fail(f"unknown field {', '.join(unknown)}; the fields are {', '.join(sorted(allowed))}")
  if "template" not in fields:
    fail("the field 'template' is missing")

  name = fields.get("name", path.stem)
  if not isinstance(name, str) or not name or set(name) & set("/\\"):
    fail("'name' must be a string without slashes")
  answer = fields.get("answer")
  if "label_words" not in fields and answer is None:
    fail("the field 'label_words' is missing, or 'answer', the column with free-text answers")
  if "label_words" in fields and answer is not None:
    fail("'label_words' and 'answer' exclude each other: classes, or free-text answers")
  if answer is not None and (not isinstance(answer, str) or not answer.strip()):
    fail("'answer' must be the name of a column")
  template = fields["template"]
  if not isinstance(template, str):
    fail("'template' must be a string that contains %s once, where the label word goes")
  template = template.strip()
  try:
    parsed = parse_template(template, answer or LABEL)
  except ValueError as error:
    fail(f"'template' {error}")
  if answer in parsed.columns:
    fail(f"'answer' is the column '{answer}', which is part of the input, too")
  max_length = fields.get("max_length", 128)
  if not isinstance(max_length, int) or isinstance(max_length, bool) or max_length <= 16:
    fail("'max_length' must be a whole number above 16")
  if answer is not None:
    if "class_names" in fields:
      fail("'class_names' goes with 'label_words', not with 'answer'")
    return Task(name, template, (), (), max_length, answer=answer)
  words = _strings(fields["label_words"])
  if words is None or len(words) < 2 or not _all_differ(words):
    fail("'label_words' must be a list of two or more different strings")
  names = _strings(fields.get("class_names", fields["label_words"]))
  if names is None or len(names) != len(words) or not _all_differ(names):
    fail("'class_names' must be a list of different strings, one for each label word")
  numbers = {word.strip(): number for number, word in enumerate(words)}
  for number, name_of_class in enumerate(names):
    if numbers.get(name_of_class.strip(), number) != number:
      fail(f"'{name_of_class}' names one class in 'class_names' and another in 'label_words'")
  return Task(name, template, words, names, max_length)


def _all_differ(strings: tuple[str, ...]) -> bool:
  """Whether strings differ in more than spaces around them, which labels in rows may lack."""
  return len({string.strip() for string in strings}) == len(strings)


def _strings(value) -> tuple[str, ...] | None:
  """A list of non-empty strings as a tuple; None for anything else."""
  if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
    return tuple(value)
  return None
