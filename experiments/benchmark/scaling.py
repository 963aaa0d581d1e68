"""Sweeps that grow: seconds a member-step and memory of whole runs on the embedded demo.

Each run is `python -m wayjax.run` in a process of its own. Of the three things that grow, one does
at a time: members, the different lengths of their prompts, and training rows.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure as Canvas

from experiments.benchmark.contenders import resident_bytes
from wayjax import demo, read_run
from wayjax.errors import WayjaxError
from wayjax.report import content
from wayjax.report.drawing import COLOURS, MARKS, drawing

DATASET = "agnews"
STEPS = 10
EVALUATION_ROWS = 8
MEMBERS = (4, 16, 64, 256, 1024)
LENGTHS = (1, 2, 4, 8)  # different lengths of prompts, padded
ROWS = (1_000, 10_000, 100_000)
FIXED_MEMBERS = 64  # where something else grows
TARGET = "Is this review of a film positive or negative?"


class Point(NamedTuple):
  """A run of one size.

  Attributes:
    count: how many there are of what grows.
    options: of `python -m wayjax.run`.
  """

  count: int
  options: list[str]


def axes(folder: Path, data: Path = demo.DATA) -> Iterator[tuple[str, list[Point]]]:
  """What grows, and the runs of it.

  Args:
    folder: where files of many rows go.
    data: folder with the dataset's rows.
  """
  yield "members", [Point(count, _members(count)) for count in MEMBERS]
  yield "lengths", [Point(count, _of_lengths(count)) for count in LENGTHS]
  with open(data / DATASET / "train.csv", newline="") as file:
    header, *rows = csv.reader(file)
  points = []
  for count in ROWS:
    path = folder / str(count) / DATASET
    path.mkdir(parents=True)
    with open(path / "train.csv", "w", newline="") as file:
      csv.writer(file).writerows([header, *(rows * (count // len(rows) + 1))[:count]])
    (path / "test.csv").write_bytes((data / DATASET / "test.csv").read_bytes())
    options = ["--data-dir", str(path.parent), *_members(FIXED_MEMBERS)]
    points.append(Point(count, options))
  yield "training rows", points


def _members(count: int, targets: tuple[str, ...] = (TARGET,)) -> list[str]:
  """Options of so many members: of each target's two, gamma 0 and 0.01, with as many seeds."""
  seeds = map(str, range(1, count // (2 * len(targets)) + 1))
  return [*(part for text in targets for part in ("--target", text)), "--seeds", *seeds]


def _of_lengths(count: int) -> list[str]:
  """Options of members whose prompts have so many different lengths, after padding."""
  words = TARGET.split()
  texts = (" ".join((words * 8)[: 7 * number]) for number in range(1, count + 1))
  return _members(FIXED_MEMBERS, tuple(texts))


def measure_run(out: Path, point: Point) -> dict:
  """Runs one sweep in a process of its own.

  Args:
    out: its run folder, which must not exist.
    point: the sweep.

  Returns:
    `seconds_per_member_step` of training; `seconds_per_member` of everything after the start, the
    first compilation included; and `peak_bytes` of resident memory.

  Raises:
    WayjaxError: the run failed.
  """
  options = ["--model", demo.NAME, "--data-dir", demo.NAME, "--gamma", "0", "0.01", *point.options]
  options += ["--steps", str(STEPS), "--eval-rows", str(EVALUATION_ROWS), "--dataset", DATASET]
  command = [sys.executable, "-m", "wayjax.run", *options, "--out", str(out)]
  started = time.perf_counter()
  with open(out.with_suffix(".log"), "w+") as log:
    process = subprocess.Popen(command, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
      log.seek(0)
      said = log.read().splitlines() or [f"exit code {process.returncode}"]
      raise WayjaxError(f"the run failed: {said[-1]}")
  rows = read_run(out).rows
  training = sum(row["wall_seconds"] for row in rows)
  return {
    "seconds_per_member_step": training / (len(rows) * STEPS),
    "seconds_per_member": seconds / len(rows),
    "peak_bytes": resident_bytes(usage),
  }


def measure(folder: Path) -> dict[str, dict[str, dict]]:
  """Measures every sweep; by what grows, and how many there are of it: what `measure_run` says."""
  found = {}
  for name, points in axes(folder):
    found[name] = {}
    for point in points:
      print(f"{name}: {point.count:,} ...", file=sys.stderr, flush=True)
      out = folder / f"{name}-{point.count}".replace(" ", "-")
      found[name][str(point.count)] = measure_run(out, point)
  return found


def to_markdown(found: dict[str, dict[str, dict]]) -> str:
  """The measurements as a table."""
  lines = ["| | | ms a member-step | s a member, all in all | GiB |", "| --- |" + " ---: |" * 4]
  for name, points in found.items():
    for count, point in points.items():
      lines.append(
        f"| {name} | {int(count):,} | {1e3 * point['seconds_per_member_step']:.1f} "
        f"| {point['seconds_per_member']:.2f} | {point['peak_bytes'] / 2**30:.2f} |"
      )
  return "\n".join(lines)


def to_figure(found: dict[str, dict[str, dict]]) -> content.Figure:
  """Milliseconds a member-step and memory, over how many there are of what grows."""

  def draw(canvas: Canvas) -> None:
    panels = canvas.subplots(1, 2)
    for (name, points), colour, mark in zip(found.items(), COLOURS, MARKS):
      counts = list(map(int, points))
      steps = [1e3 * point["seconds_per_member_step"] for point in points.values()]
      memory = [point["peak_bytes"] / 2**30 for point in points.values()]
      for panel, values in zip(panels, (steps, memory)):
        panel.plot(counts, values, color=colour, marker=mark, label=name)
    for panel, label in zip(panels, ("ms a member-step", "resident memory, GiB")):
      panel.set(xscale="log", xlabel="how many", ylabel=label)
      panel.set_ylim(bottom=0)
    panels[0].legend()

  return drawing("scaling", "Sweeps that grow", __doc__.split("\n")[0], draw, (9, 3.2))
