"""What a run shows, on a terminal and elsewhere, and what it leaves as it was."""

import io
import logging
import warnings

import numpy as np
import pytest
from rich.console import Console

from wayjax.data.targets import Target
from wayjax.run import display
from wayjax.run.display import Display, duration
from wayjax.tuning.callbacks import Meter, Progress
from wayjax.tuning.members import Member
from wayjax.tuning.step import StepLosses

LOG = logging.getLogger("wayjax")


@pytest.fixture(params=["terminal", "elsewhere"])
def place(request):
  return request.param


def console(place="elsewhere", width=100) -> Console:
  """A console that keeps what it shows in its `file`."""
  terminal = place == "terminal"
  return Console(file=io.StringIO(), force_terminal=terminal, width=width)


def shown(console: Console) -> str:
  return console.file.getvalue()


def member(gamma=0.01, prompt_tokens=3) -> Member:
  """A member whose target has three tokens."""
  vectors = np.zeros((3, 4), np.float32)
  init = np.zeros((prompt_tokens, 4), np.float32)
  return Member(Target("text", "t", "abc"), np.arange(3), vectors, gamma, 1, init)


def progress(step=20, steps=40, *, chunk=None, c_dist=2.0, cross_entropy=1.5) -> Progress:
  """Two members of four, after some of their steps; the losses are the same at every step."""
  chunk = chunk or [member(0.0), member(0.01)]
  meter = Meter(4 * steps, member_steps=2 * step, member_steps_timed=2 * step, seconds=step / 10)
  losses = StepLosses(
    *(np.full((len(chunk), step), value, np.float32) for value in (cross_entropy, c_dist))
  )
  return Progress(chunk, step, steps, losses, 20, meter, 2**29, list)


def row(gamma, accuracy, target="t", **changes) -> dict:
  return {
    "model": "m", "dataset": "sst2", "demo": False, "split": "test", "target_group": "text",
    "target_name": target, "target_text": f"say {target}", "gamma": gamma, "seed": 1, "steps": 40,
    "prompt_key": f"{target}/{gamma}", "status": "done", "accuracy": accuracy,
    "text_accuracy": 0.25, "prompt_f1": 1.0, "c_dist": 2.0, "projected_text": f"say {target}",
    "constraint": "c-dist", **changes,
  }  # fmt: skip


