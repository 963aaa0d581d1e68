"""A table as LaTeX."""

import re

from wayjax.report.content import Table
from wayjax.results.summary import UNKNOWN
from wayjax.visible import visible

_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "γ": r"$\gamma$",
  "⏎": r"\textbackslash{}n",
  "⇥": r"\textbackslash{}t",
  "|": r"\textbar{}",
  "`": r"\textasciigrave{}",
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
  """A text on one line of LaTeX, in which none of it is markup."""
  # The end of the line before would take a bracket or a star for an argument of its own.
  escaped = _LATEX_CHARACTERS.sub(lambda match: _LATEX[match[0]], visible(text))
  return re.sub(r"^\s*(\[|\*)", r"{\1}", escaped)
