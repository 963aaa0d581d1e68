"""A report's files."""

import pytest
import reports

from wayjax.errors import WayjaxError
from wayjax.report.write import to_markdown, write_report


def test_all_files_are_written_and_replaced(tmp_path):
  report = reports.report(reports.entry())
  for _ in range(2):
    page = write_report(report, str(tmp_path / "a" / "b"))
  assert page == str(tmp_path / "a" / "b" / "index.html")
  assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {
    "index.html", "report.md", "text.tex", "text.svg", "text.png",
  }  # fmt: skip
  assert (tmp_path / "a" / "b" / "text.svg").read_text() == reports.SVG


def test_markdown_holds_facts_tables_and_figures_with_their_commands():
  text = to_markdown(reports.report(text="a_b"))
  assert text.startswith("# a\\_b\n\n- a_b: a\\_b\n\n## a\\_b\n\n| a\\_b | number |")
  assert "## a\\_b\n\n![a\\_b](a_b.png)\n\na\\_b\n\n```\na_b\n```\n" in text


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(WayjaxError, match=r"--out .*file is a file: name a folder"):
    write_report(reports.report(), str(tmp_path / "file"))
  with pytest.raises(WayjaxError, match=r"--out .* cannot be written to: embedded null byte"):
    write_report(reports.report(), "a\0b")
