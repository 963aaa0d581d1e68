"""Tables in the shape of the paper's, and how they are written as Markdown and LaTeX."""

import re

from wayjax.report import paper
from wayjax.report.content import Table
from wayjax.report.gather import MODEL, Results, labels
from wayjax.report.statistics import Estimate, choose_gamma, estimate
from wayjax.results.summary import UNKNOWN, best, escape_markdown, percent, target_of, visible

EXAMPLES = 2  # of each task
MOST_TARGETS = 40  # lines of a table by target; more are for the explorer
MEANS = (
  "Means over targets of means over seeds, in per cent, with 95 % bootstrap intervals that "
  "resample targets. Δ̂ is the relative accuracy drop from γ = 0 over the seeds that have both, of "
  "each target and then averaged."
)


def main_gammas(lines: list[dict]) -> list[float]:
  """The paper's gamma where there is one of it, else every gamma above 0."""
  gammas = sorted({line["gamma"] for line in lines if line["gamma"] > 0})
  return [paper.GAMMA] if paper.GAMMA in gammas else gammas


def of_gamma(lines: list[dict], gamma: float) -> list[dict]:
  """The lines of one gamma, those that have an unconstrained prompt beside them if any has."""
  own = [line for line in lines if line["gamma"] == gamma]
  return [line for line in own if line["delta"] is not None] or own


def numbers(lines: list[dict], *names: str) -> list[Estimate | None]:
  """The estimates of some of the lines' numbers."""
  return [estimate([line[name] for line in lines]) for name in names]


def main_results(results: list[Results]) -> Table:
  """Table 2: tasks, of which any text can be read."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    f1, drop = paper.TABLE_2.get(found.setting["dataset"], (None, None))
    for gamma in main_gammas(found.lines):
      own = of_gamma(found.lines, gamma)
      zero, tuned, delta, f1_0, f1_g = numbers(own, "accuracy_0", "accuracy", "delta", "f1_0", "f1")
      table.append(
        (task, str(len(own)), f"{gamma:g}", *map(_mean, (zero, tuned)), _interval(delta))
        + (percent(drop), _mean(f1_0), _interval(f1_g), percent(f1))
      )
  caption = f'{MEANS} "Paper" is {paper.MODEL} on 62 targets, three seeds, γ = {paper.GAMMA:g}.'
  columns = ("task", "targets", "γ", "acc. γ=0", "acc. γ", "Δ̂ %", "paper's Δ̂ %", "F1 γ=0", "F1 γ")
  return Table("table2", "Table 2: main results", caption, (*columns, "paper's F1"), tuple(table))


def examples(results: list[Results]) -> Table:
  """Table 3: what prompts solve, and what they read as."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for row in best(found.rows)[:EXAMPLES]:
      scores = (row["accuracy_0"], row["accuracy"], row["prompt_f1"])
      texts = (row["target_text"], row["projected_text"])
      table.append((task, *texts, f"{row['gamma']:g}", *map(percent, scores)))
  return Table(
    "table3",
    "Table 3: examples",
    "The most accurate prompts with γ above 0, of different targets: the text that a prompt was to "
    "read as, what it reads as, and its accuracy and prompt F1 in per cent.",
    ("task", "target", "reads as", "γ", "acc. γ=0", "acc. γ", "F1 γ"),
    tuple(table),
  )


def true_descriptions(results: list[Results]) -> Table:
  """Table 4: prompts that read as a description of the task that they solve."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for line in found.lines:
      if line["gamma"] in main_gammas(found.lines):
        scores = ("text_accuracy", "accuracy_0", "accuracy", "delta", "f1")
        numbers_of = (percent(line[name]) for name in scores)
        table.append((task, line["target"], f"{line['gamma']:g}", *numbers_of))
  return Table(
    "table4",
    "Table 4: true descriptions",
    'Prompts that read as a description of their own task, means over seeds in per cent. "As text" '
    "is the description itself as the prompt, before any step.",
    ("task", "description", "γ", "acc. as text", "acc. γ=0", "acc. γ", "Δ̂ %", "F1 γ"),
    tuple(table),
  )


def comparison(pairs: list[tuple[Results, Results]]) -> Table:
  """Table 5: whether a true description is found more easily than any other text.

  Args:
    pairs: of each setting the rows of true descriptions, and of other texts.
  """
  table = []
  for task, pair in zip(labels([one for one, _ in pairs]), pairs, strict=True):
    for name, found in zip(("true description", "any text"), pair, strict=True):
      for gamma in main_gammas(found.lines):
        own = of_gamma(found.lines, gamma)
        scores = map(_interval, numbers(own, "accuracy", "delta", "f1"))
        table.append((task, name, f"{gamma:g}", str(len(own)), *scores))
  return Table(
    "table5",
    "Table 5: true descriptions and other texts",
    MEANS,
    ("task", "reads as", "γ", "targets", "acc. γ", "Δ̂ %", "F1 γ"),
    tuple(table),
  )


def targets(results: list[Results]) -> Table:
  """Every target of the sweeps; without lines where they are too many to look at."""
  table = []
  for task, found in zip(labels(results), results, strict=True):
    for line in found.lines:
      scores = ("text_accuracy", "accuracy_0", "accuracy", "delta", "f1_0", "f1")
      table.append(
        (task, line["target"], f"{line['gamma']:g}")
        + (*(percent(line[name]) for name in scores), line["reads_as"])
      )
  if len(table) > MOST_TARGETS:
    table = []
  return Table(
    "targets",
    "By target",
    'Means over seeds in per cent. "As text" is the target itself as the prompt, before any step; '
    '"reads as" is the projection of one seed\'s prompt.',
    ("task", "target", "γ", "acc. as text", "acc. γ=0", "acc. γ", "Δ̂ %", "F1 γ=0", "F1 γ")
    + ("reads as",),
    tuple(table),
  )


def model_sizes(results: list[Results]) -> Table:
  """Figure 5's numbers: models, each target at the gamma that is chosen for it on dev."""
  table = []
  for task, found in zip(labels(results, but=MODEL), results, strict=True):
    lines = chosen_lines(found)
    delta, f1 = numbers(lines, "delta", "f1")
    gammas = sorted({line["gamma"] for line in lines})
    table.append(
      (found.setting["model"], task, f"{found.resolved['parameters']:,}")
      + (str(len(lines)), ", ".join(f"{gamma:g}" for gamma in gammas))
      + (_interval(delta), _interval(f1))
    )
  return Table(
    "fig5-numbers",
    "Model size",
    f"{MEANS} γ is chosen for each target on dev: the most accurate with F1 above 98 %, or else "
    "the most accurate.",
    ("model", "task", "parameters", "targets", "γ chosen", "Δ̂ %", "F1 γ"),
    tuple(table),
  )


