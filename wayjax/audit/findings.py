"""What an audit found: plain values, as `audit.json` holds them, the page shows them and the
verdict puts them into words. Numbers that are not finite are None.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """What a text, or a prompt, does on a task.

  Attributes:
    accuracy: share of rows that are right.
    macro_f1: F1 of each class, averaged over classes; None for free-text answers.
    faithfulness: (accuracy - that of no prompt) / (that of the soft prompt - that of no prompt);
      None where the soft prompt gains nothing.
    kl: KL(soft prompt || this) of the classes' probabilities, the mean over rows, nats; None for
      free-text answers.
    agreement: share of rows for which the soft prompt predicts the same.
  """

  accuracy: float
  macro_f1: float | None
  faithfulness: float | None = None
  kl: float | None = None
  agreement: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
  """What a prompt reads as by one reader.

  Attributes:
    reader: its name in `READERS`.
    text: what it reads.
    metric: of `nearest`, what nearest means; None for other readers.
    prompt_f1: word-overlap F1 with what the prompt is to read as (Eq. 8); None where that is not
      known or has no words.
    class_rate: share of the task's classes that the text names; None without classes.
    scores: what the text does as a hard prompt; None without a task, or where it is too long.
    record: all that the reader gives for JSON.
  """

  reader: str
  text: str
  metric: str | None = None
  prompt_f1: float | None = None
  class_rate: float | None = None
  scores: Scores | None = None
  record: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Position:
  """One vector of a prompt, by Euclidean distance.

  Attributes:
    token: its nearest token.
    distance: to that token's embedding.
    margin: to the nearest wall of that token's cell; None where there is no wall.
    margin_relative: the same, divided by half the distance of the token's embedding to the nearest
      other; None likewise.
    wall: the token behind that wall; None where there is none.
    norm: its length.
    norm_percentile: the share of the vocabulary's embeddings that are not longer, in per cent.
    target: the token that it is to read as; None where that is not known.
  """

  token: str
  distance: float | None
  margin: float | None
  margin_relative: float | None
  wall: str | None
  norm: float | None
  norm_percentile: float
  target: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Possible:
  """A text that a prompt could have been made to read as.

  Attributes:
    text: the text.
    c_dist: squared distance a token to the point found that certainly reads as it (Eq. 7).
    c_dist_to_text: the same to the text's own embeddings.
    moved: how many vectors have to move at all.
  """

  text: str
  c_dist: float | None
  c_dist_to_text: float | None
  moved: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptFindings:
  """What was found of one prompt.

  Attributes:
    name: what it is called.
    vectors: how many it has.
    reads_as: the text that it is to read as; None where that is not known.
    before: the text before it, special tokens by their names.
    after: the text between it and an input.
    reply: the text between an input and its answer.
    said: what it reads as, by reader.
    not_asked: why readers were not asked, by reader.
    positions: its vectors.
    possible: texts of as many tokens that it could have been made to read as, nearest first.
    other_length: how many of the given texts have another number of tokens.
    impossible: why nothing reads as some of the given texts, by text.
    scores: what it does on the task; None without a task.
    nothing: what no prompt does there; None without a task.
  """

  name: str
  vectors: int
  reads_as: str | None
  before: str
  after: str
  reply: str
  said: tuple[Said, ...]
  not_asked: dict[str, str]
  positions: tuple[Position, ...]
  possible: tuple[Possible, ...] = ()
  other_length: int = 0
  impossible: dict[str, str] = dataclasses.field(default_factory=dict)
  scores: Scores | None = None
  nothing: Scores | None = None

  def one_a_reader(self) -> list[Said]:
    """The first reading of each reader: of `nearest` the one by Euclidean distance."""
    return list({said.reader: said for said in reversed(self.said)}.values())[::-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
  """How large things are in an embedding table, to compare with.

  Attributes:
    tokens: how many tokens there are.
    norm: the median length of an embedding.
    nearest_squared: the median squared distance of an embedding to the nearest other.
    drawn: of how many tokens that median is.
  """

  tokens: int
  norm: float | None
  nearest_squared: float | None
  drawn: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskFacts:
  """The rows that prompts were tried on.

  Attributes:
    name: of the task.
    split: `test` or `dev`.
    rows: how many were drawn.
    of: from how many.
    majority: accuracy of always giving the most frequent label or answer.
  """

  name: str
  split: str
  rows: int
  of: int
  majority: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
  """Two prompts beside each other.

  Attributes:
    c_dist: squared distance a token (Eq. 7); None for prompts of different lengths.
    same_tokens: at how many positions the nearest token is the same; None likewise.
    agreement: share of rows for which both predict the same; None without a task.
  """

  c_dist: float | None
  same_tokens: int | None
  agreement: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
  """All that an audit found.

  Attributes:
    model: the model's name.
    scale: of its embedding table.
    prompts: what was found of each prompt, one or two.
    task: the task; None where none was given.
    comparison: of two prompts; None of one.
  """

  model: str
  scale: Scale
  prompts: tuple[PromptFindings, ...]
  task: TaskFacts | None = None
  comparison: Comparison | None = None
