"""The page holds everything, escaped, and loads nothing."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import math
import re
import shutil
import subprocess

import pytest
import reports

from wayjax.report import page as module
from wayjax.report.content import Report
from wayjax.report.page import render
from wayjax.results.rows import Row
from wayjax.visible import visible


class Parsed(html.parser.HTMLParser):
  """A page taken apart: its elements with their attributes, and their texts by tag."""

  def __init__(self, page: str):
    super().__init__()
    self.elements, self.texts, self._open = [], {}, []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    self._open.append(tag)
    self.texts.setdefault(tag, []).append("")

  def handle_endtag(self, tag):
    while self._open and self._open.pop() != tag:
      pass

  def handle_data(self, data):
    if self._open:
      self.texts[self._open[-1]][-1] += data


def data_of(page: str) -> dict:
  return json.loads(Parsed(page).texts["script"][0])


def test_texts_cannot_become_markup():
  entry = reports.certified(reports.entry())
  plain = render(reports.report(entry))
  evil = render(reports.report(reports.hostile(entry), text=reports.HOSTILE))
  tags = [[tag for tag, _ in Parsed(page).elements] for page in (plain, evil)]
  assert tags[0] == tags[1]
  shown = visible(reports.HOSTILE)
  texts = Parsed(evil).texts
  assert {texts[tag][0] for tag in ("title", "dt", "dd", "h3", "td")} == {shown}
  assert texts["code"][0] == shown.replace("⏎", "\n")
  assert evil.encode()  # no half of a surrogate pair is left


def test_data_come_through_whole():
  entries = reports.entry(), reports.hostile(reports.entry(seed=10, changes={1: " bus"}))
  data = data_of(render(reports.report(*entries)))
  for entry, shown in zip(entries, data["entries"], strict=True):
    text = data["texts"].__getitem__
    assert shown["row"].items() <= (entry.setting | entry.row).items()
    assert shown["row"].keys() >= set(data["settings"])
    assert tuple(map(text, shown["target"])) == entry.target_tokens
    nearest = tuple(tuple((text(i), d) for i, d in tokens) for tokens in shown["nearest"])
    assert nearest == entry.nearest
    assert shown["curve"]["step"] == [10, 20]
    assert shown["curve"]["dev_accuracy"] == [None, 0.5]


def test_walls_come_through_whole_and_runs_without_them_have_none():
  held = reports.certified(reports.entry())
  entries = held, reports.hostile(held), reports.entry(), reports.old(held)
  data = data_of(render(reports.report(*entries)))
  for entry, shown in zip(entries[:2], data["entries"], strict=False):
    walls = [(None if i is None else data["texts"][i], *rest) for i, *rest in shown["walls"]]
    assert tuple(walls) == entry.walls
    assert shown["row"]["certified"] is True
  assert [shown["walls"] for shown in data["entries"][2:]] == [[], []]
  assert data["entries"][3]["row"]["certified"] is None
  beyond = dataclasses.replace(held, walls=((" a", math.inf, math.nan),))
  [shown] = data_of(render(reports.report(beyond)))["entries"]
  assert shown["walls"][0][1:] == [None, None]


def test_numbers_that_json_lacks_are_null():
  entry = reports.entry(c_dist=math.nan, accuracy=math.inf)
  entry.curve[0]["cross_entropy"] = math.nan
  shown = data_of(render(reports.report(entry)))["entries"][0]
  assert (shown["row"]["c_dist"], shown["row"]["accuracy"]) == (None, None)
  assert shown["curve"]["cross_entropy"] == [None, 1.0]


def test_nothing_is_loaded():
  page = render(reports.report(reports.entry()))
  parsed = Parsed(page)
  targets = [attrs[k] for _, attrs in parsed.elements for k in ("src", "href") if k in attrs]
  assert targets
  assert all(re.match("#|data:", target) for target in targets)
  [style] = parsed.texts["style"]
  assert not re.search(r"url\(|@import|@font-face", style)
  [policy] = [attrs["content"] for _, attrs in parsed.elements if "http-equiv" in attrs]
  assert policy.startswith("default-src 'none';")
  for source in (style, parsed.texts["script"][1]):
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_figures_are_images_so_their_ids_cannot_meet():
  page = render(reports.report())
  [image] = [attrs for tag, attrs in Parsed(page).elements if tag == "img"]
  kind, data = image["src"].split(",")
  assert (kind, base64.b64decode(data).decode()) == ("data:image/svg+xml;base64", reports.SVG)
  assert "clip" not in page.replace(image["src"], "").split("</style>")[1].split("<script")[0]


def test_only_columns_of_numbers_are_set_right():
  cells = [a.get("class") for tag, a in Parsed(render(reports.report())).elements if tag == "td"]
  assert cells == [None, "number", None, "number"]


def test_an_empty_report():
  parsed = Parsed(render(Report("nothing", (), (), (), ())))
  assert parsed.texts["title"] == ["nothing"]
  assert not {"dl", "img", "td"} & set(parsed.texts)
  data = json.loads(parsed.texts["script"][0])
  assert (data["entries"], data["texts"]) == ([], [])


def test_an_entry_of_an_old_run_is_compared_by_words():
  entry = reports.old(reports.entry(projected_text="The bus leaves\n"))
  [shown] = data_of(render(reports.report(entry)))["entries"]
  assert shown["words"] == [
    [["The", False], ["train", True], ["leaves", False]],
    [["The", False], ["bus", True], ["leaves", False]],
  ]
  assert shown["row"]["accuracy"] is None


def test_all_of_a_row_is_shown_but_what_is_left_out():
  [shown] = data_of(render(reports.report(reports.entry())))["entries"]
  hidden = {"prompt_key", "prompt_tokens", "readings", "train_loss", "wall_seconds"}
  fields = {field.name for field in dataclasses.fields(Row)}
  assert shown["row"].keys() == fields - hidden | set(reports.SETTING)


def test_a_setting_that_only_the_configuration_holds_is_shown(monkeypatch):
  names = ["model", "made_up", "batch_size"]
  monkeypatch.setattr("wayjax.report.page.setting_names", lambda: names)
  entry = dataclasses.replace(reports.entry(), setting={"made_up": 4})
  data = data_of(render(reports.report(entry, reports.old(reports.entry()))))
  assert data["settings"] == ["model", "made_up"]
  assert [shown["row"]["made_up"] for shown in data["entries"]] == [4, None]
  assert "batch_size" not in data["entries"][0]["row"]


def test_every_entry_has_a_link_of_its_own():
  entries = [reports.entry(), reports.entry(), reports.hostile(reports.entry())]
  first, second, evil = (e["anchor"] for e in data_of(render(reports.report(*entries)))["entries"])
  assert first == "m/trec/text/t1/gamma=0.01/seed=1"
  assert second == first + "~2"
  assert re.fullmatch(r"[\w/=.~%-]+", evil, re.ASCII)


@pytest.mark.parametrize("is_demo", [True, False])
def test_the_demo_is_called_so_at_the_title(is_demo):
  page = render(reports.report(reports.entry(), reports.entry(demo=is_demo)))
  assert ("demo" in Parsed(page).texts.get("span", [])) == is_demo


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_names_on_the_page_show_what_cannot_be_seen():
  script = (
    module._read("page.entry.js")
    + """
    const names = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const shown = names.map((name) => targetName({ target_group: name, target_name: "n" }));
    console.log(JSON.stringify(shown.concat(names.map(plain))));
  """
  )
  names = ["a\x1b[31m\x9bb", "a\u202eb", "\u200b\u3164", "é 漢字 👩‍👩‍👧 ❤️"]
  done = subprocess.run(
    ["node", "-e", script], input=json.dumps(names), capture_output=True, text=True, check=True
  )
  shown = ["aU+001B[31mU+009Bb", "aU+202Eb", "U+200BU+3164", "é 漢字 👩‍👩‍👧 ❤️"]
  assert json.loads(done.stdout) == [f"{name}/n" for name in shown] + shown


def test_a_table_may_have_no_lines():
  report = reports.report()
  (table,) = report.tables
  page = render(dataclasses.replace(report, tables=(dataclasses.replace(table, lines=()),)))
  assert Parsed(page).texts["th"] == ["text", "number"]
