"""Constraints: the paper's, and that another, or another reader, is one entry in one place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tuning.sweeps import BATCH, SHORT, STEPS, alone, examples, group_of, members_of, train

import wayjax
from wayjax.cells import Cells
from wayjax.constraints import CONSTRAINTS, Constraint, get_constraint
from wayjax.data import packing
from wayjax.data.packing import left_mask
from wayjax.devices.sharding import place
from wayjax.errors import WayjaxError
from wayjax.loss import c_dist, weighted_c_dist
from wayjax.readers import READERS, Reading
from wayjax.readers.reading import f1_with_target
from wayjax.run import main
from wayjax.tuning import program
from wayjax.tuning.settings import TrainSettings


class TestCDist:
  def test_its_penalty_is_gamma_times_c_dist(self, rng):
    prompt, target = rng.normal(size=(2, 5, 4)).astype(np.float32)
    mask_P, paper = left_mask(3, 5), get_constraint("c-dist")
    penalty, gradient = jax.value_and_grad(paper.penalty)(prompt, target, mask_P, (), 0.25)
    np.testing.assert_allclose(penalty, 0.25 * c_dist(prompt, target, mask_P), rtol=1e-6)
    np.testing.assert_allclose(gradient[2:], 0.25 * 2 * (prompt - target)[2:] / 3, rtol=1e-5)
    assert not np.any(gradient[:2])

  def test_it_holds_nothing_and_projects_nowhere(self, rng):
    paper, prompt = get_constraint("c-dist"), rng.normal(size=(5, 4))
    ids = np.array([1, 2])
    assert paper.prepare(ids, Cells(prompt)) == ()
    assert paper.project(prompt, prompt + 1, left_mask(3, 5), (), prompt, None) is prompt
    assert paper.settle(prompt, ids, (), Cells(prompt)) is prompt


def test_an_unknown_name_is_one_sentence():
  with pytest.raises(
    WayjaxError, match=r"^unknown constraint 'bal': choose one of c-dist, cell, toy$"
  ):
    get_constraint("bal")


# A constraint, as one that is added to CONSTRAINTS would be written.
def _prepare_toy(target_ids, cells) -> dict[str, np.ndarray]:
  """The radius of each position's ball."""
  return {"radius_P": (0.02 + 0.001 * (target_ids % 7)).astype(np.float32)}


def _penalise_toy(prompt_PxD, target_PxD, mask_P, held, gamma):
  slope = gamma * jnp.sum(held["radius_P"] * jnp.sum(prompt_PxD, axis=-1))
  return weighted_c_dist(prompt_PxD, target_PxD, mask_P, gamma) + slope


def _project_toy(prompt_PxD, target_PxD, mask_P, held, table_VxD, squares_NxB):
  """The nearest point of the ball around the target's embedding."""
  offset_PxD = prompt_PxD - target_PxD
  length_P = jnp.linalg.norm(offset_PxD, axis=-1)
  share_P = jnp.where(length_P > held["radius_P"], held["radius_P"] / length_P, 1.0)
  return target_PxD + offset_PxD * share_P[:, None]


TOY = Constraint(_penalise_toy, _project_toy, _prepare_toy)


# A reader, as one that is added to READERS would be written.
def _read_toy(lm, prompts, context) -> list[Reading]:
  texts = [f"{len(prompt)} vectors by {context.metric}" for prompt in prompts]
  return [
    Reading(text=text, **f1_with_target(text, prompt.reads_as, lm.tokenizer))
    for text, prompt in zip(texts, prompts)
  ]


@pytest.fixture(scope="module", autouse=True)
def added():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(CONSTRAINTS, "toy", TOY)
    patch.setitem(READERS, "toy", _read_toy)
    yield


def lengths_and_radii(prompt, table_VxD, ids) -> tuple[np.ndarray, np.ndarray]:
  """How far every vector is from its target's embedding, and how far it may be."""
  lengths_P = np.linalg.norm(prompt - np.asarray(table_VxD)[ids], axis=-1)
  return lengths_P, _prepare_toy(ids, None)["radius_P"]


def is_held(prompt, table_VxD, ids) -> bool:
  lengths_P, radii_P = lengths_and_radii(prompt, table_VxD, ids)
  return bool(np.all(lengths_P <= radii_P * 1.001))


@pytest.fixture(scope="module")
def tuned(lm):
  options = {"gammas": (0.0, 0.3), "seeds": (1, 2), "steps": STEPS, "batch_size": BATCH}
  targets = [members_of(lm)[0].target]
  return wayjax.tune(lm, examples(), targets, constraints=("c-dist", "toy"), **options)


