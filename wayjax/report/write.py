"""A report -> its files."""

from wayjax.errors import in_one_sentence
from wayjax.report import latex, page, tables
from wayjax.report.content import Report
from wayjax.results.markdown import code_block, escape_markdown
from wayjax.results.storage import open_files


def write_report(report: Report, out: str) -> str:
  """Writes a report's files: `index.html`, `report.md`, `.tex`, `.svg` and `.png`.

  Args:
    report: the report.
    out: a folder, or gs://BUCKET/FOLDER; files of an earlier report are replaced.

  Returns:
    The path of the page.

  Raises:
    WayjaxError: the folder cannot be written to.
  """
  files = open_files(out)
  with in_one_sentence(f"--out {out} cannot be written to"):
    files.make()
  for table in report.tables:
    files.replace(f"{table.name}.tex", latex.to_latex(table).encode())
  for figure in report.figures:
    files.replace(f"{figure.name}.svg", figure.svg.encode())
    files.replace(f"{figure.name}.png", figure.png)
  files.replace("report.md", to_markdown(report).encode())
  files.replace("index.html", page.render(report).encode())
  return files.locate("index.html")


def to_markdown(report: Report) -> str:
  """A report as Markdown; its figures are files beside it."""
  parts = [f"# {escape_markdown(report.title)}\n"]
  facts = [f"- {term}: {escape_markdown(value)}\n" for term, value in report.facts]
  parts.append("".join(facts))
  parts += map(tables.to_markdown, report.tables)
  for figure in report.figures:
    title = escape_markdown(figure.title)
    parts.append(f"## {title}\n\n![{title}]({figure.name}.png)\n")
    parts.append(escape_markdown(figure.caption) + "\n")
    if figure.command:
      parts.append(f"{code_block(figure.command)}\n")
  return "\n".join(parts)
