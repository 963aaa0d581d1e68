"""What a run shows: plan, progress and closing table; rich on a terminal, plain lines elsewhere."""

import logging
import time
import warnings

import jax
import numpy as np
from rich import progress as bars
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wayjax.config import C_DIST
from wayjax.results import summary
from wayjax.results.differences import differences
from wayjax.tuning.callbacks import Progress
from wayjax.visible import visible

_PLAIN_EVERY_SECONDS = 10.0
# The first steps show how long a sweep takes when they took so long, or are so many.
_SHOWING_SECONDS, _SHOWING_STEPS = 5.0, 20
_PLAIN_WIDTH = 160
_BEST = 4  # prompts shown beside their targets
_WIDE = 12  # terminal columns for each of the table's, from which it shows c-dist too


_log = logging.getLogger("wayjax")


def several(count: int, noun: str) -> str:
  """So many of them: `1 seed`, `2 seeds`."""
  return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
  """A time span in words: `45 s`, `3 min 20 s`, `2 h 5 min`."""
  seconds = round(seconds)
  if seconds < 60:
    return f"{seconds} s"
  if seconds < 3600:
    return f"{seconds // 60} min {seconds % 60} s"
  return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class _Console(Console):
  def on_broken_pipe(self) -> None:
    raise  # the error itself: rich would exit without a word


