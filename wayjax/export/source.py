"""A prompt that is to be exported, with what its run knows of it."""

import dataclasses

from wayjax.config import CERTIFIED
from wayjax.data.tasks import Task
from wayjax.prompt_files.belonging import choose_model, require_width
from wayjax.prompts import SoftPrompt


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
  """A prompt that is to be exported.

  Attributes:
    prompt: the prompt.
    where: where it comes from, for messages.
    task: the task that it was tuned for, if it is known.
    max_length: tokens that an input and the template may have together; None means the task's.
    row: its row in `results.jsonl`; None where it has none.
    config: its run's `config.json`; empty where it is no run's.
    unconstrained: the accuracy of the unconstrained prompt of the same target and seed.
  """

  prompt: SoftPrompt
  where: str = "the prompt"
  task: Task | None = None
  max_length: int | None = None
  row: dict | None = None
  config: dict = dataclasses.field(default_factory=dict)
  unconstrained: float | None = None

  @property
  def resolved(self) -> dict:
    """What the run's configuration was resolved to."""
    return self.config.get("resolved") or {}

  @property
  def stored(self) -> dict:
    """What an exported file said of the prompt."""
    return self.prompt.origin.get("wayjax") or {}

  @property
  def weights_sha256(self) -> str | None:
    """The hash of the weights of its model, if it is known."""
    return self.resolved.get("weights_sha256") or self.stored.get("weights_sha256")

  @property
  def model_revision(self) -> str | None:
    """The commit of its model on the Hub, if it came from there."""
    return self.resolved.get("model_revision") or self.stored.get("model_revision")

  @property
  def key(self) -> str | None:
    """Its key in its run."""
    return self.prompt.origin.get("key") or self.stored.get("key")

  @property
  def metric(self) -> str:
    """The metric that it is read by."""
    return self.config.get("projection", "euclidean")

  @property
  def certified_up_to(self) -> str | None:
    """The coarsest type in which it is certain that it reads as its text; None where none is."""
    covered = self.config.get("certify_dtype")
    return covered if self.row and self.row.get("certified") and covered in CERTIFIED else None

  def require_model(self, lm) -> None:
    """Raises WayjaxError where a loaded model is not the one that the prompt belongs to."""
    require_width(self.prompt, lm)
    choose_model(self.where, self.prompt.model, self.weights_sha256, lm)

  def is_framed(self) -> bool:
    """Whether there is text around the prompt."""
    return bool(self.prompt.before or self.prompt.after)

  def input(self) -> str:
    """What stands in an example for the input: of named columns the template up to the answer."""
    if self.task is None or self.task.is_plain:
      return "YOUR TEXT"
    layout = self.task.layout
    return layout.input([f"{{{column}}}" for column in layout.columns])

  def template(self) -> str:
    """What follows an input up to its label or answer; without a task only what ends a turn."""
    reply = self.prompt.reply or ""
    if self.task is None:
      return reply
    lead = self.task.layout.lead.rstrip()
    return reply + (lead.lstrip() if reply else lead)