@pytest.mark.parametrize(
  ("seconds", "text"),
  [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
  assert duration(seconds) == text


class TestLog:
  def test_what_the_package_logs_is_a_line_and_a_warning_says_so(self, place):
    on = console(place)
    with Display(on):
      LOG.info("%d of %d [bold]", 1, 2)
      LOG.warning("it is late")
      LOG.debug("not shown")
      logging.getLogger("wayjax.tuning").info("a child's")
    assert shown(on).splitlines() == ["1 of 2 [bold]", "warning: it is late", "a child's"]

  def test_pythons_warnings_are_lines_without_the_code_they_come_from(self):
    on = console()
    with Display(on), warnings.catch_warnings():
      warnings.simplefilter("always")
      warnings.showwarning = display._log_warning  # what `catch_warnings` resets
      warnings.warn("100 % old", DeprecationWarning, stacklevel=1)
    assert shown(on) == "warning: 100 % old\n"

  def test_a_warning_does_not_reach_standard_error(self, capsys):
    on = console()
    with Display(on):
      warnings.showwarning("text", UserWarning, "file.py", 1)
    assert shown(on) == "warning: text\n"
    assert capsys.readouterr().err == ""

  def test_other_handlers_are_not_told_meanwhile(self, caplog):
    with Display(console()):
      LOG.warning("once")
    assert caplog.messages == []
    LOG.warning("again")
    assert caplog.messages == ["again"]

  @pytest.mark.parametrize("error", [None, KeyboardInterrupt])
  def test_all_is_restored(self, error):
    before = LOG.handlers[:], LOG.level, LOG.propagate, warnings.showwarning
    LOG.setLevel(logging.ERROR)
    try:
      with Display(console("terminal")) as shows:
        assert shows in LOG.handlers
        assert warnings.showwarning is not before[3]
        shows.progress(progress(), 4)
        if error:
          raise error
    except KeyboardInterrupt:
      pass
    finally:
      assert LOG.level == logging.ERROR
      LOG.setLevel(before[1])
    assert (LOG.handlers[:], LOG.level, LOG.propagate, warnings.showwarning) == before

  def test_one_display_after_another(self):
    consoles = [console(), console()]
    for i, on in enumerate(consoles):
      with Display(on):
        LOG.info("run %d", i)
    assert [shown(on) for on in consoles] == ["run 0\n", "run 1\n"]


def test_a_silent_display_shows_nothing(capsys):
  with Display(silent=True) as shows:
    LOG.warning("not here")
    shows.line("nor here")
    shows.plan({"model": "m"})
    shows.estimate(progress())
    shows.progress(progress(), 4)
    shows.measuring(2, 20)
    shows.table([row(0.0, 0.5)], 0.5)
    shows.best([row(0.01, 0.5)])
  assert capsys.readouterr() == ("", "")


def test_texts_are_not_markup_nor_wrapped(place):
  on = console(place, width=20)
  Display(on).line("[red]" + "word " * 30 + ":smile:")
  text = shown(on).replace("\n", "") if place == "terminal" else shown(on).removesuffix("\n")
  assert text.replace(" ", "") == "[red]" + "word" * 30 + ":smile:"
  assert "\x1b" not in text


def test_the_plan_is_aligned():
  on = console()
  Display(on).plan({"model": "tiny", "prompt groups": "4 [of] up to 8"})
  assert shown(on) == "model          tiny\nprompt groups  4 [of] up to 8\n"


def test_the_estimate_is_of_the_whole_sweep():
  on, at = console(), progress(step=20, steps=40)
  at.meter.compile_seconds = 75
  assert Display(on).estimate(at)
  # 160 member-steps at 20 a second.
  assert shown(on) == (
    "first 20 steps done: 0.50 GiB besides the model, compiled in 1 min 15 s, 20 member-steps a "
    "second; training takes about 8 s\n"
  )


@pytest.mark.parametrize(
  ("step", "steps", "seconds", "words"),
  [
    (1, 40, 0.1, None),
    (19, 40, 4.9, None),
    (1, 40, 78.0, "first step done"),
    (7, 40, 6.0, "first 7 steps done"),
    (20, 40, 0.1, "first 20 steps done"),
    (3, 3, 0.1, "first 3 steps done"),
  ],
)
def test_the_estimate_waits_until_the_first_steps_show_it(step, steps, seconds, words):
  on, at = console(), progress(step=step, steps=steps)
  at.meter.member_steps_timed, at.meter.seconds = step * len(at.chunk), seconds
  assert Display(on).estimate(at) == (words is not None)
  assert shown(on).startswith(words or "")
  assert bool(shown(on)) == (words is not None)


class TestProgress:
  LINE = "6 s left, 20 member-steps/s, step 20/40, 0/4 members, cross-entropy 1.5, c-dist 2\n"

  def test_the_status(self):
    on = console()
    Display(on).progress(progress(), 4)
    assert shown(on) == self.LINE

  @pytest.mark.parametrize(
    ("changes", "end"),
    [
      ({"c_dist": np.nan}, "0/4 members, cross-entropy 1.5"),
      ({"c_dist": np.nan, "cross_entropy": np.inf}, "0/4 members"),
      ({"chunk": [member(0.0, prompt_tokens=5)] * 2}, "0/4 members, cross-entropy 1.5"),
      ({"step": 40}, "2/4 members, cross-entropy 1.5, c-dist 2"),
    ],
  )
  def test_numbers_that_there_are_not_are_left_out(self, changes, end):
    on = console()
    Display(on).progress(progress(**changes), 4)
    assert shown(on).endswith(f", {end}\n")

  def test_lines_are_few_but_the_last_step_of_a_chunk_is_always_shown(self, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    on, steps = console(), []
    shows = Display(on)
    for step, seconds in ((10, 0), (20, 9), (30, 2), (40, 0)):
      now[0] += seconds
      shows.progress(progress(step), 4)
      steps = [line.split("step ")[1].split("/")[0] for line in shown(on).splitlines()]
    assert steps == ["10", "30", "40"]

  def test_a_terminal_has_a_bar_that_goes_away(self):
    on = console("terminal", width=120)
    with Display(on) as shows:
      shows.progress(progress(step=20), 4)
      shows.progress(progress(step=40), 4)
      shows.measuring(2, 1234)
      bar = shows._bars
      assert [(task.completed, task.total) for task in bar.tasks] == [(80, 160)]
      assert bar.tasks[0].description == "measuring 2 members on 1,234 rows"
      assert bar.live.is_started
    assert not bar.live.is_started
    assert "measuring 2 members on 1,234 rows" in shown(on)

  def test_of_one_member_it_speaks_in_the_singular(self):
    on = console()
    Display(on).measuring(1, 1)
    assert shown(on) == "measuring 1 member on 1 row\n"

  def test_elsewhere_measuring_is_a_line(self):
    on = console()
    Display(on).measuring(2, 1234)
    assert shown(on) == "measuring 2 members on 1,234 rows\n"


class TestTable:
  ROWS = (
    *(row(0.0, 0.8), row(0.01, 0.6, token_match=0.75)),
    *(row(0.0, 0.5, "u"), row(0.01, 0.4, "u", token_match=0.75)),
  )

  def shown(self, rows, place="elsewhere", width=200) -> str:
    on = console(place, width)
    Display(on).table(rows, 0.5)
    return shown(on)

  def cells(self, text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if "│" in line]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]

  def test_a_line_for_each_target_and_the_mean(self):
    text = self.shown(list(self.ROWS))
    rest = ["100.0", "100.0", "–", "75.0", "2.00", "2.00"]  # F1, tokens, c-dist
    assert self.cells(text) == [
      ["say t", "0.01", "25.0", "80.0", "60.0", "25.0", *rest, "say t"],
      ["say u", "0.01", "25.0", "50.0", "40.0", "20.0", *rest, "say u"],
      ["mean over targets", "0.01", "25.0", "65.0", "50.0", "22.5", *rest, ""],
    ]
    assert "constraint" not in text
    assert "means over seeds 1" in text

  def test_the_constraint_is_a_column_where_it_is_not_the_papers(self):
    rows = [*self.ROWS[:2], row(0.0, 0.7, constraint="ball")]
    text = self.shown(rows)
    assert "constraint" in text
    assert [line[:2] for line in self.cells(text)] == [["say t", "c-dist"], ["say t", "ball"]]

  def test_a_narrow_terminal_leaves_c_dist_out(self):
    rows = [row(0.0, 0.8), row(0.01, 0.6)]
    assert "c-dist" in self.shown(rows, "terminal", 156)
    assert "c-dist" not in self.shown(rows, "terminal", 155)

  def test_a_demo_is_called_one(self):
    assert "demo" not in self.shown([row(0.0, 0.8)])
    assert self.shown([row(0.0, 0.8, demo=True)]).splitlines()[0].strip() == "demo"

  def test_texts_are_shown_as_they_are(self):
    text = self.shown([row(0.0, 0.8, "[bold]\n", projected_text="[red]\t\x07")])
    assert "say [bold]⏎" in text
    assert r"[red]⇥\x07" in text


def test_at_most_four_prompts_are_beside_their_targets():
  on = console()
  Display(on).best([row(0.01, accuracy=k / 10, target=f"t{k}") for k in range(6)])
  assert [line for line in shown(on).splitlines() if "right" in line] == [
    f"{10 * k}.0 % of sst2 right (as plain text 25.0 %), γ = 0.01" for k in (5, 4, 3, 2)
  ]


def test_the_best_prompts_tell_how_they_are_held_and_whether_they_are_certified():
  on = console()
  rows = [row(0.0, 0.9, "a", constraint="cell\x1b", certified=True), row(0.01, 0.8, "b")]
  rows += [row(0.01, 0.7, "c", certified=False), row(0.01, 0.6, "d", certified=True)]
  Display(on).best(rows)
  held = [line.split("), ")[1] for line in shown(on).splitlines() if "right" in line]
  assert held == [r"cell\x1b, γ = 0, certified", "γ = 0.01", "γ = 0.01", "γ = 0.01, certified"]


def test_nothing_unseen_reaches_a_terminal():
  evil = "a\x1b[31m\x07\x9b\u202e\u200bz"
  on = console(width=400)
  with Display(on) as shows:
    LOG.info("from %s", evil)
    LOG.warning(evil)
    shows.line(evil)
    shows.plan({"model": evil})
    rows = [row(0.0, 0.5), row(0.01, 0.5)]
    named = {"target_text": evil, "projected_text": f"{evil} b", "dataset": evil, "model": evil}
    shows.table([of | named for of in rows], 0.5)
    shows.best([of | named for of in rows])
  text = shown(on)
  assert {char for char in text if not char.isprintable()} == {"\n"}
  assert text.count(r"a\x1b[31m\x07\x9b\u202e\u200bz") >= 8
