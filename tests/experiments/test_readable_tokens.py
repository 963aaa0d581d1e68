"""Which tokens some vector reads as; every witness is checked by a plain loop in float64."""

import collections

import numpy as np
import pytest
from test_hull import read_by_loop

from experiments import readable_tokens
from experiments.readable_tokens import (
  CENTRED,
  EMBEDDING,
  IN_HULL,
  KINDS,
  SEARCHED,
  TWIN,
  UNDECIDED,
  WHITENED,
  candidates,
  find_witnesses,
)
from wayjax.cells import Cells
from wayjax.command_line import parse_args
from wayjax.config import METRICS


def nearest_by_loop(table_VxD, vector_D, metric: str, unused=()) -> int:
  if metric != "euclidean":
    return read_by_loop(table_VxD, vector_D, metric, unused)
  away_V = np.linalg.norm(table_VxD.astype(np.float64) - vector_D, axis=1)
  away_V[list(unused)] = np.inf
  return int(np.argmin(away_V))


@pytest.fixture
def table_VxD(rng):
  """Tokens of all kinds: 7 is a twin of 3, 9 and 11 in the hull, 11 has 3's direction, 20 is 0."""
  table_VxD = (rng.normal(size=(120, 16)) + 0.5).astype(np.float32)
  table_VxD[7] = table_VxD[3]
  table_VxD[9] = table_VxD[30:110].mean(axis=0)
  table_VxD[11] = 0.25 * table_VxD[3]
  table_VxD[20] = 0
  return table_VxD


UNUSED = [40, 119]


@pytest.mark.parametrize("metric", METRICS)
def test_every_witness_reads_as_its_token(table_VxD, metric):
  cells = Cells(table_VxD, UNUSED, dtype="float32")
  kind_V, found = find_witnesses(cells, metric)
  assert [kind_V[token] for token in (*UNUSED, 7)] == ["", "", TWIN]
  read = 0
  for token, kind in enumerate(kind_V):
    if kind in KINDS[:4]:
      vector_D = found[token] if kind == SEARCHED else candidates(cells, [token], kind)[0]
      assert vector_D.dtype == np.float32
      assert nearest_by_loop(table_VxD, vector_D, metric, UNUSED) == token
      read += 1
  lacking = {token: kind for token, kind in enumerate(kind_V) if kind in (IN_HULL, UNDECIDED)}
  assert read + len(lacking) == 120 - 2 - 1
  expected = {
    "euclidean": {},
    "dot": {9: IN_HULL, 11: IN_HULL},
    "cosine": {3: IN_HULL, 11: IN_HULL},
  }
  assert lacking == expected[metric]
  assert set(found) == set(np.flatnonzero(kind_V == SEARCHED))


def test_under_the_dot_product_vectors_are_looked_for_in_order(table_VxD):
  cells = Cells(table_VxD, UNUSED, dtype="float32")
  kind_V, _ = find_witnesses(cells, "dot")
  for place, kind in enumerate((EMBEDDING, CENTRED, WHITENED, SEARCHED)):
    own = np.flatnonzero(kind_V == kind)
    assert len(own)
    for earlier in (EMBEDDING, CENTRED, WHITENED)[: min(place, 3)]:
      tried_NxD = candidates(cells, own, earlier)
      assert not cells.reads(tried_NxD, own, ("dot",)).any()


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_it_counts_what_float64_counts_however_near_walls_are(rng, metric, monkeypatch):
  """Walls at all distances from none to far, in blocks with a last one that is not full."""
  table_VxD = rng.normal(size=(90, 12)).astype(np.float32)
  table_VxD[45:] = table_VxD[:45] * (
    1 + np.logspace(-9, -1, 45)[:, None] * rng.normal(size=(45, 12))
  )
  cells = Cells(table_VxD, dtype="float32")
  monkeypatch.setattr(readable_tokens, "_SCORES", 90 * 32)
  monkeypatch.setattr(readable_tokens, "_CHECKED", 5)
  kind_V, _ = find_witnesses(cells, metric)
  own = np.array([t for t in range(90) if cells.lower_twin(t) is None])
  (reads,) = cells.reads(table_VxD[own], own, (metric,))
  assert 0 < reads.sum() < len(own)
  np.testing.assert_array_equal(kind_V[own] == EMBEDDING, reads)


def test_what_there_was_no_time_for_is_undecided(table_VxD, monkeypatch):
  cells = Cells(table_VxD, dtype="float32")
  before, _ = find_witnesses(cells, "dot")
  monkeypatch.setattr(readable_tokens, "_MOST_SECONDS", -1.0)
  after, found = find_witnesses(cells, "dot")
  assert not found
  searched = np.isin(before, (SEARCHED, IN_HULL))
  assert searched.any()
  np.testing.assert_array_equal(after, np.where(searched, UNDECIDED, before))


def test_progress_is_shown(table_VxD, capsys, monkeypatch):
  monkeypatch.setattr(readable_tokens, "_SECONDS", -1.0)
  find_witnesses(Cells(table_VxD, dtype="float32"), "dot", readable_tokens._Progress())
  shown = capsys.readouterr().out.splitlines()
  assert shown[0] == "dot, embedding: 0 of 119 tokens"
  assert any(line.startswith("dot, least squares: 0 of ") for line in shown)


def test_the_table_counts_every_token_and_names_those_without_a_vector(
  model_dir, tmp_path, monkeypatch, table_VxD
):
  class Made(Cells):
    def __init__(self, table_LxD, unused_U, **more):
      own_LxD = np.pad(table_VxD, [(0, len(table_LxD) - 120), (0, 0)])
      own_LxD[120:] = 5 * np.random.default_rng(1).normal(size=own_LxD[120:].shape)
      super().__init__(own_LxD, unused_U, **more)

  monkeypatch.setattr(readable_tokens, "Cells", Made)
  config = parse_args(["--dataset", "trec", "--model", str(model_dir)])
  measured = readable_tokens.measure([config], tmp_path)
  table, tokens = measured["table"], measured["tokens"]
  lines = {line[0]: dict(zip(table["columns"], line, strict=True)) for line in table["lines"]}
  assert list(lines) == list(METRICS)
  for metric, line in lines.items():
    assert sum(int(line[kind]) for kind in KINDS) == int(line["tokens"]) == tokens
    lacking = measured["lacking"][metric]
    assert collections.Counter(each["why"] for each in lacking) == {
      kind: int(line[kind]) for kind in KINDS[4:] if line[kind] != "0"
    }
    assert line["read %"] == f"{100 * (tokens - len(lacking)) / tokens:.2f}"
  assert {each["token"] for each in measured["lacking"]["euclidean"]} == {7}
  (text,) = [each["text"] for each in measured["lacking"]["euclidean"]]
  assert f"Without a vector under euclidean: 1: {text!r}." in table["caption"]
  assert "it can hold for texts of those tokens alone" in table["caption"]
