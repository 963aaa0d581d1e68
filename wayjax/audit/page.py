"""An audit as one HTML page, in the style of a report's, that needs nothing beside itself."""

import string
from pathlib import Path

from wayjax.audit import tables
from wayjax.audit.findings import Findings, PromptFindings, Said
from wayjax.audit.verdict import compared, mean_agreement, of_prompt, reader_name
from wayjax.report import markup
from wayjax.report.content import Table
from wayjax.results.differences import differences
from wayjax.results.summary import UNKNOWN, percent

_FOLDER = Path(__file__).parent


def render(findings: Findings) -> str:
  """Writes an audit as a page.

  Args:
    findings: what was found; its texts may be any, they are escaped.

  Returns:
    The HTML: styles are inside, there is no script, and nothing is loaded.
  """
  title = f"Audit of {' and '.join(prompt.name for prompt in findings.prompts)}"
  parts = [
    ("readings", "What it reads as", [_readings(findings)]),
    ("positions", "Position by position", _tables(tables.positions(findings))),
    ("possible", "What else it could have been made to read as", _possible(findings)),
    ("task", "What it does", _tables(tables.on_task(findings))),
  ]
  body = string.Template(_read("page.html")).substitute(
    title=markup.one_line(title),
    verdict=_verdict(findings),
    numbers="".join(_numbers(prompt, letter) for letter, prompt in tables.lettered(findings)),
    facts=markup.facts(tables.facts(findings)),
    contents=markup.contents(parts),
    sections="".join(markup.part(*part) for part in parts),
  )
  return markup.document(title, body, style=_read("page.css"))


def _read(name: str) -> str:
  return (_FOLDER / name).read_text(encoding="utf-8")


def _verdict(findings: Findings) -> str:
  """The verdict; with two prompts, what is said of each stands beside the other."""
  columns = [
    _heading(prompt, letter) + _paragraphs(of_prompt(findings, prompt))
    for letter, prompt in tables.lettered(findings)
  ]
  both = "" if len(columns) == 1 else _paragraphs([compared(findings)])
  return _beside(columns) + both


def _paragraphs(sentences: list[str]) -> str:
  return "".join(f"<p>{markup.one_line(sentence)}</p>" for sentence in sentences)


def _beside(columns: list[str]) -> str:
  return f"<div class=beside>{''.join(f'<div>{column}</div>' for column in columns)}</div>"


def _tables(found: list[Table]) -> list[str]:
  return [markup.table(table) for table in found]


def _numbers(prompt: PromptFindings, letter: str) -> str:
  """The few numbers that tell most of a prompt."""
  known = [("readings agree", "mean F1 of pairs", mean_agreement(prompt.one_a_reader()))]
  first = prompt.said[0]
  known.append(("reads as told", f"F1 of {reader_name(first)}", first.prompt_f1))
  if prompt.scores is not None:
    known.append(("the prompt", "is right in, %", prompt.scores.accuracy))
    if first.scores is not None:
      known.append((reader_name(first), "as a text, %", first.scores.accuracy))
    known.append(("no prompt", "in its place, %", prompt.nothing.accuracy))
  cells = "".join(
    f"<div><dt>{markup.one_line(f'{letter}: {term}' if letter else term)}"
    f"<small>{markup.one_line(what)}</small></dt><dd>{percent(value)}</dd></div>"
    for term, what, value in known
    if value is not None
  )
  return f"<dl class=numbers>{cells}</dl>" if cells else ""


def _readings(findings: Findings) -> str:
  """Every reader's text; with two prompts, theirs stand beside each other."""
  columns = [
    _heading(prompt, letter) + _texts(findings, prompt) + _not_asked(prompt)
    for letter, prompt in tables.lettered(findings)
  ]
  caption = (
    "A reading is what one method makes of the vectors; it does not tell what the prompt does. "
    "Marked words are not in the text that it is to read as, or, where that is not known, not in "
    "the first reading."
  )
  return f"<p class=caption>{caption}</p>{_beside(columns)}"


def _heading(prompt: PromptFindings, letter: str) -> str:
  return f"<h3>{letter}: <bdi>{markup.one_line(prompt.name)}</bdi></h3>" if letter else ""


def _texts(findings: Findings, prompt: PromptFindings) -> str:
  lines, reference = [], prompt.reads_as
  if reference is not None:
    lines.append(f"<dt>is to read as</dt><dd><bdi>{markup.one_line(reference)}</bdi></dd>")
  else:
    reference = prompt.said[0].text
  for name, said in tables.named(findings, prompt):
    scored = f"<small>{markup.one_line(tables.scored(said))}</small>" if tables.scored(said) else ""
    lines.append(
      f"<dt>{markup.one_line(name)}</dt><dd><bdi>{_marked(reference, said)}</bdi>{scored}</dd>"
    )
  return f"<dl class=texts>{''.join(lines)}</dl>"


def _marked(reference: str, said: Said) -> str:
  """A reading, in which the words are marked that another text lacks there."""
  words = [
    f"<mark>{markup.one_line(word)}</mark>" if differs else markup.one_line(word)
    for word, differs in differences(reference, said.text)[1]
  ]
  return " ".join(words) or UNKNOWN


def _not_asked(prompt: PromptFindings) -> str:
  if not prompt.not_asked:
    return ""
  reasons = "; ".join(f"{name}: {why}" for name, why in prompt.not_asked.items())
  return f"<p class=caption>Not asked: {markup.one_line(reasons)}.</p>"


def _possible(findings: Findings) -> list[str]:
  """The table of other texts, or why there is none."""
  found = tables.possible(findings)
  if found.lines:
    return [markup.table(found)]
  return [f"<p class=caption>{markup.one_line(found.caption)}</p>"]
