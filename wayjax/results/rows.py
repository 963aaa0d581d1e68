"""A row of `results.jsonl`: everything a run records of one tuned prompt."""

import copy
import dataclasses

from wayjax.config import C_DIST, is_unconstrained


def _field(description: str, **metadata):
  """A field with its line in the README's table.

  Args:
    description: what it holds.
    **metadata: `setting` for what a run's options decide; `score` for a number that trackers show;
      `absent` is the value of rows written before the field existed.
  """
  return dataclasses.field(metadata={"description": description, **metadata})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One tuned prompt. Shares, accuracies and F1 are fractions from 0 to 1.

  The field descriptions below are the README's table.
  """

  # fmt: off
  model: str = _field("the model, as `--model` named it", setting=True)
  dataset: str = _field("the task", setting=True)
  demo: bool = _field("whether the embedded model or rows took part")
  split: str = _field("the rows that the scores are of: `test` or `dev`", setting=True)
  target_group: str = _field("where the target comes from: a group, `file`, or `text`")
  target_name: str = _field("its name within the group")
  target_text: str = _field("the target: the text that the prompt is to read as")
  gamma: float = _field("weight of c-dist; 0 is the unconstrained prompt")
  constraint: str = _field("how the prompt is held to its target", absent=C_DIST)
  seed: int = _field("orders the training examples, and draws a random initial prompt")
  steps: int = _field("training steps", setting=True)
  before: str = _field("the text before the prompt", setting=True, absent="")
  after: str = _field("the text between it and the input", setting=True, absent="")
  reply: str = _field(
    "the text between input and label: in a chat, what ends one turn and begins the next",
    setting=True, absent="")
  prompt_tokens: int = _field("length of the prompt")
  prompt_key: str = _field("the prompt's name in the other files")
  status: str = _field("`done` or `diverged`")
  diverged_at: int | None = _field("the first step whose loss or prompt was not finite")
  init: str = _field("what the prompt was at step 0", setting=True)
  lr: float = _field("learning rate of the first step", setting=True)
  precision: str = _field("type of the matrix products", setting=True)
  accuracy: float = _field(
    "of the tuned prompt; of free-text answers the share that match after normalisation",
    score=True)
  macro_f1: float | None = _field(
    "F1 averaged over classes; null for free-text answers", score=True)
  log_loss: float | None = _field(
    "mean log-loss of the true labels or answers, nats a token", score=True, absent=None)
  rouge_l: float | None = _field(
    "ROUGE-L F1 of free-text answers; null for classes, and where rouge-score is not installed",
    score=True, absent=None)
  text_accuracy: float = _field(
    "of the target itself as the prompt, before any step", score=True)
  hard_accuracy: float = _field("of the tokens that the prompt reads as", score=True)
  prompt_f1: float | None = _field(
    "word-overlap F1 of the projected text with the target (Eq. 8); null for one without words",
    score=True)
  prompt_f1_lemma: float | None = _field(
    "the same on WordNet lemmas; null where WordNet is not installed, too", score=True)
  token_match: float | None = _field(
    "share of positions that read as the target's token; null for another length", score=True)
  c_dist: float | None = _field(
    "squared distance from the target's embeddings, per token (Eq. 7); null for another length",
    score=True)
  certified: bool | None = _field(
    "whether it certainly reads as its target, by the metric `projection`, stored in any type up "
    "to `certify_dtype`; null for another length", absent=None)
  certified_metrics: list[str] | None = _field(
    "the metrics by which it does; null for another length", absent=None)
  margin: float | None = _field(
    "distance of the nearest of its vectors to a wall of its token's cell, negative beyond it; "
    "null for another length, and where there is no wall", absent=None, score=True)
  margin_relative: float | None = _field(
    "the smallest such distance as a share of that of the token's embedding (Proposition 1); null "
    "likewise", absent=None, score=True)
  projection: str = _field("the metric that the prompt is read by", setting=True)
  projected_text: str = _field("what the prompt reads as")
  projected_text_euclidean: str = _field("its reading by Euclidean distance")
  projected_text_dot: str = _field("its reading by dot product")
  projected_text_cosine: str = _field("its reading by cosine")
  readings: dict[str, dict] = _field(
    "by reader: its `text`, `prompt_f1` and `prompt_f1_lemma`", absent={})
  train_loss: float | None = _field(
    "cross-entropy + γ · c-dist, with `--fool` + β · the reader's loss, the mean of the last 100 "
    "steps", score=True)
  wall_seconds: float = _field("training time, shared equally among the prompts trained together")
  # fmt: on

  def to_json(self) -> dict:
    """The row as `results.jsonl` holds it."""
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def from_json(stored: dict) -> dict:
  """A stored row, with what earlier versions of wayjax did not write filled in."""
  absent = {
    field.name: copy.deepcopy(field.metadata["absent"])
    for field in dataclasses.fields(Row)
    if "absent" in field.metadata and field.name not in stored
  }
  return stored | absent


def field_names(kind: str) -> tuple[str, ...]:
  """The fields of a kind: `setting` or `score`."""
  return tuple(field.name for field in dataclasses.fields(Row) if field.metadata.get(kind))


def is_free(row: dict) -> bool:
  """Whether a row is of an unconstrained prompt, which constrained ones are compared with."""
  return is_unconstrained(row.get("constraint", C_DIST), row["gamma"])


def to_markdown() -> str:
  """The fields as the README's table."""
  fields = dataclasses.fields(Row)
  lines = [f"| `{field.name}` | {field.metadata['description']} |" for field in fields]
  return "\n".join(["| field | what it holds |", "|---|---|", *lines]) + "\n"
