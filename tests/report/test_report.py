"""The command python -m wayjax.report."""

from reports import row, write_run

from wayjax.report import main


def test_the_command_line_writes_all_files(tmp_path, capsys):
  folder = write_run(tmp_path / "run", [row("a", gamma) for gamma in (0.0, 0.001, 0.01)])
  assert main([folder]) == 0
  out = capsys.readouterr().out
  assert f"the report is in {folder}/report/index.html" in out
  names = {path.name for path in (tmp_path / "run" / "report").iterdir()}
  assert names == {
    "index.html", "report.md", "fig3.svg", "fig3.png", "table2.tex", "table3.tex", "targets.tex",
  }  # fmt: skip
  assert "\n\n## Table 2: " in (tmp_path / "run" / "report" / "report.md").read_text()
  assert main([folder, "--out", str(tmp_path / "again")]) == 0
  for path in (tmp_path / "again").iterdir():
    assert path.read_bytes() == (tmp_path / "run" / "report" / path.name).read_bytes()


def test_what_is_wrong_is_one_sentence(tmp_path, capsys):
  folder = write_run(tmp_path / "run", [row("a")])
  assert main([str(tmp_path / "nothing")]) == 2
  assert "is not a run folder and holds none" in capsys.readouterr().err
  (tmp_path / "file").touch()
  assert main([folder, "--out", str(tmp_path / "file")]) == 2
  assert "cannot be written to" in capsys.readouterr().err
  (tmp_path / "run" / "toy.measured.json").write_text('{"command": "", "table": {}}')
  assert main([folder]) == 2
  err = capsys.readouterr().err
  assert err == "wayjax: error: toy.measured.json is damaged: it lacks 'lines'\n"
