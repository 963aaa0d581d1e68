"""The command python -m wayjax.report."""

import json
import re

import disks
import pytest
from reports import row, write_run

from wayjax.report import main
from wayjax.results.folder import read_run


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
  assert "is a file: name a folder" in capsys.readouterr().err
  (tmp_path / "run" / "toy.measured.json").write_text('{"command": "", "table": {}}')
  assert main([folder]) == 2
  err = capsys.readouterr().err
  assert err == "wayjax: error: toy.measured.json is damaged: it lacks 'lines'\n"


@pytest.mark.parametrize("closed", [".", "run"])
def test_what_may_not_be_read_is_named_and_not_left_out(closed, tmp_path, capsys):
  folders = [write_run(tmp_path / name, [row(name)]) for name in ("run", "other")]
  with disks.mode(tmp_path / closed, 0), disks.as_nobody():
    for given in ([str(tmp_path)], folders, [f"{folders[0]}/nothing"]):
      assert main(given) == 2
      assert re.fullmatch(
        f"wayjax: error: {tmp_path}.* cannot be read.*Permission denied.*\n",
        capsys.readouterr().err,
      )


def test_a_name_that_no_folder_can_have_is_a_sentence(capsys):
  for name, why in (("a" * 300, "File name too long"), ("a\0b", "embedded null byte")):
    assert main([name]) == 2
    assert capsys.readouterr().err.endswith(f" cannot be read: {why}\n")


UNSEEN = "\x1b[31m\x07\x9b\x7f\u202e\u2066\u200b\u2028"


def unseen_in(text: str) -> set[str]:
  return {char for char in text if not char.isprintable()} - {"\n"}


def test_nothing_unseen_reaches_a_reader_and_data_stay_exact(tmp_path, capsys):
  names = {
    "dataset": f"task{UNSEEN}",
    "model": f"m{UNSEEN}",
    "target_text": f"say{UNSEEN}",
    "projected_text": f"read{UNSEEN}",
  }
  rows = [row(f"a{UNSEEN}", gamma, **names) for gamma in (0.0, 0.001, 0.01)]
  rows.append(row("lost", 0.01, status="diverged", **names))
  resolved = {"parameters": 1, "majority": 0.5, "device": f"d{UNSEEN}", "versions": {"x": UNSEEN}}
  folder = write_run(tmp_path / "run", rows, resolved=resolved, target=[f"say{UNSEEN}"])
  assert main([folder]) == 0
  assert unseen_in(capsys.readouterr().out) == set()
  written = {path.name: path for path in (tmp_path / "run" / "report").iterdir()}
  for name in ("report.md", "index.html", "table2.tex", "targets.tex", "fig3.svg"):
    text = written[name].read_text(encoding="utf-8")
    assert unseen_in(text) == set(), name
    assert r"\x1b" in text or "textbackslash{}x1b" in text or r"\u001b" in text, name
  data = json.loads(
    re.search(r"<script[^>]*>(\{.*?)</script>", written["index.html"].read_text())[1]
  )
  assert data["entries"][0]["row"]["target_text"] == f"say{UNSEEN}"
  assert read_run(folder).rows[0]["projected_text"] == f"read{UNSEEN}"
