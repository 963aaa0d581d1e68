"""Hand-made findings."""

import dataclasses

from wayjax.audit.findings import (
  Comparison,
  Findings,
  Position,
  Possible,
  PromptFindings,
  Said,
  Scale,
  Scores,
  TaskFacts,
)

SCALE = Scale(tokens=50, norm=2.0, nearest_squared=4.4, drawn=9)
TASK = TaskFacts(name="sst2", split="test", rows=200, of=872, majority=0.51)


def scores(accuracy: float) -> Scores:
  return Scores(
    accuracy=accuracy, macro_f1=accuracy / 2, faithfulness=0.25, kl=0.125, agreement=0.75
  )


def said(reader: str, text: str, accuracy: float | None = None, **fields) -> Said:
  """A reading; of nearest tokens the Euclidean one."""
  metric = "euclidean" if reader == "nearest" else None
  tried = None if accuracy is None else scores(accuracy)
  return Said(**{"reader": reader, "text": text, "metric": metric, "scores": tried, **fields})


def position(token=" a", target=None) -> Position:
  return Position(
    token=token,
    distance=0.5,
    margin=0.25,
    margin_relative=1.5,
    wall=" b",
    norm=3.0,
    norm_percentile=62.5,
    target=target,
  )


def possible(text: str, c_dist: float | None, moved=2) -> Possible:
  return Possible(text=text, c_dist=c_dist, c_dist_to_text=9.0, moved=moved)


def prompt(*readings: Said, accuracy=None, nothing=0.5, name="p", **fields) -> PromptFindings:
  """A prompt of two vectors; with an accuracy, one that was tried on a task."""
  tried = {} if accuracy is None else {"scores": scores(accuracy), "nothing": scores(nothing)}
  common = {
    "name": name,
    "vectors": 2,
    "reads_as": None,
    "before": "",
    "after": "",
    "reply": "",
    "said": readings,
    "not_asked": {},
    "positions": (position(), position()),
  }
  return PromptFindings(**{**common, **tried, **fields})


def findings(*prompts: PromptFindings, task=None, comparison=None) -> Findings:
  return Findings(model="m", scale=SCALE, prompts=prompts, task=task, comparison=comparison)


def several() -> Findings:
  """Two prompts with all that an audit may find."""
  one = prompt(
    said("nearest", "one two", 0.5, prompt_f1=1.0),
    said("nearest", "one too", 0.5, prompt_f1=0.5, metric="dot"),
    said("lens", "three", 0.9, prompt_f1=0.0, class_rate=0.5),
    accuracy=0.9,
    reads_as="one two",
    not_asked={"slow": "it is slow"},
    possible=(possible("other", 0.01), possible("text", 0.02)),
    other_length=3,
    impossible={"never": "it has a twin"},
    positions=(position(target=" a"), position(target=" z")),
    before="<s>",
  )
  other = dataclasses.replace(one, name="q", vectors=1, positions=one.positions[:1])
  return findings(one, other, task=TASK, comparison=Comparison(c_dist=None, same_tokens=None))
