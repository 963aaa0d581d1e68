"""The verdict: a few plain sentences that say what was measured, and nothing else."""

import itertools
import math

from wayjax.audit.findings import Findings, PromptFindings, Said, TaskFacts
from wayjax.errors import shortened
from wayjax.metrics import prompt_f1
from wayjax.results.summary import percent
from wayjax.visible import visible

NEAREST = "nearest"
_AGREE, _DISAGREE = 0.8, 0.2  # mean pairwise prompt F1 from and to which it is called so
_LONGEST = 90  # characters of a text in a sentence
_ERRORS = 2  # standard errors that a difference of accuracies has to have to be called one


def verdict(findings: Findings) -> list[str]:
  """What was found, in words.

  Args:
    findings: what was found.

  Returns:
    Sentences, the most important first; those on one of two prompts begin with its letter.
  """
  if len(findings.prompts) == 1:
    return of_prompt(findings, findings.prompts[0])
  return [
    *(
      f"{letter}: {sentence}"
      for letter, prompt in zip("AB", findings.prompts)
      for sentence in of_prompt(findings, prompt)
    ),
    compared(findings),
  ]


def of_prompt(findings: Findings, prompt: PromptFindings) -> list[str]:
  """The sentences on one of the prompts, the most important first."""
  return [
    f"{_agreement(prompt)}, and {_worth(prompt, findings.task)}.",
    *_readings(prompt),
    *(_on_task(prompt, findings.task) if findings.task else []),
    *_elsewhere(prompt, findings),
  ]


def quoted(text: str) -> str:
  """A text in a sentence."""
  return f"“{shortened(visible(text.strip()), _LONGEST)}”"


def reader_name(said: Said) -> str:
  """What a sentence or a table calls a reader."""
  if said.reader != NEAREST:
    return said.reader.replace("_", " ")
  return {"euclidean": "nearest tokens", "dot": "nearest by dot product"}.get(
    said.metric, f"nearest by {said.metric}"
  )


def _agreement(prompt: PromptFindings) -> str:
  readings = prompt.one_a_reader()
  if len(readings) < 2:
    return "Only one reader was asked, so that nothing confirms or contradicts what it says"
  agreement = mean_agreement(readings)
  if agreement is None:
    return "The readings have no words"
  how = "agree" if agreement >= _AGREE else "agree in part"
  how = "disagree" if agreement <= _DISAGREE else how
  return f"The readings {how} (mean pairwise prompt F1 {100 * agreement:.0f})"


def _worth(prompt: PromptFindings, task: TaskFacts | None) -> str:
  """What is known of whether the readings tell what the prompt does."""
  if task is None:
    return "nothing is known about what the prompt does, as no task was given"
  soft, none, rows = prompt.scores.accuracy, prompt.nothing.accuracy, task.rows
  on = visible(task.name)
  if not _differ(soft, none, rows):
    return f"{_count(rows)} of {on} cannot tell the prompt from no prompt"
  best = _best(prompt)
  if best is None:
    return f"no reading fits the model together with the rows of {on}"
  if not _differ(soft, best.scores.accuracy, rows):
    return f"{_count(rows)} of {on} cannot tell the prompt from the text of {reader_name(best)}"
  if best.scores.accuracy > soft:
    return f"the text of {reader_name(best)} is more accurate on {on} than the prompt"
  fits = all(said.scores is not None for said in prompt.one_a_reader())
  which = "no reading" if fits else "no reading that fits the model with its rows"
  return f"{which}, as a plain text, is as accurate on {on} as the prompt"


def _best(prompt: PromptFindings) -> Said | None:
  """The reading that is the most accurate as a plain text, of those that were tried."""
  tried = [said for said in prompt.one_a_reader() if said.scores is not None]
  return max(tried, key=lambda said: said.scores.accuracy, default=None)


def _differ(one: float, other: float, rows: int) -> bool:
  """Whether two accuracies differ by two standard errors, as of independent draws."""
  error = math.sqrt((one * (1 - one) + other * (1 - other)) / rows)
  return abs(one - other) > _ERRORS * error