def chosen_lines(found: Results) -> list[dict]:
  """Of every target the line of the gamma that is chosen on dev, among Figure 5's gammas.

  Returns:
    Lines of the targets that have several of them, and a dev accuracy.
  """
  lines_of: dict[tuple, list[dict]] = {}
  for line in found.lines:
    if line["gamma"] in paper.FIGURE_5_GAMMAS and line["dev_accuracy"] is not None:
      lines_of.setdefault(target_of(line), []).append(line)
  return [choose_gamma(lines) for lines in lines_of.values() if len(lines) > 1]


def tasks(measured: dict) -> Table:
  """Table 1: the tasks, from what `experiments.table1_tasks` measured."""
  return Table(
    "table1",
    "Table 1: tasks",
    "Templates, label words and rows. The last column is the share of the most frequent class in "
    "the test rows, in per cent.",
    ("task", "example", "template", "label words", "train", "dev", "test", "majority %"),
    tuple(
      (one["task"], one["example"], one["template"], ", ".join(one["label_words"]))
      + tuple(f"{one[split]:,}" for split in ("train", "dev", "test"))
      + (percent(one["majority"]),)
      for one in measured["tasks"]
    ),
    measured["command"],
  )


def _mean(found: Estimate | None) -> str:
  return UNKNOWN if found is None else percent(found.mean)


def _interval(found: Estimate | None) -> str:
  if found is None or found.targets < 2:
    return _mean(found)
  return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"


def to_markdown(table: Table) -> str:
  """A table as Markdown, its texts escaped."""
  head, *lines = [
    "| " + " | ".join(escape_markdown(visible(cell)) for cell in line) + " |"
    for line in (table.columns, *table.lines)
  ]
  rule = "| " + " | ".join("---" for _ in table.columns) + " |"
  parts = [f"## {table.title}", "\n".join([head, rule, *lines]), escape_markdown(table.caption)]
  if table.command:
    parts.append(code_block(table.command))
  return "\n\n".join(parts) + "\n"


def code_block(text: str) -> str:
  """A text as a code block of Markdown, which nothing in it can end."""
  fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
  return f"{fence}\n{text}\n{fence}"


_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "γ": r"$\gamma$",
  "⏎": r"\textbackslash{}n",
  "⇥": r"\textbackslash{}t",
  "Δ̂": r"$\hat\Delta$",
  UNKNOWN: "--",
}
_LATEX_CHARACTERS = re.compile("|".join(map(re.escape, sorted(_LATEX, key=len, reverse=True))))


def to_latex(table: Table) -> str:
  """A table as a LaTeX `table` with booktabs' rules, its texts escaped."""

  def line(cells):
    return "    " + " & ".join(map(_escape_latex, cells)) + r" \\"

  return "\n".join(
    [
      r"\begin{table}",
      r"  \centering",
      f"  \\begin{{tabular}}{{{'l' * len(table.columns)}}}",
      r"    \toprule",
      line(table.columns),
      r"    \midrule",
      *map(line, table.lines),
      r"    \bottomrule",
      r"  \end{tabular}",
      f"  \\caption{{{_escape_latex(table.caption)}}}",
      f"  \\label{{tab:{table.name}}}",
      r"\end{table}",
      "",
    ]
  )


def _escape_latex(text: str) -> str:
  return _LATEX_CHARACTERS.sub(lambda match: _LATEX[match[0]], visible(text))
