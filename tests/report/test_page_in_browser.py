"""The page in a browser, opened from the disk."""

import dataclasses
import socket
from collections.abc import Callable

import pytest
import reports

from wayjax.report.page import render

waiting = pytest.importorskip("selenium.webdriver.support.wait")
pytestmark = pytest.mark.browser
ACCURACIES = (0.5, None, 0.75, 0.25)


class Opened:
  """An opened page."""

  def __init__(self, driver, url: str):
    self.driver, self.url = driver, url
    self.go()

  def go(self, anchor: str = "") -> None:
    self.driver.get("about:blank")  # another fragment alone would not load the page anew
    self.driver.get(self.url + anchor)

  def all(self, selector: str) -> list:
    return self.driver.find_elements("css selector", selector)

  def texts(self, selector: str) -> list[str]:
    # At once: between two calls the page may have replaced an element.
    return self.driver.execute_script(
      "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
    )

  def column(self, label: str) -> list[str]:
    return self.texts(f'#list td[data-label="{label}"]')

  def heading(self, label: str):
    return next(th for th in self.all("#list th") if th.text.startswith(label))

  def click(self, label: str) -> None:
    self.heading(label).find_element("tag name", "button").click()

  def choose(self, label: str, value: str) -> None:
    option = f"//label[starts-with(., '{label}')]/select/option[@value='{value}']"
    self.driver.find_element("xpath", option).click()

  def is_open(self) -> bool:
    return self.all("dialog")[0].get_property("open")

  def is_list(self) -> bool:
    return not self.is_open() and self.driver.current_url == self.url

  def until(self, condition: Callable[[], bool]) -> None:
    """Waits, since a page hears of a changed address after the click has returned."""
    waiting.WebDriverWait(self.driver, 30).until(lambda _: condition())

  def open(self, k: int = 0) -> None:
    self.all("#list a")[k].click()
    self.until(self.is_open)

  def resize(self, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

  def overflow(self) -> int:
    """Pixels by which the page, or an entry over it, is wider than its window."""
    return self.driver.execute_script(
      "return Math.max(...[document.documentElement, document.body,"
      " document.querySelector('dialog')].map((e) => e.scrollWidth - e.clientWidth))"
    )


@pytest.fixture
def show(driver, tmp_path):
  """Opens a page of some entries; nothing may be said on its console."""

  def open_page(*entries, **kwargs) -> Opened:
    path = tmp_path / "report.html"
    path.write_text(render(reports.report(*entries, **kwargs)), encoding="utf-8")
    return Opened(driver, path.as_uri())

  yield open_page
  assert driver.get_log("browser") == []
  driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def page(show):
  entries = [
    reports.entry("t1", 0.0, 1, accuracy=ACCURACIES[0], changes={1: " bus"}),
    reports.entry("t1", 0.01, 1, accuracy=ACCURACIES[1]),
    reports.entry("t2", 0.01, 10, accuracy=ACCURACIES[2], dataset="sst2", demo=True),
    reports.entry("t2", 1.0, 2, accuracy=ACCURACIES[3], model="other", status="diverged"),
  ]
  return show(*entries)


def test_headings_sort_and_what_is_unknown_comes_last(page):
  assert page.column("accuracy %") == ["50.0", "–", "75.0", "25.0"]
  page.click("accuracy")
  assert page.column("accuracy %") == ["75.0", "50.0", "25.0", "–"]
  assert page.heading("accuracy").get_attribute("aria-sort") == "descending"
  page.click("accuracy")
  assert page.column("accuracy %") == ["25.0", "50.0", "75.0", "–"]
  page.click("seed")
  assert page.column("seed") == ["1", "1", "2", "10"]
  assert page.heading("accuracy").get_attribute("aria-sort") is None


@pytest.mark.parametrize(
  ("label", "value", "accuracies"),
  [
    ("task", "sst2", ["75.0"]),
    ("model", "other", ["25.0"]),
    ("target", "text/t1", ["50.0", "–"]),
    ("γ", "0.01", ["–", "75.0"]),
  ],
)
def test_filters(page, label, value, accuracies):
  page.choose(label, value)
  assert page.column("accuracy %") == accuracies
  assert page.texts("#count") == [f"{len(accuracies)} of 4 prompts"]


def test_filters_and_search_hold_together(page):
  page.choose("target", "text/t1")
  page.all("#search")[0].send_keys("BUS")
  assert page.column("accuracy %") == ["50.0"]
  page.choose("γ", "1")
  assert page.texts("#count") == ["0 of 4 prompts"]


def test_enter_opens_an_entry_and_back_closes_it(page):
  page.all("#list a")[0].send_keys("\ue007")  # Enter
  page.until(page.is_open)
  assert page.driver.current_url.endswith("#m/trec/text/t1/gamma=0.0/seed=1")
  assert page.texts(".gloss .target") == ["target", "The", "␣train", "␣leaves", "⏎"]
  assert page.texts(".gloss .reading") == ["reads as", "The", "␣bus", "␣leaves", "⏎"]
  assert page.texts(".gloss .differs .reading") == ["␣bus"]
  [marked] = page.all(".gloss .differs .reading")
  assert "underline" in marked.value_of_css_property("text-decoration")
  assert page.texts(".numbers dd") == ["50.0", "50.0", "25.0", "30.0", "100.0", "–", "75.0", "2.00"]
  page.driver.back()
  page.until(page.is_list)


def test_closing_goes_back_to_the_list(page):
  page.open()
  page.all("#close")[0].click()
  page.until(page.is_list)
  page.driver.forward()
  page.until(page.is_open)


def test_an_entry_shows_nearest_tokens_curves_and_other_readings(page):
  page.all("#list tbody tr")[0].click()
  page.until(page.is_open)
  cells = page.texts(".nearest tbody tr:nth-child(2) > *")
  assert cells == ["2", "␣train", "␣bus 0.500", "␣other 1.50"]
  assert page.texts(".nearest tbody tr:nth-child(1) td")[1] == "✓ The 0.500"
  assert page.texts(".panels figcaption") == ["cross-entropy", "c-dist", "accuracy on dev, %"]
  points = [curve.get_attribute("points").split() for curve in page.all(".panels .curve")]
  assert [len(line) for line in points] == [2, 2, 1]
  [(x1, y1), (x2, y2)] = [map(float, point.split(",")) for point in points[0]]
  assert x1 < x2
  assert y1 < y2  # the cross-entropy falls, and y grows downwards
  assert page.all(".panels svg")[0].size["height"] > 100
  assert {"by dot", "by cosine"} <= set(page.texts(".texts dd"))


def test_settings_stand_in_phrases_and_unknown_ones_under_their_names(show, monkeypatch):
  names = ["model", "dataset", "split", "steps", "init", "lr", "precision", "projection", "made_up"]
  monkeypatch.setattr("wayjax.report.page.setting_names", lambda: names)
  known = reports.entry(status="diverged", diverged_at=3, steps=2000)
  page = show(dataclasses.replace(known, setting={"made_up": 4}), reports.old(known))
  page.open()
  phrases = "m · test split · 2,000 steps · diverged at step 3 · starts at target · "
  phrases += "learning rate 0.01 · float32 · made_up 4"
  assert phrases in page.texts("dialog .caption bdi")
  page.driver.back()
  page.until(page.is_list)
  page.open(1)
  assert page.texts("dialog .caption bdi")[0] == ""


def test_a_constraint_is_named_where_another_than_the_papers_took_part(show):
  page = show(reports.entry(), reports.entry(constraint="ball"))
  assert page.column("constraint") == ["c-dist", "ball"]
  page.choose("constraint", "ball")
  assert len(page.all("#list tbody tr")) == 1
  page.open()
  assert page.texts("dialog .facts bdi") == ["trec · ball · γ = 0.01 · seed 1"]
  assert not show(reports.entry()).column("constraint")


def test_a_certified_prompt_has_a_mark_and_its_walls(show):
  held = reports.certified(reports.entry(seed=2))
  broken = reports.certified(reports.entry(seed=3, changes={0: " a"}), is_certified=False)
  page = show(reports.entry(), held, broken)
  assert page.column("certified") == ["–", "✓", "no"]
  assert page.column("tokens %") == ["100.0", "100.0", "75.0"]
  page.choose("certified", "✓")
  assert page.column("seed") == ["2"]
  page.open()
  assert page.texts("#entry-title .badge") == ["✓ certified"]
  sentence = (
    "Checked in float64 against every token: it reads as its target, token by token, by euclidean, "
    "cosine, as it is and stored in any type up to bfloat16."
  )
  assert page.all("#entry-title .badge")[0].get_attribute("title") == sentence
  assert page.texts(".certificate") == [sentence]
  assert page.texts(".numbers dd")[-2:] == ["0.250", "0.500"]
  lines = [page.texts(f".walls tbody tr:nth-child({k}) > *") for k in (1, 2, 3, 4)]
  assert lines == [
    ["1", "The", "0.250", "0.500", "␣a"],
    ["2", "␣train", "1.50", "3.00", "⏎"],
    ["3", "␣leaves", "–", "–", "–"],
    ["4", "⏎", "1.00", "–", "␣b"],
  ]
  assert not page.all(".walls .differs")


def test_a_prompt_that_is_not_certified_says_so(show):
  broken = reports.certified(reports.entry(changes={0: " a"}), is_certified=False)
  page = show(broken)
  page.open()
  assert not page.all("#entry-title .badge")
  assert page.texts(".certificate") == [
    "Checked in float64 against every token: by euclidean it may read as another text, as it is or "
    "as bfloat16; by cosine it does not."
  ]
  assert page.texts(".walls .differs > *") == ["1", "The", "-0.250", "-0.500", "␣a"]
  assert page.texts(".numbers dd")[-2:] == ["-0.250", "-0.500"]


def test_runs_that_recorded_no_walls_show_none(show):
  page = show(reports.entry())
  page.open()
  assert not page.all(".walls, .certificate, #entry-title .badge")
  assert page.texts(".numbers dd")[-1] == "2.00"
  assert not page.column("certified")


def test_a_link_opens_its_entry_and_its_buttons_lead_on(page):
  page.go("#m/sst2/text/t2/gamma=0.01/seed=10")
  assert page.texts("#entry-title bdi") == ["text/t2"]
  assert page.texts("#entry-title .badge") == ["demo"]
  page.all("#next")[0].click()
  page.until(lambda: page.texts("#entry-title .badge") == ["diverged"])
  assert not page.all("#next")[0].is_enabled()
  page.all("#close")[0].click()
  page.until(page.is_list)


def test_a_hundred_rows_at_once(show):
  page = show(*(reports.entry(seed=seed) for seed in range(130)))
  assert len(page.all("#list tbody tr")) == 100
  page.all("#more")[0].click()
  assert page.column("seed") == [str(seed) for seed in range(130)]
  assert not page.all("#more")[0].is_displayed()


def test_an_entry_of_an_old_run(show):
  page = show(reports.old(reports.entry(projected_text="The bus leaves")))
  page.open()
  assert page.texts("dialog mark") == ["train", "bus"]
  assert set(page.texts(".numbers dd")) == {"–"}
  assert not page.all(".panels, .nearest")


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_texts_neither_run_nor_widen_the_page(show, width):
  long = reports.entry("x" * 300, target_text="y" * 300, dataset="z" * 300, model="w" * 300)
  held = reports.certified(reports.entry())
  page = show(reports.hostile(held), long, text=reports.HOSTILE)
  page.resize(width)
  assert page.overflow() <= 0
  for k in range(2):
    page.open(k)
    assert page.overflow() <= 0
    page.driver.back()
    page.until(page.is_list)
  assert not page.all("img[onerror]")


def test_only_this_machine_can_be_reached():
  with pytest.raises(OSError, match="no network"):
    socket.create_connection(("192.0.2.1", 80))
  with pytest.raises(OSError, match="no network"):
    socket.getaddrinfo("example.org", 80)


def test_an_empty_report(show):
  assert not show().all("#prompts")[0].is_displayed()
