"""The closing table of a run: rows -> means over seeds, for the terminal and for summary.md."""

import collections
from collections.abc import Callable, Iterable

import numpy as np

from wayjax.config import C_DIST, UNCONSTRAINED
from wayjax.errors import WayjaxError, shortened
from wayjax.metrics import delta, finite
from wayjax.results.markdown import escape_markdown
from wayjax.results.rows import field_names, is_free
from wayjax.visible import visible

UNKNOWN = "–"  # in place of a number
OF_CONSTRAINTS = ("constraint", "certified")  # columns for others than the paper's
_TEXT_WIDTH = 60  # of a target or projected text in a table


def by_target(rows: list[dict]) -> list[dict]:
  """Means over seeds, a line for each target, constraint and gamma.

  Args:
    rows: rows of one setting; members that diverged are left out of every mean.

  Returns:
    Lines of `target`, its `group` and `name`, `constraint`, `gamma`, `accuracy`, `f1`, `tokens`
    (the mean of `token_match`), `c_dist`, the same of the unconstrained prompt as `accuracy_0`,
    `f1_0`, `tokens_0` and `c_dist_0`, `text_accuracy`, `delta`, `certified` (the share of prompts
    that are), `dev_accuracy` where rows have one, and `reads_as`. Fractions; None where a run has
    no such number.

  Raises:
    WayjaxError: rows of different settings, or different rows of the same member.
  """
  sound = _sound(rows)
  found = collections.defaultdict(lambda: collections.defaultdict(list))
  for row in sound:
    found[_target(row)][variant_of(row)].append(row)
  held = [variant_of(row) for row in sound if not is_free(row)]
  return [
    _line(by_variant[variant], by_variant.get(UNCONSTRAINED))
    for by_variant in found.values()
    for variant in _in_order(held) or [UNCONSTRAINED]
    if variant in by_variant
  ]


def _sound(rows: list[dict]) -> list[dict]:
  """The rows of members that did not diverge, each once; means are over nothing else."""
  sound = [row for row in rows if row["status"] == "done"]
  of_member: dict[tuple, dict] = {}
  for row in sound:
    for name in field_names("setting"):
      if row.get(name) != sound[0].get(name):
        raise WayjaxError(
          f"rows with {name} {sound[0].get(name)} and {row.get(name)} are never averaged: give "
          "those of one setting"
        )
    if of_member.setdefault((*_target(row), *variant_of(row), row["seed"]), row) != row:
      raise WayjaxError(f"there are two different rows of {row['prompt_key']}: give one of them")
  return list(of_member.values())


def variant_of(line: dict) -> tuple[str, float]:
  """The constraint and gamma of a row or a line."""
  return line.get("constraint", C_DIST), line["gamma"]


def _in_order(variants: list[tuple[str, float]]) -> list[tuple[str, float]]:
  """Each once: constraint by constraint as they come, gammas from small to large."""
  constraints = list(dict.fromkeys(constraint for constraint, _ in variants))
  return sorted(set(variants), key=lambda variant: (constraints.index(variant[0]), variant[1]))


def summarise(rows: list[dict]) -> list[dict]:
  """The lines of `by_target`, then the means over several targets, without a `target`."""
  lines = by_target(rows)
  if len(set(map(target_of, lines))) < 2:
    return lines
  return lines + [
    _over_targets([line for line in lines if variant_of(line) == variant])
    for variant in _in_order([variant_of(line) for line in lines])
  ]


def _target(row: dict) -> tuple[str, str, str]:
  """What tells targets apart: texts of the command line share their names between runs."""
  return row["target_group"], row["target_name"], row["target_text"]


def target_of(line: dict) -> tuple[str, str, str]:
  """The same of a line of `by_target`."""
  return line["group"], line["name"], line["target"]


def _over_targets(lines: list[dict]) -> dict:
  """The mean line of one constraint and gamma."""
  named = dict.fromkeys(("target", "group", "name", "reads_as"))
  named |= {key: lines[0][key] for key in ("constraint", "gamma")}
  numbers = [key for key in lines[0] if key not in named]
  return named | {key: _mean([line[key] for line in lines]) for key in numbers}


