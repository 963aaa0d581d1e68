"""The page of an audit: all is on it, escaped, and nothing is loaded."""

import dataclasses
import hashlib
import html.parser
import json
import re
from base64 import b64encode

import pytest
import reports
from audit import made

from wayjax.audit import command, page, tables
from wayjax.audit.verdict import verdict
from wayjax.visible import visible

LONG = "x" * 300


class Parsed(html.parser.HTMLParser):
  """A page taken apart: its tags and attributes, and all texts."""

  def __init__(self, text: str):
    super().__init__()
    self.elements, self.texts = [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.texts.append(data.strip())


def hostile(text: str):
  """The findings of two prompts in which every text is another."""
  found = made.several()
  position = made.position(text, text + "y")
  prompts = tuple(
    dataclasses.replace(
      prompt,
      name=text,
      reads_as=told,
      before=text,
      after=text,
      said=tuple(dataclasses.replace(one, text=text) for one in prompt.said),
      not_asked={text: text},
      positions=(position,) * prompt.vectors,
      possible=(made.possible(text, 0.5),),
      impossible={text: text},
    )
    for told, prompt in zip((text, "so that all words differ"), found.prompts, strict=True)
  )
  task = dataclasses.replace(found.task, name=text)
  return dataclasses.replace(found, model=text, prompts=prompts, task=task)


def test_texts_cannot_become_markup():
  plain, evil = (page.render(hostile(text)) for text in ("plain", reports.HOSTILE))
  tags = [[tag for tag, _ in Parsed(text).elements if tag != "mark"] for text in (plain, evil)]
  assert tags[0] == tags[1]
  assert f"Audit of {visible(reports.HOSTILE)} and {visible(reports.HOSTILE)}" in Parsed(evil).texts
  assert "<script" not in evil
  assert evil.encode()  # no half of a surrogate pair is left


def test_nothing_is_loaded_and_only_its_own_style_counts():
  text = page.render(hostile(reports.HOSTILE))
  for tag, attributes in Parsed(text).elements:
    assert tag not in ("link", "script", "img", "iframe")
    assert not {"src", "style", "onclick"} & attributes.keys()
    assert attributes.get("href", "#").startswith("#")
  (policy,) = (a["content"] for t, a in Parsed(text).elements if "http-equiv" in a)
  style = re.search("<style>(.*)</style>", text, re.DOTALL)[1]
  digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
  assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy
  assert "$" not in page.render(made.several())


def test_the_parts_stand_in_the_order_of_their_weight():
  found = made.several()
  text = page.render(found)
  order = ["verdict", "readings", "positions", "possible", "task"]
  places = [text.index(f'id="{name}"') for name in order]
  assert places == sorted(places)
  said = Parsed(text).texts
  for sentence in verdict(found):
    assert sentence.removeprefix("A: ").removeprefix("B: ") in said


def test_without_a_task_no_part_is_empty():
  text = page.render(made.findings(made.prompt(made.said("nearest", "one"))))
  assert 'id="task"' not in text
  assert "No texts were given." in text
  assert "none given" in Parsed(text).texts


def test_readings_that_every_metric_shares_are_shown_once():
  metrics = [made.said("nearest", "one", metric=name) for name in ("euclidean", "dot", "cosine")]
  lens = made.said("lens", "two")
  found = made.findings(made.prompt(*metrics, lens))
  names = [name for name, _ in tables.named(found, found.prompts[0])]
  assert names == ["nearest tokens, by every metric", "lens"]
  metrics[1] = dataclasses.replace(metrics[1], text="other")
  pair = made.prompt(*metrics, lens), found.prompts[0]
  names = [name for name, _ in tables.named(made.findings(*pair), pair[1])]
  assert names == ["nearest tokens", "nearest by dot product", "nearest by cosine", "lens"]


def test_words_are_marked_that_differ_from_what_it_is_to_read_as():
  readings = made.said("nearest", "one too"), made.said("lens", "two one")
  told = made.findings(made.prompt(*readings, reads_as="one two"))
  assert "<bdi>one <mark>too</mark></bdi>" in page.render(told)
  found = made.findings(made.prompt(*readings))
  assert "<bdi><mark>two</mark> one</bdi>" in page.render(found)


def test_tables_have_every_prompt_beside_the_other():
  found = made.several()
  (positions,) = tables.positions(found)
  assert positions.columns[:4] == ("position", "A nearest token", "A is to read as", "A distance")
  assert positions.columns[9:11] == ("B nearest token", "B is to read as")
  assert positions.lines[0][:4] == ("1", "␣a", "✓", "0.500")
  assert positions.lines[1][2:9] == ("␣z", "0.500", "0.250", "1.50", "␣b", "3.00", "62.5")
  assert positions.lines[1][9:] == ("",) * 8  # the other has one vector
  possible = tables.possible(found)
  assert possible.columns[:3] == ("text", "A at most", "A vectors moved")
  assert possible.lines[0] == ("other", "0.0100", "2", "9.00", "0.0100", "2", "9.00")
  for part in ("upper bound", "nothing is retrained", "2 vectors", "3 texts", "it has a twin"):
    assert part in possible.caption
  (task,) = tables.on_task(found)
  assert [line[0] for line in task.lines][:3] == [
    "the prompt itself",
    "no prompt",
    "nearest tokens",
  ]
  assert task.lines[-1][:7] == ("lens", "90.0", "45.0", "0.250", "0.125", "75.0", "50.0")


def test_numbers_that_are_not_known_are_dashes():
  assert [tables.number(value) for value in (None, 0.0, 123.4, 1e9)] == [
    "–",
    "0.00",
    "123",
    "1.00e+09",
  ]
  far = dataclasses.replace(made.position(), distance=None, margin=None, wall=None, norm=None)
  found = made.findings(made.prompt(made.said("nearest", "a"), positions=(far,) * 2))
  assert tables.positions(found)[0].lines[0] == ("1", "␣a", "–", "–", "1.50", "–", "–", "62.5")


def test_json_holds_the_same_facts():
  found = hostile(reports.HOSTILE)
  stored = json.loads(command.to_json(found, verdict(found)))
  assert stored["verdict"] == verdict(found)
  assert stored["prompts"][0]["said"][0]["text"] == reports.HOSTILE
  plain = json.loads(json.dumps(dataclasses.asdict(found)))
  assert {name: stored[name] for name in plain} == plain


def test_a_terminal_sees_one_line_of_each_text():
  text = command.to_text(hostile(reports.HOSTILE), ["a sentence"])
  assert text.isprintable() or all(line.isprintable() for line in text.split("\n"))
  assert text.splitlines()[-1] == "a sentence"
  assert max(map(len, command.to_text(made.several(), []).splitlines())) <= 100


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_widens_the_page(driver, tmp_path, width):
  for name, found in (("plain", made.several()), ("evil", hostile(LONG + reports.HOSTILE))):
    path = tmp_path / f"{name}.html"
    path.write_text(page.render(found), encoding="utf-8")
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(path.as_uri())
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert driver.execute_script(f"return {wider}") <= 0
    # What is wider than the window scrolls in its own box.
    assert driver.execute_script(
      "return [...document.querySelectorAll('table')].every((t) => t.closest('.scroll'))"
    )
    assert driver.get_log("browser") == []
