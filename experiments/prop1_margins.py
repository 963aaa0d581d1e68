"""Proposition 1 on a real model: around every token there is room for prompts that read as it.

Claim: a whole ball around a token's embedding projects to the token, so there are infinitely many
prompts that read as any text.
Paper: a proof; here the radius of every token's ball is half the distance to the nearest other
token, and 1,000 random points inside of such balls are projected.
Command: python -m experiments.prop1_margins --model gpt2-large --out runs/paper
Time: seconds on one H200-class GPU (estimated, not measured); 5 seconds with --demo on two cores.
"""

import sys
from pathlib import Path

import numpy as np

from experiments.experiment import Experiment, main
from wayjax.config import RunConfig
from wayjax.data.tasks import TASKS
from wayjax.devices.sharding import fetch
from wayjax.models import load_lm
from wayjax.projection import d_proj, margins

POINTS = 1000
_SEED = 0
_BINS = 60
_PERCENTILES = (5, 50, 95)
_INSIDE = 0.999  # of the radius: at the ball's surface rounding decides


def points_inside(table_VxD: np.ndarray, margin_V: np.ndarray, count: int):
  """Points drawn from the whole of random tokens' balls: token ids (N,), and points (N, D)."""
  rng = np.random.default_rng(_SEED)
  ids_N = rng.choice(np.flatnonzero(margin_V > 0), count)
  direction_NxD = rng.standard_normal((count, table_VxD.shape[1]))
  direction_NxD /= np.linalg.norm(direction_NxD, axis=1, keepdims=True)
  # The volume within r grows with r^D: nearly all of a ball is close to its surface.
  away_N = _INSIDE * margin_V[ids_N] * rng.random(count) ** (1 / table_VxD.shape[1])
  return ids_N, (table_VxD[ids_N] + away_N[:, None] * direction_NxD).astype(np.float32)


def measure(configs: list[RunConfig], out: Path) -> dict:
  """Measures the balls of a model's tokens."""
  config = configs[0]  # a model has the same tokens for every task
  lm = load_lm(config.model, revision=config.revision, precision="float32")
  table_VxD = fetch(lm.table_VxD)
  margin_V = margins(table_VxD)
  ids_N, points_NxD = points_inside(table_VxD, margin_V, POINTS)
  hits = int(np.sum(np.asarray(d_proj(points_NxD, table_VxD)) == ids_N))
  twins = int(np.sum(margin_V == 0))
  counts, edges = np.histogram(margin_V, _BINS)
  return {
    "figure": "histogram",
    "name": "prop1",
    "title": "Proposition 1: the room around tokens",
    "caption": f"{len(table_VxD):,} tokens of {lm.name}: half the distance to the nearest other "
    f"token. Of {POINTS:,} random points inside of these radii {hits:,} project back to their "
    f"token; {twins:,} tokens have a twin with the same embedding, and no room. Dotted: "
    "percentiles.",
    "x_label": "radius within which no other token is nearer",
    "y_label": "tokens",
    "edges": edges.tolist(),
    "counts": counts.tolist(),
    "marks": {f"{p} %": float(np.percentile(margin_V, p)) for p in _PERCENTILES},
    "model": lm.name,
    "tokens": len(table_VxD),
    "twins": twins,
    "points": POINTS,
    "hits": hits,
  }


EXPERIMENT = Experiment("prop1_margins", measure=measure, measured_on=tuple(TASKS))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