def _line(rows: list[dict], unconstrained: list[dict] | None) -> dict:
  of = {key: _mean([row.get(key) for row in rows]) for key in _AVERAGED}
  zero = {key: _mean([row.get(key) for row in unconstrained or []]) for key in _AVERAGED}
  constrained = not is_free(rows[0])
  return {
    "target": rows[0]["target_text"],
    "group": rows[0]["target_group"],
    "name": rows[0]["target_name"],
    "constraint": variant_of(rows[0])[0],
    "gamma": rows[0]["gamma"],
    "text_accuracy": of["text_accuracy"],
    "accuracy_0": zero["accuracy"],
    "accuracy": of["accuracy"] if constrained else None,
    "delta": _delta(rows, unconstrained or []) if constrained else None,
    "f1_0": zero["prompt_f1"],
    "f1": of["prompt_f1"] if constrained else None,
    "tokens_0": zero["token_match"],
    "tokens": of["token_match"] if constrained else None,
    "certified": of["certified"] if constrained else None,
    "c_dist_0": zero["c_dist"],
    "c_dist": of["c_dist"] if constrained else None,
    "dev_accuracy": of["dev_accuracy"],
    "reads_as": rows[0]["projected_text"],
  }


def _delta(rows: list[dict], unconstrained: list[dict]) -> float | None:
  """The drop of the means over those seeds that both have; None where it has no value."""
  seeds = {row["seed"] for row in rows} & {row["seed"] for row in unconstrained}
  means = [
    _mean([row["accuracy"] for row in of if row["seed"] in seeds]) for of in (unconstrained, rows)
  ]
  return finite(delta(*means)) if seeds else None


_AVERAGED = ("accuracy", "dev_accuracy", "text_accuracy", "prompt_f1", "token_match", "c_dist")
_AVERAGED += ("certified",)


def _mean(values) -> float | None:
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else None


def percent(value: float | None) -> str:
  """A fraction in per cent; a dash where there is none."""
  return UNKNOWN if value is None else f"{100 * value:.1f}"


def _plain(value: float | None) -> str:
  return UNKNOWN if value is None else f"{value:.2f}"


def _one_line(text: str | None) -> str:
  """A text on one line, cut to the table's width."""
  if text is None:
    return ""
  return shortened(visible(text), _TEXT_WIDTH)


# Heading -> (field, how it is written). F1 at gamma 0 is always beside that of the held prompt:
# a prompt that starts at the target may read as it without any help.
_COLUMNS: dict[str, tuple[str, Callable]] = {
  "target": ("target", lambda text: "mean over targets" if text is None else _one_line(text)),
  "constraint": ("constraint", _one_line),
  "γ": ("gamma", lambda gamma: f"{gamma:g}"),
  "acc. as text": ("text_accuracy", percent),
  "acc. γ=0": ("accuracy_0", percent),
  "acc. γ": ("accuracy", percent),
  "Δ̂ %": ("delta", percent),
  "F1 γ=0": ("f1_0", percent),
  "F1 γ": ("f1", percent),
  "tokens γ=0": ("tokens_0", percent),
  "tokens γ": ("tokens", percent),
  "certified": ("certified", percent),
  "c-dist γ=0": ("c_dist_0", _plain),
  "c-dist γ": ("c_dist", _plain),
  "reads as": ("reads_as", _one_line),
}


def headings(lines: list[dict]) -> list[str]:
  """The columns of a table of these lines; constraints are named where not all are the paper's."""
  named = any(line["constraint"] != C_DIST for line in lines)
  return [heading for heading in _COLUMNS if named or heading not in OF_CONSTRAINTS]


def cells(line: dict, columns: list[str]) -> list[str]:
  """One line of the table, as texts in the order of its columns."""
  return [write(line[field]) for field, write in map(_COLUMNS.get, columns)]