class TestTune:
  """`wayjax.tune` with both constraints."""

  def test_members_are_named_after_it(self, tuned):
    assert [found.member.key for found in tuned] == [
      f"text/t7/gamma={gamma}/seed={seed}{constraint}"
      for constraint in ("", "/constraint=toy")
      for gamma in ("0", "0.3")
      for seed in (1, 2)
    ]

  def test_those_of_the_papers_keep_every_bit(self, lm, tuned):
    without = train(lm, members_of(lm))
    assert list(without) == [found.member.key for found in tuned[:4]]
    for found in tuned[:4]:
      other = without[found.member.key]
      np.testing.assert_array_equal(found.prompt.vectors_PxD, other.prompt.vectors_PxD)
      np.testing.assert_array_equal(found.cross_entropy_T, other.cross_entropy_T)

  def test_prompts_are_where_it_projects_them(self, lm, tuned):
    held = [
      is_held(found.prompt.vectors_PxD, lm.table_VxD, found.member.target_ids) for found in tuned
    ]
    assert held == [False] * 4 + [True] * 4
    for found in tuned[4:]:
      ids = found.member.target_ids
      lengths_P, radii_P = lengths_and_radii(found.prompt.vectors_PxD, lm.table_VxD, ids)
      assert np.any(lengths_P > radii_P * 0.99)  # it is what holds them

  def test_batched_equals_looped(self, tuned):
    for found in tuned[4:]:
      by_loop = alone(found.member)
      np.testing.assert_allclose(
        found.prompt.vectors_PxD, by_loop.prompts_TxPxD[-1], rtol=0, atol=1e-3
      )
      np.testing.assert_allclose(found.cross_entropy_T, by_loop.cross_entropy_T, rtol=1e-3)

  def test_padding_stays_untouched(self, lm):
    group = group_of(members_of(lm, constraints=("toy",)), 8)
    settings = TrainSettings(steps=STEPS, batch_size=BATCH)
    tokens = place(packing.training_tokens(examples()), lm.layout.everywhere())
    made = program.compile_group(lm, group, settings, tokens)
    leaves_M, state_M = program.begin(lm.layout, group, settings, made.size)
    assert leaves_M.held["radius_P"].shape == (4, 8)
    assert not np.any(leaves_M.held["radius_P"][:, 0])
    dispatch = group.schedule.dispatch(0, STEPS)
    state_M, _ = made.compiled(lm.params, tokens, leaves_M, state_M, dispatch)
    assert not np.any(state_M.prompt_PxD[:, 0])
    assert np.all(np.any(state_M.prompt_PxD[:, 1:], axis=-1))


@pytest.fixture(scope="module")
def options(model_dir, data_dir):
  return [
    "--dataset", "sst2", "--data-dir", str(data_dir), "--model", str(model_dir),
    "--seeds", "1", "--steps", "20", "--precision", "float32", "--target", SHORT,
    "--readers", "toy",
  ]  # fmt: skip


@pytest.fixture(scope="module")
def run(options, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "both"
  assert main([*options, "--out", str(folder), "--constraint", "c-dist", "toy"]) == 0
  return wayjax.read_run(folder)


class TestRun:
  """`python -m wayjax.run` with both constraints, and with both readers."""

  def test_rows_name_it(self, run):
    assert [(row["prompt_key"], row["constraint"]) for row in run.rows] == [
      ("text/text-1/gamma=0/seed=1", "c-dist"),
      ("text/text-1/gamma=0.01/seed=1", "c-dist"),
      ("text/text-1/gamma=0/seed=1/constraint=toy", "toy"),
      ("text/text-1/gamma=0.01/seed=1/constraint=toy", "toy"),
    ]
    assert run.config["constraint"] == ["c-dist", "toy"]
    assert [stored["constraint"] for stored in run.decisions()] == ["c-dist", "toy"]

  def test_prompts_are_where_it_projects_them_and_know_their_text(self, run, lm):
    ids = np.array(lm.tokenizer(SHORT)["input_ids"])
    for row in run.rows:
      prompt = run.prompt(row["prompt_key"])
      assert is_held(prompt.vectors_PxD, lm.table_VxD, ids) == (row["constraint"] == "toy")
      assert prompt.reads_as.text == SHORT
      assert prompt.model == run.config["model"]

  def test_a_run_without_it_finds_the_same_bits(self, run, options, tmp_path):
    assert main([*options, "--out", str(tmp_path / "alone")]) == 0
    without = wayjax.read_run(tmp_path / "alone")
    assert len(without.rows) == 2
    for row, other in zip(run.rows[:2], without.rows, strict=True):
      assert row | {"wall_seconds": 0} == other | {"wall_seconds": 0}
      ours, theirs = (each.prompt(row["prompt_key"]) for each in (run, without))
      np.testing.assert_array_equal(ours.vectors_PxD, theirs.vectors_PxD)

  def test_rows_hold_what_every_reader_read(self, run):
    for row in run.rows:
      assert list(row["readings"]) == ["nearest", "toy"]
      assert row["readings"]["nearest"]["text"] == row["projected_text"]
      toy = row["readings"]["toy"]
      assert toy == {
        "text": "7 vectors by euclidean",
        "prompt_f1": 0.0,
        "prompt_f1_lemma": toy["prompt_f1_lemma"],
      }

  def test_an_unknown_reader_is_refused_before_anything_is_loaded(self, capsys, tmp_path):
    options = ["--dataset", "sst2", "--model", "nowhere/none", "--target", "x"]
    assert main([*options, "--readers", "oracle", "--out", str(tmp_path / "no")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wayjax: error: unknown reader 'oracle': choose among nearest, ")

  def test_an_unknown_name_is_refused_before_anything_is_loaded(self, capsys, tmp_path):
    options = ["--dataset", "sst2", "--model", "nowhere/none", "--target", "x"]
    assert main([*options, "--constraint", "ball", "--out", str(tmp_path / "no")]) == 2
    error = capsys.readouterr().err
    assert error == "wayjax: error: unknown constraint 'ball': choose one of c-dist, cell, toy\n"
    assert not (tmp_path / "no").exists()