class Display(logging.Handler):
  """Shows a run while it happens; as a context manager also what the package logs and warns.

  Args:
    console: where to; a terminal gets bars and colours.
    silent: whether nothing is shown; of several processes only the first shows.
  """

  def __init__(self, console: Console | None = None, *, silent: bool = False):
    super().__init__()
    self._console = console or _Console(quiet=silent)
    if not self._console.is_terminal:
      self._console = _Console(
        file=self._console.file,
        width=_PLAIN_WIDTH,
        force_terminal=False,
        soft_wrap=True,
        quiet=silent,
      )
    self._last = 0.0
    self._bars = None
    self._warned = warnings.showwarning

  def __enter__(self) -> "Display":
    _log.addHandler(self)
    self._level, self._propagated = _log.level, _log.propagate
    _log.setLevel(logging.INFO)
    _log.propagate = False
    self._warned, warnings.showwarning = warnings.showwarning, _log_warning
    return self

  def __exit__(self, *exception) -> None:
    warnings.showwarning = self._warned
    _log.setLevel(self._level)
    _log.propagate = self._propagated
    _log.removeHandler(self)
    self.stop()

  def emit(self, record: logging.LogRecord) -> None:
    """Shows a record of the package's logger as one line."""
    text = record.getMessage()
    self.line(f"warning: {text}" if record.levelno >= logging.WARNING else text)

  def line(self, text: str = "") -> None:
    """Prints a line, of which nothing is markup."""
    self._console.print(Text(visible(text)))

  def plan(self, facts: dict[str, str]) -> None:
    """Prints what a run is going to do."""
    width = max(map(len, facts))
    for name, fact in facts.items():
      self._console.print(Text.assemble((name.ljust(width) + "  ", "bold"), visible(fact)))

  def compiling(self, tokens: int) -> None:
    """Shows that a program is being compiled, for prompts of up to so many tokens."""
    self._doing(f"compiling for prompts of up to {tokens} tokens")

  def estimate(self, at: Progress) -> bool:
    """Prints what the first steps showed, once they have shown it; returns whether they have."""
    meter = at.meter
    steps = meter.member_steps_timed // len(at.chunk)
    if meter.seconds < _SHOWING_SECONDS and steps < _SHOWING_STEPS and at.step < at.steps:
      return False
    first = "first step" if steps == 1 else f"first {steps} steps"
    self.line(
      f"{first} done: {at.memory / 2**30:.2f} GiB besides the model, compiled in "
      f"{duration(meter.compile_seconds)}, {meter.rate:.3g} member-steps a second; "
      f"training takes about {duration(meter.seconds + meter.seconds_left)}"
    )
    return True

  def progress(self, at: Progress, members: int) -> None:
    """Shows where a sweep stands."""
    if not self._console.is_terminal:
      now = time.monotonic()
      ended = at.step == at.steps
      if ended or now - self._last >= _PLAIN_EVERY_SECONDS:
        self._last = now
        self.line(self._status(at, members))
      return
    if self._bars is None:
      self._bars = bars.Progress(
        bars.BarColumn(bar_width=16),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.description}", markup=False),
        console=self._console,
        transient=True,
      )
      self._bars.add_task("", total=at.meter.member_steps_total)
      self._bars.start()
    text = self._status(at, members)
    self._bars.update(self._bars.task_ids[0], completed=at.meter.member_steps, description=text)

  def measuring(self, members: int, rows: int) -> None:
    """Shows that trained members are being measured."""
    self._doing(f"measuring {several(members, 'member')} on {several(rows, 'row')}")

  def _doing(self, text: str) -> None:
    """Shows what goes on besides training."""
    if self._bars is None:
      self.line(text)
    else:
      self._bars.update(self._bars.task_ids[0], description=text)

  def _status(self, at: Progress, members: int) -> str:
    """Where a sweep stands, the most useful first: a narrow terminal cuts the end."""
    parts = [
      f"{duration(at.meter.seconds_left)} left",
      f"{at.meter.rate:.3g} member-steps/s",
      f"step {at.step:,}/{at.steps:,}",
      f"{at.members_trained}/{several(members, 'member')}",
    ]
    ce_M, c_dist_M, *nll_M = (x[:, -1] for x in jax.tree.leaves(at.losses_MxT))
    distances = c_dist_M[[member.has_c_dist for member in at.chunk]]
    names = "cross-entropy", "c-dist", "reader NLL"
    for name, values in zip(names, (ce_M, distances, *nll_M)):
      finite = values[np.isfinite(values)]
      if len(finite):
        parts.append(f"{name} {finite.mean():.4g}")
    return ", ".join(parts)

  def stop(self) -> None:
    """Takes the bars away."""
    if self._bars is not None:
      self._bars.stop()
      self._bars = None

  def table(self, rows: list[dict], majority: float) -> None:
    """Prints the closing table."""
    lines = summary.summarise(rows)
    columns = summary.headings(lines)
    if self._console.width < _WIDE * len(columns):
      columns = [name for name in columns if "c-dist" not in name]
    table = Table(
      show_lines=False, header_style="bold", title="demo" if summary.is_demo(rows) else None
    )
    for heading in columns:
      text = heading in ("target", "constraint", "reads as")
      table.add_column(Text(heading), justify="left" if text else "right", overflow="fold")
    for line, after in zip(lines, [*lines[1:], None]):
      cells = [Text(cell) for cell in summary.cells(line, columns)]
      ends = line["target"] is not None and after is not None and after["target"] is None
      table.add_row(*cells, end_section=ends, style="bold" if line["target"] is None else "")
    self._console.print(table)
    self.line(summary.caption(rows, majority))

  def best(self, rows: list[dict]) -> None:
    """Prints the best prompt of some targets beside its target, differing words marked."""
    for row in summary.best(rows)[:_BEST]:
      accuracy = f"{100 * row['accuracy']:.1f} % of {visible(row['dataset'])} right"
      others = f" (as plain text {100 * row['text_accuracy']:.1f} %"
      if row["accuracy_0"] is not None:
        others += f", unconstrained {100 * row['accuracy_0']:.1f} %"
      self._console.print()
      held = f"γ = {row['gamma']:g}"
      if row.get("constraint", C_DIST) != C_DIST:
        held = f"{visible(row['constraint'])}, {held}"
      if row.get("certified"):
        held += ", certified"
      self._console.print(Text.assemble((accuracy, "bold"), f"{others}), {held}"))
      sides = differences(row["target_text"], row["projected_text"])
      for name, words in zip(("target    ", "reads as  "), sides, strict=True):
        self._console.print(Text.assemble(name, *map(self._word, words)))

  def _word(self, word: tuple[str, bool]) -> tuple[str, str]:
    text, differs = visible(word[0]), word[1]
    if differs and not self._console.is_terminal:
      text = f"‹{text}›"
    return text + " ", "bold red" if differs else ""


def _log_warning(message, *args, **kwargs) -> None:
  """Shows a warning as one line, without the code that it comes from."""
  _log.warning("%s", message)
