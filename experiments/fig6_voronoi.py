"""Figure 6: a slice through the embedding table, with the cell of a token and a path in it.

Claim: all of a token's Voronoi cell reads as the token, and prompts that solve the task are in it.
Paper: a drawing; here a plane through a real table, and the cells of all tokens that a grid finds
there. Two prompts of one text are in the folder, with γ = 0 and above; a third is tuned as they
were, but inside the cells of the text's tokens, and that of its vectors that ends nearest to a wall
is followed. The plane is that of its token, the end of its path and the token behind the wall.
Command: python -m experiments.fig6_voronoi --model gpt2-large --out runs/paper
Time: the training of one prompt after table2_main, a minute on one H200-class GPU (estimated, not
measured); 22 seconds after it with --demo on two busy cores.
"""

import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from wayjax.command_line import stored_config
from wayjax.config import C_DIST, CELL, RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.models import LanguageModel
from wayjax.projection import d_proj
from wayjax.prompts import SoftPrompt
from wayjax.report import gather, paper
from wayjax.results.folder import Run
from wayjax.results.rows import is_free
from wayjax.results.summary import variant_of
from wayjax.run.prepare import prepare
from wayjax.tuning.callbacks import Callbacks
from wayjax.tuning.members import Member
from wayjax.tuning.settings import train_settings
from wayjax.tuning.sweep import tune_chunks

