"""What a report holds, before it is written as Markdown, LaTeX or a page."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    name: of its files.
    title: above it.
    caption: what its numbers are.
    columns: headings.
    lines: cells as texts, a cell for each heading.
    command: that made its runs; empty where it is not known.
  """

  name: str
  title: str
  caption: str
  columns: tuple[str, ...]
  lines: tuple[tuple[str, ...], ...]
  command: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure.

  Attributes:
    name: of its files.
    title: above it.
    caption: what it shows.
    svg: the drawing.
    png: the same as an image.
    command: that made its runs; empty where it is not known.
  """

  name: str
  title: str
  caption: str
  svg: str
  png: bytes
  command: str = ""


@dataclasses.dataclass(frozen=True)
class Entry:
  """One tuned prompt, as the explorer shows it.

  Attributes:
    row: its row of the results.
    setting: what its run folder recorded of the setting, by name.
    target_tokens: the target's tokens as texts; empty where the run did not record them.
    nearest: for every position of the prompt its nearest tokens, nearest first, as pairs of text
      and Euclidean distance, which is None where it overflows. Empty where the run did not record
      them.
    curve: its points of the training curve: `step`, `cross_entropy`, `c_dist`, and where they
      were measured `reader_nll` and `dev_accuracy`.
    walls: for every position the nearest wall of its token's cell: the token behind it, None where
      there is no wall; the distance to it, negative beyond it; and the same as a share of what the
      token's embedding has. Distances are None where they overflow. Empty where the run did not
      record them, or the prompt is not as long as its target.
  """

  row: dict
  setting: dict
  target_tokens: tuple[str, ...]
  nearest: tuple[tuple[tuple[str, float | None], ...], ...]
  curve: tuple[dict, ...]
  walls: tuple[tuple[str | None, float | None, float | None], ...] = ()


@dataclasses.dataclass(frozen=True)
class Report:
  """All of a report.

  Attributes:
    title: its title.
    facts: what was run, as pairs of a term and its value.
    tables: its tables.
    figures: its figures.
    entries: every tuned prompt.
  """

  title: str
  facts: tuple[tuple[str, str], ...]
  tables: tuple[Table, ...]
  figures: tuple[Figure, ...]
  entries: tuple[Entry, ...]