def caption(rows: list[dict], majority: float) -> str:
  """What the numbers of the table are."""
  first = rows[0]
  seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
  text = "Demo: " if is_demo(rows) else ""
  text += (
    f"{first['dataset']} ({first['split']}), {first['model']}, {first['steps']:,} steps: "
    f"accuracy and prompt F1 in per cent, means over seeds {seeds}. Always answering the most "
    f'frequent label scores {100 * majority:.1f}. "As text" is the target itself as the prompt, '
    "before any step. Δ̂ is the relative accuracy drop from the unconstrained prompt, γ=0. "
    f'{explained(variant_of(row)[0] for row in rows)} "Reads as" is the projection of one seed\'s '
    "prompt."
  )
  if first.get("macro_f1", 0) is None:
    text += " Accuracy is the share of answers that are right after normalisation."
  if diverged := [row["prompt_key"] for row in rows if row["status"] != "done"]:
    text += f" Left out of the means because they diverged: {', '.join(diverged)}."
  if without := without_f1(rows):
    text += f" Left out of the means of F1 because they have no words: {', '.join(without)}."
  return text


def explained(constraints: Iterable[str]) -> str:
  """What columns are in a table, wherever it stands, of prompts under these constraints."""
  text = (
    '"Tokens" is the share of positions, in per cent, that read as the target\'s token: prompt F1 '
    "ignores articles, case and punctuation."
  )
  if set(constraints) <= {C_DIST}:
    return text
  return text + (
    ' "γ=0" is the unconstrained prompt, "γ" the one that is held as the line says. "Certified" '
    "ones certainly read as their targets, token by token, also in the coarsest type that they may "
    "be stored in; of several prompts it is the share, in per cent."
  )


def without_f1(rows: list[dict]) -> list[str]:
  """The targets without words, whose prompt F1 is undefined; `token_match` tells how they read."""
  return list(dict.fromkeys(row["target_name"] for row in rows if row["prompt_f1"] is None))


def is_demo(rows: list[dict]) -> bool:
  """Whether the embedded model or the embedded rows took part in these rows."""
  return any(row.get("demo") for row in rows)


def best(rows: list[dict]) -> list[dict]:
  """The most accurate constrained prompt of each target, best first.

  Returns:
    Rows, each with `accuracy_0` besides: the accuracy of the unconstrained prompt of the same
    target and seed, or None.

  Raises:
    WayjaxError: rows of different settings, or different rows of the same member.
  """
  sound = _sound(rows)
  unconstrained = {(*_target(row), row["seed"]): row["accuracy"] for row in sound if is_free(row)}
  found = {}
  for row in sorted(sound, key=lambda row: row["accuracy"], reverse=True):
    if not is_free(row) and _target(row) not in found:
      accuracy_0 = unconstrained.get((*_target(row), row["seed"]))
      found[_target(row)] = row | {"accuracy_0": accuracy_0}
  return list(found.values())


# What counts as reading as a text, as about as accurate, and as solving a task.
_LEAST_F1, _MOST_DELTA, _LEAST_GAIN = 0.95, 0.03, 0.1


def shows_waywardness(rows: list[dict], majority: float) -> bool:
  """Whether the rows bear out, at one constraint and gamma, what the paper claims of any text.

  That is: the prompts read as every one of the targets (a prompt F1 of 95 % at least), are about as
  accurate as the unconstrained ones (a drop of 3 % at most), and solve the task: they are right
  10 percentage points more often than both the most frequent class and the targets as plain text.

  Args:
    rows: rows of one setting. Without unconstrained prompts among them nothing is shown.
    majority: accuracy of always answering the most frequent class.
  """
  lines = by_target(rows)
  targets = {_target(row) for row in rows}
  for variant in dict.fromkeys(map(variant_of, lines)):
    own = [line for line in lines if variant_of(line) == variant]
    read = {target_of(line) for line in own if (line["f1"] or 0) >= _LEAST_F1}
    if read == targets and all(line["delta"] is not None for line in own):
      mean = _over_targets(own)
      gain = mean["accuracy"] - max(majority, mean["text_accuracy"])
      if mean["delta"] <= _MOST_DELTA and gain >= _LEAST_GAIN:
        return True
  return False


def to_markdown(rows: list[dict], majority: float) -> str:
  """The closing table as Markdown; texts are escaped."""
  if not rows:
    return "No member has finished.\n"
  summary = summarise(rows)
  columns = headings(summary)
  table = [columns, ["---"] * len(columns), *(cells(line, columns) for line in summary)]
  lines = ["| " + " | ".join(escape_markdown(cell) for cell in line) + " |" for line in table]
  return "\n".join([*lines, "", escape_markdown(caption(rows, majority)), ""])