_GRID = 160  # points each way that are projected
_CELLS = 4  # that the slice shows at least
_WIDEST = 64.0  # times the prompts' distance from their token
_ROUND_IT = 1.25  # times their distance, what the slice shows at least
_METRIC = "euclidean"  # by which the cells are drawn
_RECORDED = 50  # moments of the path
_AT_IT = 0.999  # of what the constraint lets a vector go, what it has gone where it leans on a wall


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
    raise WayjaxError("tokens and prompt stand in one line, which does not determine a plane")
  axes_2xD = np.linalg.qr(away_2xD.T)[0].T
  axes_2xD *= np.sign(np.sum(axes_2xD * away_2xD, axis=1, keepdims=True))
  return axes_2xD, np.concatenate([np.zeros((1, 2)), away_2xD @ axes_2xD.T])


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Tunes a prompt inside its cells, and projects its path and other prompts into a plane there."""
  (config,) = configs
  pair = _pair(config, out)
  path = trace(config, pair)
  table_VxD, decode = path.member.cells.table_VxD, path.lm.tokenizer.decode
  token = int(path.member.target_ids[path.position])
  origin_D, vectors_NxD = table_VxD[token], path.vectors_NxPxD[:, path.position]
  axes_2xD, _ = plane(origin_D, table_VxD[path.wall], vectors_NxD[-1])
  others_2xD = np.stack([of.vectors_PxD[path.position] for of in (pair.free, pair.tuned)])
  shown_NxD = np.concatenate([vectors_NxD, others_2xD, table_VxD[[token, path.wall]]])
  places_Nx2 = (shown_NxD - origin_D).astype(np.float64) @ axes_2xD.T
  half = _ROUND_IT * float(np.abs(places_Nx2).max())
  widest = _WIDEST * half
  while len(seen := _tokens_in(table_VxD, origin_D, axes_2xD, half)) < _CELLS and half < widest:
    half *= 1.5
  reads_N = np.asarray(d_proj(shown_NxD[:-2].astype(np.float32), table_VxD))
  seen = np.union1d(seen, [token, path.wall])
  along, leaning, text = len(vectors_NxD), int(path.leans_N.sum()), decode([token])
  labels = ["the token's embedding"]
  labels += [
    f"tuned, γ = {gamma:g}, reads as {decode([int(reads)])!r}"
    for gamma, reads in zip((0, pair.gamma), reads_N[along:], strict=True)
  ]
  points_3x2 = np.concatenate([np.zeros((1, 2)), places_Nx2[along : along + 2]])
  return {
    "figure": "cells",
    "name": "fig6",
    "title": "Figure 6: the cell of a token",
    "caption": f"A plane through the token table of {path.lm.name}, in which the embeddings of "
    f"{text!r} and {decode([path.wall])!r} lie, and the end of a path: that of the vector in place "
    f"of {text!r} while a prompt was tuned for {config.dataset} inside the cells of its tokens, "
    "without a penalty. In each cell one token is nearest. Dotted: the wall between the two "
    "tokens, which stands upright on the plane, so that every point is at its true distance from "
    "it. The rest of the path, and the vectors of two other prompts in the same place, are "
    "projected into the plane, where another token may be nearest than is to them. Of "
    f"{along} vectors recorded along the path {np.sum(reads_N[:along] == token)} read as {text!r}, "
    f"and {leaning} leaned on a wall: not more than {100 * (1 - path.reach):.2g} % of the way to "
    "one was left.",
    "model": path.lm.name,
    "dataset": config.dataset,
    "token_text": text,
    "target_token": token,
    "wall": path.wall,
    "half": half,
    "cells": [
      {"token": int(one), "text": decode([int(one)]), "score": score.tolist()}
      for one, score in zip(seen, scores(table_VxD[seen], origin_D, axes_2xD))
    ],
    "path": {
      "label": f"tuned in the cell, {path.steps_N[-1]:,} steps",
      "points": [
        {"x": float(x), "y": float(y), "step": int(step), "leans": bool(leans)}
        for (x, y), step, leans in zip(places_Nx2, path.steps_N, path.leans_N)
      ],
    },
    "points": [
      {"x": float(x), "y": float(y), "label": label}
      for (x, y), label in zip(points_3x2, labels, strict=True)
    ],
  }


class _Pair(NamedTuple):
  """Two prompts of one target and seed, what they are to read as; run and row are of the tuned."""

  tuned: SoftPrompt
  free: SoftPrompt
  gamma: float
  text: str
  run: Run
  row: dict


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
  """A prompt on its way through the cells of its tokens.

  Attributes:
    lm: the language model.
    member: what was tuned.
    steps_N: when the prompt was recorded.
    vectors_NxPxD: the prompts; the last is the tuned one.
    position: that of the vector that ends nearest to a wall, relative to its embedding's distance.
    wall: the token behind that wall.
    leans_N: when that vector leaned on a wall, this one or another.
    reach: how much of the way to a wall the constraint lets a vector go.
  """

  lm: LanguageModel
  member: Member
  steps_N: list[int]
  vectors_NxPxD: np.ndarray
  position: int
  wall: int
  leans_N: np.ndarray
  reach: float


def trace(config: RunConfig, pair: _Pair) -> Trace:
  """Tunes the pair's text again, from the same start and seed, inside the cells that are drawn.

  Args:
    config: where model and rows are.
    pair: two prompts of that text.

  Raises:
    WayjaxError: no vector has a wall, or model or rows are not there.
  """
  row = pair.row
  own = dataclasses.replace(
    stored_config(str(pair.run.path), pair.run.config), data_dir=config.data_dir, shard=None,
    seeds=(row["seed"],), constraint=(CELL,), cell_gamma=(0.0,), certify_metrics=(_METRIC,),
  )  # fmt: skip
  target = Target(row["target_group"], row["target_name"], row["target_text"])
  prepared = prepare(own, get_task(own.dataset), [target])
  (member,) = prepared.members
  recorded = [(0, member.init_PxD)]
  callbacks = Callbacks(on_progress=lambda at: recorded.append((at.step, at.prompts()[0])))
  every = max(1, own.steps // _RECORDED)
  settings = dataclasses.replace(train_settings(own), eval_every=every)
  ((tuned,),) = tune_chunks(prepared.lm, prepared.train, [member], settings, callbacks)
  steps_N, vectors = zip(*recorded[:-1], (own.steps, tuned.prompt.vectors_PxD), strict=True)
  vectors_NxPxD = np.stack(vectors)
  margins = member.cells.margins(vectors_NxPxD[-1], member.target_ids, _METRIC)
  relative_P = np.where(np.isfinite(margins.relative_P), margins.relative_P, np.inf)
  position = int(np.argmin(relative_P))
  if not np.isfinite(relative_P[position]):
    raise WayjaxError(f"no token of {row['target_text']!r} has a cell with walls: choose another")
  reach = 1 - member.cells.room
  used_N = _used(member, vectors_NxPxD[:, position], position)
  return Trace(
    prepared.lm, member, list(steps_N), vectors_NxPxD, position, int(margins.wall_P[position]),
    used_N >= _AT_IT * reach, reach,
  )  # fmt: skip


def _used(member: Member, vectors_NxD, position: int) -> np.ndarray:
  """How much of the way from its anchor to the first wall a vector has gone, (N,)."""
  points_NxD = np.concatenate([member.held.anchor_PxD[position][None], vectors_NxD])
  ids_N = np.full(len(points_NxD), member.target_ids[position])
  slack_NxV = member.cells.slacks(points_NxD, ids_N, (_METRIC,))[_METRIC]
  slack_NxV = slack_NxV[:, np.isfinite(slack_NxV[0]) & (slack_NxV[0] > 0)]
  return 1 - (slack_NxV[1:] / slack_NxV[0]).min(axis=1)


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
  run = found.homes[gather.member(rows[0])]
  return _Pair(tuned, free, rows[0]["gamma"], rows[0]["target_text"], run, rows[0])


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
