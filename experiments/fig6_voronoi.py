"""Figure 6: a slice through the embedding table, with the cell of a target's token.

Claim: all of a token's Voronoi cell reads as the token, and prompts that solve the task are in it.
Paper: a drawing; here a plane through a real table, in which a target's token and two prompts that
were tuned from it lie, with γ = 0 and above, and the cells of all tokens that a grid finds there.
Command: python -m experiments.fig6_voronoi --model gpt2-large --out runs/paper
Time: seconds after table2_main on one H200-class GPU (estimated, not measured); 15 seconds
with --demo on two busy cores.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from wayjax.config import C_DIST, RunConfig
from wayjax.data.encoding import token_ids
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.projection import d_proj
from wayjax.prompts import SoftPrompt
from wayjax.report import gather, paper
from wayjax.results.rows import is_free
from wayjax.results.summary import variant_of

_GRID = 160  # points each way that are projected
_CELLS = 8  # that the slice shows at least
_WIDEST = 64.0  # times the prompts' distance from their token


def plane(origin_D, first_D, second_D):
  """An orthonormal pair that spans the plane through three points, and their places in it.

  Args:
    origin_D: the point at (0, 0).
    first_D: the point on the first axis.
    second_D: the third point.

  Returns:
    The axes (2, D), and the places (3, 2).

  Raises:
    WayjaxError: the three are on one line.
  """
  away_2xD = np.stack([first_D - origin_D, second_D - origin_D]).astype(np.float64)
  if np.linalg.matrix_rank(away_2xD) < 2:
    raise WayjaxError("token and prompts stand in one line, which does not determine a plane")
  axes_2xD = np.linalg.qr(away_2xD.T)[0].T
  axes_2xD *= np.sign(np.sum(axes_2xD * away_2xD, axis=1, keepdims=True))
  return axes_2xD, np.concatenate([np.zeros((1, 2)), away_2xD @ axes_2xD.T])


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Projects the points of a plane through a target's token and the prompts tuned from it."""
  (config,) = configs
  pair = _pair(config, out)
  lm = load_lm(config.model, revision=config.revision, precision="float32")
  table_VxD = fetch(lm.table_VxD)
  ids_P = np.array(token_ids(lm.tokenizer, [pair.text])[0])
  free_PxD, tuned_PxD = pair.free.vectors_PxD, pair.tuned.vectors_PxD
  position = int(np.argmax(np.linalg.norm(free_PxD - table_VxD[ids_P], axis=1)))
  origin_D = table_VxD[ids_P[position]]
  axes_2xD, places_3x2 = plane(origin_D, free_PxD[position], tuned_PxD[position])
  half = 2 * float(np.abs(places_3x2).max())
  widest = _WIDEST * half
  while len(seen := _tokens_in(table_VxD, origin_D, axes_2xD, half)) < _CELLS and half < widest:
    half *= 1.5
  own = d_proj(np.stack([origin_D, free_PxD[position], tuned_PxD[position]]), table_VxD)
  seen = np.union1d(seen, np.asarray(own))
  labels = ("the token's embedding", "tuned, γ = 0", f"tuned, γ = {pair.gamma:g}")
  token = int(ids_P[position])
  text = lm.tokenizer.decode([token])
  return {
    "figure": "cells",
    "name": "fig6",
    "title": "Figure 6: the cell of a token",
    "caption": f"A plane through the token table of {lm.name}, in which the embedding of {text!r} "
    f"and the vectors of two prompts in its place, tuned for {config.dataset}, lie. In each cell "
    "one token is nearest; a prompt reads as the token of its cell, wherever in it its vector "
    "lies.",
    "model": lm.name,
    "dataset": config.dataset,
    "token_text": text,
    "target_token": token,
    "half": half,
    "cells": [
      {"token": int(token), "text": lm.tokenizer.decode([int(token)]), "score": score.tolist()}
      for token, score in zip(seen, scores(table_VxD[seen], origin_D, axes_2xD))
    ],
    "points": [
      {"x": float(x), "y": float(y), "label": label} for (x, y), label in zip(places_3x2, labels)
    ],
  }


def _tokens_in(table_VxD, origin_D, axes_2xD, half: float) -> np.ndarray:
  """The tokens that points of a grid in the plane project to."""
  steps_N = np.linspace(-half, half, _GRID)
  grid_Nx2 = np.stack(np.meshgrid(steps_N, steps_N), axis=-1).reshape(-1, 2)
  points_NxD = (origin_D + grid_Nx2 @ axes_2xD).astype(np.float32)
  return np.unique(np.asarray(d_proj(points_NxD, table_VxD)))


def scores(e_CxD, origin_D, axes_2xD) -> np.ndarray:
  """How near tokens are to the points (x, y) of a plane: the highest a x + b y + c is nearest.

  That is p . e - |e|^2 / 2 for the point p = origin + x axis_1 + y axis_2, seen from the origin.

  Returns:
    a, b and c of every token, (C, 3).
  """
  away_CxD = np.asarray(e_CxD, np.float64) - origin_D
  return np.column_stack([away_CxD @ axes_2xD.T, -np.sum(np.square(away_CxD), axis=1) / 2])


class _Pair(NamedTuple):
  """Two prompts of one target and seed, and what they are to read as."""

  tuned: SoftPrompt
  free: SoftPrompt
  gamma: float
  text: str


def _pair(config: RunConfig, out: Path) -> _Pair:
  """The most accurate prompt with gamma above 0, and the unconstrained one beside it."""
  pairs = []
  for found in gather.merge(gather.find_runs([str(out)])):
    rows = [
      row
      for row in found.rows
      if (row["dataset"], row["model"], row["status"]) == (config.dataset, config.model, "done")
      if row.get("c_dist") is not None and paper.is_any_text(row) and variant_of(row)[0] == C_DIST
    ]
    free = {_place(row): row for row in rows if is_free(row)}
    pairs += [
      (found, row, free[_place(row)]) for row in rows if not is_free(row) and _place(row) in free
    ]
  if not pairs:
    raise WayjaxError(
      f"{out} holds no prompts of {config.dataset} with γ = 0 and above: run the experiment"
    )
  found, *rows = max(pairs, key=lambda pair: pair[1]["accuracy"])
  tuned, free = (found.homes[gather.member(row)].prompt(row["prompt_key"]) for row in rows)
  return _Pair(tuned, free, rows[0]["gamma"], rows[0]["target_text"])


def _place(row: dict) -> tuple:
  return row["target_group"], row["target_name"], row["target_text"], row["seed"]


EXPERIMENT = Experiment(
  "fig6_voronoi",
  (Sweep(("agnews",), ("ni",)),),
  measure=measure,
  measured_on=("agnews",),
)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
