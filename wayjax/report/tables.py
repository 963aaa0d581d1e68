"""Tables in the shape of the paper's, and how they are written as Markdown."""

from wayjax.config import C_DIST
from wayjax.report import paper
from wayjax.report.content import Table
from wayjax.report.gather import MODEL, Results, labels
from wayjax.report.statistics import (
  Estimate,
  choose_gamma,
  estimate,
  interval_percent,
  mean_percent,
)
from wayjax.results.markdown import code_block, escape_markdown
from wayjax.results.rows import is_free
from wayjax.results.summary import (
  OF_CONSTRAINTS,
  UNKNOWN,
  best,
  explained,
  percent,
  target_of,
  variant_of,
)

EXAMPLES = 2  # of each task
MOST_TARGETS = 40  # lines of a table by target; more are for the explorer
MEANS = (
  "Means over targets of means over seeds, in per cent, with 95 % bootstrap intervals that "
  "resample targets. Δ̂ is the relative accuracy drop from the unconstrained prompt, γ=0, over the "
  "seeds that have both, of each target and then averaged."
)


def by_constraint(lines: list[dict]) -> dict[str, list[dict]]:
  """The lines of constrained prompts, by constraint."""
  found = {}
  for line in lines:
    if not is_free(line):
      found.setdefault(variant_of(line)[0], []).append(line)
  return found


def main_variants(lines: list[dict]) -> list[tuple[str, float]]:
  """The paper's gamma where its constraint has it, else every gamma; each with its constraint."""
  variants = []
  for constraint, own in by_constraint(lines).items():
    gammas = sorted({line["gamma"] for line in own})
    if constraint == C_DIST and paper.GAMMA in gammas:
      gammas = [paper.GAMMA]
    variants += [(constraint, gamma) for gamma in gammas]
  return variants


def of_variant(lines: list[dict], variant: tuple[str, float]) -> list[dict]:
  """The lines of one constraint and gamma, with an unconstrained prompt beside them if any has."""
  own = [line for line in lines if variant_of(line) == variant]
  return [line for line in own if line["delta"] is not None] or own


def numbers(lines: list[dict], *names: str) -> list[Estimate | None]:
  """The estimates of some of the lines' numbers."""
  return [estimate([line[name] for line in lines]) for name in names]


def main_results(results: list[Results]) -> Table:
  """Table 2: tasks, of which any text can be read."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for variant in main_variants(found.lines):
      of_paper = paper.TABLE_2 if variant[0] == C_DIST else {}
      f1, drop = of_paper.get(found.setting["dataset"], (None, None))
      own = of_variant(found.lines, variant)
      zero, tuned, delta, f1_0, f1_g = numbers(own, "accuracy_0", "accuracy", "delta", "f1_0", "f1")
      (tokens_0,) = numbers(own, "tokens_0")
      table.append(
        (
          task,
          str(len(own)),
          *_named(variant),
          *map(mean_percent, (zero, tuned)),
          interval_percent(delta),
        )
        + (percent(drop), mean_percent(f1_0), interval_percent(f1_g), percent(f1))
        + (mean_percent(tokens_0), *_exact(own))
      )
  return _table(
    "table2",
    "Table 2: main results",
    f'{MEANS} "Paper" is {paper.MODEL} on 62 targets, three seeds, γ = {paper.GAMMA:g}.',
    ("task", "targets", *_VARIANT, "acc. γ=0", "acc. γ", "Δ̂ %", "paper's Δ̂ %", "F1 γ=0", "F1 γ")
    + ("paper's F1", "tokens γ=0", *_EXACTLY),
    table,
  )


def examples(results: list[Results]) -> Table:
  """Table 3: what prompts solve, and what they read as."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for constraint in by_constraint(found.lines):
      own = [row for row in found.rows if is_free(row) or variant_of(row)[0] == constraint]
      for row in best(own)[:EXAMPLES]:
        scores = (row["accuracy_0"], row["accuracy"], row["prompt_f1"], row.get("token_match"))
        texts = (row["target_text"], row["projected_text"])
        certified = _CERTIFIED[row.get("certified")]
        table.append((task, *texts, *_named(variant_of(row)), *map(percent, scores), certified))
  return _table(
    "table3",
    "Table 3: examples",
    "Under each constraint the most accurate prompts that are held to a text, of different "
    "targets: the text that a prompt was to read as, what it reads as, and its accuracy and prompt "
    "F1 in per cent.",
    ("task", "target", "reads as", *_VARIANT, "acc. γ=0", "acc. γ", "F1 γ", *_EXACTLY),
    table,
  )


