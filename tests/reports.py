"""Made-up run folders and reports."""

import dataclasses
import itertools

from wayjax.command_line import parse_args
from wayjax.config import variants
from wayjax.report import gather
from wayjax.report.content import Entry, Figure, Report, Table
from wayjax.results import rows
from wayjax.results.writer import RunWriter

# What run folders hold of a setting besides the fields of rows.
SETTING = {"certify_dtype": "bfloat16", "certify_metrics": "", "fool": "", "fool_weight": 1.0}

CONFIG = {
  "dataset": "sst2",
  "model": "m",
  "gamma": [0.0, 0.01],
  "task": {"template": "It is %s.", "label_words": ["bad", "good"]},
  "resolved": {
    "parameters": 124_000_000,
    "majority": 0.5,
    "device": "a CPU",
    "versions": {"wayjax": "0"},
  },
}

# Markup, all that ends a script, what JavaScript takes for line ends, controls, right to left.
HOSTILE = (
  "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"'`${x} <!-- ]]>\u2028\u2029"
  "\x00\x07\x1b[31m\r\n\t\u202e שלום مرحبا \N{FAMILY} \ud83d $title"
)
SVG = (
  '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"><path id="clip" d="M0 0"/></svg>'
)


def row(name="a", gamma=0.0, seed=1, accuracy=0.8, f1=1.0, group="ni", **changes) -> dict:
  """A row as earlier versions wrote it, without a constraint and without readings."""
  return {
    "model": "m", "dataset": "sst2", "split": "test", "steps": 10, "init": "target", "lr": 0.01,
    "precision": "float32", "projection": "euclidean", "status": "done", "target_group": group,
    "target_name": name, "target_text": f"text {name}", "projected_text": f"text {name}",
    "gamma": gamma, "seed": seed, "accuracy": accuracy, "text_accuracy": 0.5, "prompt_f1": f1,
    "c_dist": 1.0, "prompt_key": f"{group}/{name}/gamma={gamma}/seed={seed}", **changes,
  }  # fmt: skip


def held(constraint: str, of: dict) -> dict:
  """The same member under another constraint than the paper's."""
  key = f"{of['prompt_key']}/constraint={constraint}"
  return of | {"constraint": constraint, "prompt_key": key}


def at_the_end(of: list[dict], dev=0.5) -> list[dict]:
  """The last points of the members' curves; `dev` is their accuracy, or a function of a row."""
  return [
    {
      "prompt_key": row["prompt_key"],
      "step": row["steps"],
      "dev_accuracy": dev(row) if callable(dev) else dev,
    }
    for row in of
  ]


def write_run(folder, of: list[dict], metrics=(), **config) -> str:
  """A run folder of some rows; `config` changes its configuration."""
  writer = RunWriter.begin(folder)
  writer.write_config(CONFIG | config)
  writer.append_metrics(list(metrics))
  writer.append_rows(
    of,
    {},
    [
      {"prompt_key": row["prompt_key"], "target_tokens": ["x"], "nearest": [[["x", 0.5]]]}
      for row in of
    ],
  )
  return str(folder)


def read(*folders: str) -> list[gather.Results]:
  """What run folders hold, by setting."""
  return gather.merge(gather.find_runs(folders))


def text_and_description(folder) -> gather.Results:
  """One text and one description, of which no two numbers are alike."""
  (found,) = read(
    write_run(
      folder,
      [
        row("any", 0.0, accuracy=0.8, f1=0.1, text_accuracy=0.31, token_match=0.05),
        row("any", 0.01, accuracy=0.6, f1=0.9, text_accuracy=0.31, projected_text="read any")
        | {"token_match": 0.75},
        row("own", 0.0, accuracy=0.4, f1=0.2, text_accuracy=0.32, group="true"),
        row("own", 0.01, accuracy=0.5, f1=0.7, text_accuracy=0.32, group="true"),
      ],
    )
  )
  return found


def lines_of(table: Table) -> list[dict[str, str]]:
  """A table's cells by heading."""
  return [dict(zip(table.columns, line, strict=True)) for line in table.lines]


def finish(argv: list[str], members: int | None = None) -> None:
  """Leaves the run folder of a call, with all of its rows or some, without any tuning.

  Args:
    argv: arguments of wayjax.run; each group has two targets.
    members: rows; None means all.
  """
  config = parse_args(argv)
  writer = RunWriter.begin(config.out)
  names = [f"{group}/{i}" for group in config.targets for i in range(2)]
  pairs = [(name, seed) for name in names for seed in config.seeds]
  if config.shard:
    pairs = pairs[config.shard[0] :: config.shard[1]]
  writer.write_config({**dataclasses.asdict(config), "resolved": {"targets": names}})
  axes = itertools.product(pairs, variants(config.constraint, config.gamma, config.cell_gamma))
  keys = ["/".join(map(str, (*pair, *variant))) for pair, variant in axes]
  writer.append_rows([{"prompt_key": key} for key in keys[:members]], {})