def _readings(prompt: PromptFindings) -> list[str]:
  readings = prompt.one_a_reader()
  clauses = [
    f"{reader_name(said)} say{'' if said.reader == NEAREST else 's'} {_words(said)}"
    for said in readings
  ]
  clauses[0] = clauses[0][0].upper() + clauses[0][1:]
  sentences = ["; ".join(clauses) + "."]
  return sentences if prompt.reads_as is None else [*sentences, _as_told(prompt, readings)]


def _words(said: Said) -> str:
  return quoted(said.text) if said.text.strip() else "nothing"


def _as_told(prompt: PromptFindings, readings: list[Said]) -> str:
  known = [
    f"{reader_name(said)} {100 * said.prompt_f1:.0f}"
    for said in readings
    if said.prompt_f1 is not None
  ]
  scored = f" (prompt F1: {', '.join(known)})" if known else ""
  return f"Its file says that it is to read as {quoted(prompt.reads_as)}{scored}."


def mean_agreement(readings: list[Said]) -> float | None:
  """Mean prompt F1 of the pairs of readings, a fraction; None without a pair that has words."""
  found = []
  for one, other in itertools.combinations([said.text for said in readings], 2):
    f1 = prompt_f1(one, other)
    f1 = prompt_f1(other, one) if f1 is None else f1  # undefined where the second has no words
    if f1 is not None:
      found.append(f1)
  return sum(found) / len(found) if found else None


def _on_task(prompt: PromptFindings, task: TaskFacts) -> list[str]:
  own, best = _own(prompt), _best(prompt)
  parts = [
    f"On {visible(task.name)} it is right in {percent(prompt.scores.accuracy)} % of "
    f"{_count(task.rows)}"
  ]
  if own is not None:
    parts.append(f"the text of its nearest tokens in {percent(own.scores.accuracy)} %")
  if best is not None and best is not own:
    parts.append(f"that of {reader_name(best)} in {percent(best.scores.accuracy)} %")
  parts.append(f"no prompt in {percent(prompt.nothing.accuracy)} %")
  parts.append(f"always the most frequent answer in {percent(task.majority)} %")
  return [", ".join(parts) + "."]


def _own(prompt: PromptFindings) -> Said | None:
  """The reading by nearest tokens, where it was tried."""
  of_nearest = [said for said in prompt.one_a_reader() if said.reader == NEAREST]
  return next((said for said in of_nearest if said.scores is not None), None)


def _count(rows: int) -> str:
  return "1 row" if rows == 1 else f"{rows:,} rows"


def _elsewhere(prompt: PromptFindings, findings: Findings) -> list[str]:
  others = [one for one in prompt.possible if one.moved and one.c_dist is not None]
  if not others:
    return []
  nearest, furthest, scale = others[0], others[-1], findings.scale.nearest_squared
  sentence = (
    f"It would read as {quoted(nearest.text)} if it were moved by a squared distance of at most "
    f"{nearest.c_dist:.3g} a token"
  )
  if len(others) > 1:
    sentence += (
      f", and as the furthest of {len(others)} other texts of its length by at most "
      f"{furthest.c_dist:.3g}"
    )
  if scale is not None:
    sentence += f"; that of a token's embedding to the nearest other is typically {scale:.3g}"
  return [sentence + "."]


def compared(findings: Findings) -> str:
  """The sentence on two prompts beside each other."""
  one, other = findings.prompts
  found = findings.comparison
  if found.same_tokens is None:
    sentence = (
      f"A and B have {one.vectors} and {other.vectors} vectors, so that there is no distance "
      "between them"
    )
  else:
    distance = "" if found.c_dist is None else f" and are a c-dist of {found.c_dist:.3g} apart"
    sentence = (
      f"A and B read as the same token at {found.same_tokens} of {one.vectors} positions{distance}"
    )
  if found.agreement is not None:
    sentence += f"; they predict the same for {percent(found.agreement)} % of the rows"
  return sentence + "."
