"""Where vectors are, against plain loops; and how far texts are, against `into_cell`."""

import dataclasses

import jax
import numpy as np
import pytest

import wayjax
from wayjax.audit.geometry import Geometry, squared_distance
from wayjax.data.targets import Target
from wayjax.loss import c_dist
from wayjax.prompts import SoftPrompt, text_prompt


@pytest.fixture(scope="module")
def geometry(lm):
  return Geometry(lm)


@pytest.fixture(scope="module")
def table(lm):
  return np.asarray(lm.table_VxD, np.float64)[np.setdiff1d(np.arange(261), lm.rows_of_no_token)]


def near(lm, text, away=0.1) -> SoftPrompt:
  start = text_prompt(lm, text)
  noise = np.random.default_rng(7).normal(0, away, start.vectors_PxD.shape)
  return dataclasses.replace(start, vectors_PxD=start.vectors_PxD + noise)


def texts(*given: str) -> list[Target]:
  return [Target("text", f"text-{i}", text) for i, text in enumerate(given)]


def test_positions_are_what_loops_over_the_vocabulary_find(lm, geometry, table):
  prompt = near(lm, "read me")
  norms_V = np.linalg.norm(table, axis=1)
  for vector_D, found in zip(prompt.vectors_PxD.astype(np.float64), geometry.positions(prompt)):
    away_V = np.linalg.norm(table - vector_D, axis=1)
    nearest = int(np.argmin(away_V))
    others = [v for v in range(len(table)) if v != nearest]
    between = {v: float(np.linalg.norm(table[v] - table[nearest])) for v in others}
    walls = {v: (away_V[v] ** 2 - away_V[nearest] ** 2) / (2 * between[v]) for v in others}
    wall = min(walls, key=walls.get)
    norm = np.linalg.norm(vector_D)
    assert (found.token, found.wall) == (lm.tokenizer.decode([nearest]), token_of(lm, wall))
    assert found.distance == pytest.approx(away_V[nearest], rel=1e-6)
    assert found.margin == pytest.approx(walls[wall], rel=1e-6)
    assert found.margin_relative == pytest.approx(walls[wall] / min(between.values()) * 2, rel=1e-6)
    assert found.norm == pytest.approx(norm, rel=1e-6)
    assert found.norm_percentile == pytest.approx(100 * np.mean(norms_V <= norm))


def token_of(lm, token: int) -> str:
  text = lm.tokenizer.decode([token])
  return lm.tokenizer.convert_ids_to_tokens([token])[0] if "\ufffd" in text else text


def test_positions_name_the_tokens_of_a_text_of_the_same_length(lm, geometry):
  assert [at.target for at in geometry.positions(near(lm, "read"))] == list("read")
  longer = dataclasses.replace(near(lm, "reads"), reads_as=Target("text", "t", "read"))
  assert {at.target for at in geometry.positions(longer)} == {None}
  found = SoftPrompt(longer.vectors_PxD, lm.name)
  assert {at.target for at in geometry.positions(found)} == {None}


def test_the_scale_is_that_of_the_table(geometry, table):
  away_VxV = np.linalg.norm(table[:, None] - table[None], axis=2)
  np.fill_diagonal(away_VxV, np.inf)
  scale = geometry.scale
  assert (scale.tokens, scale.drawn) == (257, 257)
  assert scale.norm == pytest.approx(np.median(np.linalg.norm(table, axis=1)), rel=1e-6)
  assert scale.nearest_squared == pytest.approx(np.median(away_VxV.min(axis=1) ** 2), rel=1e-6)


def test_c_dist_is_that_of_the_loss(rng):
  one_PxD, other_PxD = rng.normal(size=(2, 5, 8)).astype(np.float32)
  expected = float(c_dist(one_PxD, other_PxD, np.ones(5, np.float32)))
  assert squared_distance(one_PxD, other_PxD) == pytest.approx(expected, rel=1e-6)


def test_other_texts_are_as_far_as_each_alone_is(lm, geometry, monkeypatch):
  prompt = near(lm, "read me", away=0.3)
  monkeypatch.setattr("wayjax.audit.geometry._AT_ONCE", 2)  # the last of three stands alone
  found, other_length, impossible = geometry.possible(
    prompt, texts("eat ham", "rEad_me", "a girl!", "short", "longer ones", "eat ham")
  )
  assert (other_length, impossible) == (2, {})
  assert sorted(one.text for one in found) == ["a girl!", "eat ham", "rEad_me"]
  assert [one.c_dist for one in found] == sorted(one.c_dist for one in found)
  for one in found:
    moved = wayjax.into_cell(prompt, one.text, lm)
    away_PxD = moved.vectors_PxD.astype(np.float64) - prompt.vectors_PxD
    assert one.c_dist == pytest.approx(np.sum(away_PxD**2) / len(prompt), rel=1e-9)
    assert one.moved == np.count_nonzero(np.abs(away_PxD).sum(axis=1))
    text_PxD = text_prompt(lm, one.text).vectors_PxD
    assert one.c_dist_to_text == pytest.approx(squared_distance(text_PxD, prompt.vectors_PxD))
    assert 0 < one.c_dist < one.c_dist_to_text


def test_the_text_of_its_own_cell_is_no_distance_away(lm, geometry):
  ((found,), _, _) = geometry.possible(near(lm, "read", away=1e-3), texts("read"))
  assert (found.c_dist, found.moved) == (0, 0)


def test_texts_that_nothing_reads_as_are_named(lm):
  """A token whose twin has a lower id is never read."""
  low, high = sorted(lm.tokenizer("qz")["input_ids"])

  def with_twin(x):
    return x.at[high].set(x[low]) if len(x) == 261 else x

  twinned = dataclasses.replace(lm, params=jax.tree.map(with_twin, lm.params))
  text = lm.tokenizer.decode([high])
  found, _, impossible = Geometry(twinned).possible(near(lm, "a"), texts(text, "b"))
  assert [one.text for one in found] == ["b"]
  assert list(impossible) == [text]
  assert f"token {low}" in impossible[text]


def test_vectors_of_any_length_have_a_place(lm, geometry):
  for size in (0.0, 1e-30, 1e18, 3e38):
    prompt = SoftPrompt(np.full((2, lm.width), size, np.float32), lm.name)
    positions = geometry.positions(prompt)
    assert positions[0].norm == pytest.approx(size * lm.width**0.5, rel=1e-5)
    (found,) = geometry.possible(prompt, texts("ab"))[0]
    assert found.moved == 2


def test_no_texts_are_no_work(lm, geometry):
  assert geometry.possible(near(lm, "a"), []) == ((), 0, {})