def true_descriptions(results: list[Results]) -> Table:
  """Table 4: prompts whose target is a description of their own task."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for line in found.lines:
      if variant_of(line) in main_variants(found.lines):
        scores = ("text_accuracy", "accuracy_0", "accuracy", "delta", "f1", *_EXACT)
        numbers_of = (percent(line[name]) for name in scores)
        table.append((task, line["target"], *_named(variant_of(line)), *numbers_of))
  return _table(
    "table4",
    "Table 4: true descriptions",
    'Prompts whose target is a description of their own task, means over seeds in per cent. "As '
    'text" is the description itself as the prompt, before any step.',
    ("task", "description", *_VARIANT, "acc. as text", "acc. γ=0", "acc. γ", "Δ̂ %", "F1 γ")
    + _EXACTLY,
    table,
  )


def comparison(pairs: list[tuple[Results, Results]]) -> Table:
  """Table 5: whether a true description is found more easily than any other text.

  Args:
    pairs: of each setting the rows of true descriptions, and of other texts.
  """
  table = []
  for task, pair in zip(labels([described for described, _ in pairs]), pairs, strict=True):
    for name, found in zip(("true description", "any text"), pair, strict=True):
      for variant in main_variants(found.lines):
        own = of_variant(found.lines, variant)
        scores = map(interval_percent, numbers(own, "accuracy", "delta", "f1"))
        table.append((task, name, *_named(variant), str(len(own)), *scores, *_exact(own)))
  return _table(
    "table5",
    "Table 5: true descriptions and other texts",
    MEANS,
    ("task", "target", *_VARIANT, "targets", "acc. γ", "Δ̂ %", "F1 γ", *_EXACTLY),
    table,
  )


def targets(results: list[Results]) -> Table:
  """Every target of the sweeps; without lines where they are too many to look at."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for line in found.lines:
      scores = ("text_accuracy", "accuracy_0", "accuracy", "delta", "f1_0", "f1", "tokens_0")
      scores += _EXACT
      table.append(
        (task, line["target"], *_named(variant_of(line)))
        + (*(percent(line[name]) for name in scores), line["reads_as"])
      )
  return _table(
    "targets",
    "By target",
    'Means over seeds in per cent. "As text" is the target itself as the prompt, before any step; '
    '"reads as" is the projection of one seed\'s prompt.',
    ("task", "target", *_VARIANT, "acc. as text", "acc. γ=0", "acc. γ", "Δ̂ %", "F1 γ=0", "F1 γ")
    + ("tokens γ=0", *_EXACTLY, "reads as"),
    table if len(table) <= MOST_TARGETS else [],
  )


def model_sizes(results: list[Results]) -> Table:
  """Figure 5's numbers: models, each target at the gamma that is chosen for it on dev."""
  table = []
  for task, found in zip(labels(results, but=MODEL), results, strict=True):
    for constraint, lines in chosen_lines(found).items():
      scores = map(interval_percent, numbers(lines, "delta", "f1"))
      gammas = sorted({line["gamma"] for line in lines})
      table.append(
        (found.setting["model"], task, f"{found.resolved['parameters']:,}", str(len(lines)))
        + (constraint, ", ".join(f"{gamma:g}" for gamma in gammas), *scores, *_exact(lines))
      )
  return _table(
    "fig5-numbers",
    "Model size",
    f"{MEANS} γ is chosen for each target on dev: the most accurate with F1 above 98 %, or else "
    "the most accurate.",
    ("model", "task", "parameters", "targets", _CONSTRAINT, "γ chosen", "Δ̂ %", "F1 γ", *_EXACTLY),
    table,
  )


def chosen_lines(found: Results) -> dict[str, list[dict]]:
  """Of every target the line of the gamma that is chosen on dev, among Figure 5's gammas.

  Returns:
    By constraint, lines of the targets that have several of them, and a dev accuracy.
  """
  chosen = {}
  for constraint, lines in by_constraint(found.lines).items():
    lines_of: dict[tuple, list[dict]] = {}
    for line in lines:
      if line["gamma"] in paper.FIGURE_5_GAMMAS and line["dev_accuracy"] is not None:
        lines_of.setdefault(target_of(line), []).append(line)
    if several := [choose_gamma(own) for own in lines_of.values() if len(own) > 1]:
      chosen[constraint] = several
  return chosen


_CONSTRAINT, _CERTIFIES = OF_CONSTRAINTS
_VARIANT = (_CONSTRAINT, "γ")
# What stands beside F1: fields of lines, and their columns.
_EXACT, _EXACTLY = ("tokens", "certified"), ("tokens γ", _CERTIFIES)
_CERTIFIED = {True: "yes", False: "no", None: UNKNOWN}  # of a single prompt


def _named(variant: tuple[str, float]) -> tuple[str, str]:
  """A constraint and gamma as cells."""
  constraint, gamma = variant
  return constraint, f"{gamma:g}"


def _exact(lines: list[dict]) -> tuple[str, str]:
  """What stands beside F1 in means over targets."""
  tokens, certified = numbers(lines, *_EXACT)
  return mean_percent(tokens), mean_percent(certified)


def _table(
  name: str, title: str, caption: str, columns: tuple[str, ...], lines: list[tuple[str, ...]]
) -> Table:
  """A table, which tells constraints apart where there are others than the paper's."""
  constraints = {line[columns.index(_CONSTRAINT)] for line in lines}
  if constraints <= {C_DIST}:
    kept = [k for k, column in enumerate(columns) if column not in OF_CONSTRAINTS]
    columns, *lines = [tuple(cells[k] for k in kept) for cells in (columns, *lines)]
  return Table(name, title, f"{caption} {explained(constraints)}", columns, tuple(lines))


def to_markdown(table: Table) -> str:
  """A table as Markdown, its texts escaped."""
  head, *lines = [
    "| " + " | ".join(escape_markdown(cell) for cell in line) + " |"
    for line in (table.columns, *table.lines)
  ]
  rule = "| " + " | ".join("---" for _ in table.columns) + " |"
  title, caption = map(escape_markdown, (table.title, table.caption))
  parts = [f"## {title}", "\n".join([head, rule, *lines]), caption]
  if table.command:
    parts.append(code_block(table.command))
  return "\n\n".join(parts) + "\n"