# What experiments measured, as it was written before a measurement held its table or figure.
_TASK = {"task": "sst2", "example": "x", "template": "It is ….", "label_words": ["bad", "good"]}
_TASK |= {"train": 6000, "dev": 60, "test": 6, "majority": 0.5}
EARLIER = {
  "table1_tasks": {"tasks": [_TASK], "command": "python -m experiments.table1_tasks"},
  "fig6_voronoi": {
    "model": "m",
    "dataset": "agnews",
    "token_text": " a",
    "target_token": 1,
    "half": 1.0,
    "cells": [
      {"token": 1, "text": " a", "score": [0.0, 0.0, 0.0]},
      {"token": 2, "text": "$b", "score": [1.0, 0.5, -0.4]},
    ],
    "points": [{"x": 0.0, "y": 0.0, "label": "the token's embedding"}],
    "command": "python -m experiments.fig6_voronoi",
  },
  "prop1_margins": {
    "model": "m",
    "tokens": 4096,
    "edges": [0.0, 0.5, 1.0],
    "counts": [3, 1],
    "quantiles": {"5": 0.1, "50": 0.4},
    "twins": 2,
    "points": 1000,
    "hits": 999,
    "command": "python -m experiments.prop1_margins",
  },
}


def entry(target="t1", gamma=0.01, seed=1, *, changes=None, **row) -> Entry:
  """A tuned prompt that reads as its target but for the positions in `changes`."""
  tokens = ("The", " train", " leaves", "\n")
  read = [(changes or {}).get(k, token) for k, token in enumerate(tokens)]
  row = {
    "model": "m",
    "dataset": "trec",
    "demo": False,
    "split": "test",
    "target_group": "text",
    "target_name": target,
    "target_text": "".join(tokens),
    "gamma": gamma,
    "constraint": "c-dist",
    "seed": seed,
    "steps": 20,
    "before": "",
    "after": "",
    "reply": "",
    "prompt_key": f"text/{target}/gamma={gamma}/seed={seed}",
    "status": "done",
    "diverged_at": None,
    "init": "target",
    "lr": 0.01,
    "precision": "float32",
    "accuracy": 0.75,
    "macro_f1": 0.5,
    "log_loss": None,
    "rouge_l": None,
    "text_accuracy": 0.25,
    "hard_accuracy": 0.3,
    "prompt_f1": 1.0,
    "prompt_f1_lemma": None,
    "token_match": sum(map(str.__eq__, tokens, read)) / len(tokens),
    "c_dist": 2.0,
    "certified": None,
    "certified_metrics": None,
    "margin": None,
    "margin_relative": None,
    "projection": "euclidean",
    "projected_text": "".join(read),
    "projected_text_euclidean": "".join(read),
    "projected_text_dot": "by dot",
    "projected_text_cosine": "by cosine",
    **row,
  }
  nearest = tuple(((token, 0.5), (" other", 1.5)) for token in read)
  curve = (
    {"step": 10, "cross_entropy": 2.0, "c_dist": 3.0},
    {"step": 20, "cross_entropy": 1.0, "c_dist": 2.0, "dev_accuracy": 0.5},
  )
  setting = {name: row[name] for name in rows.field_names("setting")} | {"batch_size": 8}
  setting |= SETTING
  return Entry(row, setting, tokens, nearest, curve)


def certified(of: Entry, *, is_certified=True) -> Entry:
  """The same prompt, held in the cells of its tokens, whose nearest walls are known."""
  row = {
    "constraint": "cell",
    "certified": is_certified,
    "certified_metrics": ["euclidean", "cosine"] if is_certified else ["cosine"],
    "margin": 0.25 if is_certified else -0.25,
    "margin_relative": 0.5 if is_certified else -0.5,
  }
  walls = ((" a", row["margin"], row["margin_relative"]), ("\n", 1.5, 3.0), (None, None, None))
  return dataclasses.replace(
    of,
    row=of.row | row,
    walls=(*walls, (" b", 1.0, None)),
  )


def old(of: Entry) -> Entry:
  """The same prompt, of a run that recorded neither tokens nor curves nor most numbers."""
  kept = ("dataset", "target_text", "projected_text", "gamma", "seed", "prompt_key")
  return Entry({key: of.row[key] for key in kept}, {}, (), (), ())


def hostile(of: Entry) -> Entry:
  """The same prompt with a hostile text for every text."""
  row = {key: HOSTILE if isinstance(value, str) else value for key, value in of.row.items()}
  if row["certified_metrics"]:
    row["certified_metrics"] = [HOSTILE] * len(row["certified_metrics"])
  nearest = tuple(tuple((HOSTILE, d) for _, d in tokens) for tokens in of.nearest)
  walls = tuple((HOSTILE, *distances) for _, *distances in of.walls)
  return dataclasses.replace(
    of,
    row=row,
    setting=of.setting | {"certify_dtype": HOSTILE},
    target_tokens=(HOSTILE,) * len(of.target_tokens),
    nearest=nearest,
    walls=walls,
  )


def report(*entries: Entry, text="text") -> Report:
  """A report with one table and one figure."""
  table = Table(text, text, text, (text, "number"), ((text, "1.5"), (text, "–")), text)
  return Report(
    text, ((text, text),), (table,), (Figure(text, text, text, SVG, b"", text),), entries
  )
