"""A task's template: where the columns of a row go, and the label word or the answer.

It is written in one of two forms: `It was %s .`, which follows the column `text` and a space, or
`{premise} Question: {hypothesis} ? Answer: {label}`, which names its columns.
"""

import dataclasses
import string
from collections.abc import Sequence

TEXT, LABEL = "text", "label"  # the columns of the first form, and the label's in both
_WORD = "%s"


@dataclasses.dataclass(frozen=True)
class Template:
  """A template, taken apart: an example is its input, then a continuation that is scored.

  Attributes:
    head: what the input consists of: pairs of a fixed text and the column that follows it.
    end: the fixed text at the input's end.
    lead: the fixed text before the label word or the answer.
    tail: the fixed text after it.
  """

  head: tuple[tuple[str, str], ...]
  end: str
  lead: str
  tail: str

  @property
  def columns(self) -> tuple[str, ...]:
    """The columns of the input, in order, each once."""
    return tuple(dict.fromkeys(column for _, column in self.head))

  def input(self, values: Sequence[str]) -> str:
    """The input of a row.

    Args:
      values: the texts of `columns`.
    """
    of = dict(zip(self.columns, values, strict=True))
    return "".join(fixed + of[column] for fixed, column in self.head) + self.end


def parse_template(template: str, answer: str = LABEL) -> Template:
  """Takes a template apart.

  Args:
    template: the template, in one of its forms.
    answer: the column of the answer; `label` where the answer is a label word.

  Raises:
    ValueError: saying what the template lacks or what is wrong with it.
  """
  if template.count(_WORD) == 1:
    before, after = template.split(_WORD)
    return Template((("", TEXT),), "", f" {before}", after)
  placeholder = f"{{{answer}}}"
  parts = _parts(template)
  names = [name for _, name in parts if name is not None]
  if names.count(answer) != 1:
    what = "label word" if answer == LABEL else "answer"
    raise ValueError(
      f"must be a string that contains %s once, or {placeholder}, where the {what} goes"
    )
  place = [name for _, name in parts].index(answer)
  after = parts[place + 1 :]
  if later := [name for _, name in after if name is not None]:
    raise ValueError(f"has {{{later[0]}}} after {placeholder}, which must be its last placeholder")
  before = parts[place][0]
  end = before.rstrip()
  # A word belongs to its space: byte-pair encodings have both in one token.
  return Template(
    tuple(parts[:place]), end, before[len(end) :], "".join(fixed for fixed, _ in after)
  )


def _parts(template: str) -> list[tuple[str, str | None]]:
  """Fixed texts, each with the name of the placeholder that follows it; None at the end."""
  try:
    parsed = list(string.Formatter().parse(template))
  except ValueError as error:
    raise ValueError(f"cannot be read: {error}; a brace that is meant is written twice") from error
  parts, fixed = [], ""
  for text, name, spec, conversion in parsed:
    fixed += text  # a brace that is written twice ends a text without a placeholder
    if name is None:
      continue
    if not name.strip() or spec or conversion:
      raise ValueError("has a placeholder that is not just the name of a column, as in {text}")
    parts.append((fixed, name))
    fixed = ""
  return [*parts, (fixed, None)]
