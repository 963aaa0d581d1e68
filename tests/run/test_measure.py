"""What a run records of tuned prompts: their rows, their nearest tokens, their training curves."""

import dataclasses
import json

import numpy as np
import pytest

from wayjax.config import RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.evaluation import Evaluation
from wayjax.metrics import prompt_f1
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import READERS
from wayjax.readers.fooling import FoolLogitLens
from wayjax.readers.nearest import token_texts
from wayjax.results.folder import read_run
from wayjax.results.rows import Row
from wayjax.results.writer import RunWriter
from wayjax.run.measure import Curves, Measure
from wayjax.tuning.callbacks import Meter, Progress
from wayjax.tuning.members import TunedPrompt, make_members
from wayjax.tuning.step import StepLosses

CONFIG = RunConfig(
  dataset="sst2", model="tiny", steps=150, lr=0.25, split="dev", init="target", gamma=(0.0, 0.5)
)
TARGET = Target("ni", "a task", "read me")


class FakeEvaluator:
  """Scores prompts by their vectors, and keeps what it was given; nothing is compiled."""

  def __init__(self):
    self.given: list[list[SoftPrompt]] = []

  def __call__(self, prompts):
    self.given.append(prompts)
    return [Evaluation(self.score(prompt), 0.125, 1.0, None, None) for prompt in prompts]

  @staticmethod
  def score(prompt: SoftPrompt) -> float:
    with np.errstate(over="ignore"):
      return float(np.abs(np.nan_to_num(prompt.vectors_PxD)).sum(dtype=np.float64) % 1)


@pytest.fixture
def evaluator():
  return FakeEvaluator()


@pytest.fixture
def measure(lm, evaluator):
  return Measure(CONFIG, get_task("sst2"), lm, evaluator)


def tuned(lm, text=TARGET.text, *, gamma=0.5, shift=0.0, seed=7, steps=150, **changes):
  """A member whose training moved every number of its prompt by as much."""
  target = dataclasses.replace(TARGET, text=text)
  (member,) = make_members(lm, [target], (gamma,), (seed,))
  return TunedPrompt(
    **{
      "prompt": SoftPrompt(member.init_PxD + shift, lm.name, member.target),
      "member": member,
      "cross_entropy_T": np.arange(steps, dtype=np.float32),
      "c_dist_T": np.full(steps, 2.0, np.float32),
      "diverged_at": None,
      "wall_seconds": 1.23456,
      **changes,
    }
  )


def row_of(measure, found: TunedPrompt) -> dict:
  ((row,), _) = measure([found])
  return row


class TestRows:
  def test_a_row_has_every_field_of_the_schema_and_nothing_else(self, measure, lm):
    found = tuned(lm, shift=0.001)
    row = row_of(measure, found)
    reading = {"text": "read me", "prompt_f1": 1.0, "prompt_f1_lemma": row["prompt_f1_lemma"]}
    expected = Row(
      model=lm.name,
      dataset="sst2",
      demo=False,
      split="dev",
      target_group="ni",
      target_name="a task",
      target_text="read me",
      gamma=0.5,
      constraint="c-dist",
      seed=7,
      steps=150,
      prompt_tokens=7,
      prompt_key="ni/a task/gamma=0.5/seed=7",
      status="done",
      diverged_at=None,
      init="target",
      lr=0.25,
      precision="float32",
      before="",
      after="",
      reply="",
      log_loss=1.0,
      rouge_l=None,
      accuracy=FakeEvaluator.score(found.prompt),
      macro_f1=0.125,
      text_accuracy=FakeEvaluator.score(text_prompt(lm, "read me")),
      hard_accuracy=FakeEvaluator.score(text_prompt(lm, "read me")),
      prompt_f1=1.0,
      prompt_f1_lemma=row["prompt_f1_lemma"],
      token_match=1.0,
      c_dist=pytest.approx(lm.width * 0.001**2, rel=1e-2),
      certified=True,
      certified_metrics=row["certified_metrics"],
      margin=row["margin"],
      margin_relative=row["margin_relative"],
      projection="euclidean",
      projected_text="read me",
      projected_text_euclidean="read me",
      projected_text_dot=row["projected_text_dot"],
      projected_text_cosine="read me",
      readings={"nearest": reading},
      train_loss=pytest.approx(np.mean(np.arange(50, 150)) + 0.5 * 2),
      wall_seconds=1.235,
    )
    assert row == expected.to_json()
    assert list(row) == list(expected.to_json())
    assert expected.accuracy != expected.text_accuracy
    assert set(row["certified_metrics"]) >= {"euclidean", "cosine"}
    assert 0.9 < row["margin_relative"] < 1  # it moved by a thousandth
    assert 0 < row["margin"] < np.linalg.norm(np.asarray(lm.table_VxD), axis=1).max()

  def test_rows_are_json(self, measure, lm):
    rows, records = measure([tuned(lm), tuned(lm, "x", shift=1e30, diverged_at=0)])
    json.dumps([rows, records], allow_nan=False)
    assert rows[1]["c_dist"] is None  # it overflows
    assert rows[1]["train_loss"] is None  # no step was sound
    assert rows[1]["certified"] is False
    assert rows[1]["certified_metrics"] == []

  def test_rows_come_in_the_order_of_the_chunk(self, measure, lm):
    chunk = [tuned(lm, text) for text in ("a longer one", "x", "read me")]
    rows, records = measure(chunk)
    keys = [found.member.key for found in chunk]
    assert [row["prompt_key"] for row in rows] == [at["prompt_key"] for at in records] == keys
    assert [row["target_text"] for row in rows] == ["a longer one", "x", "read me"]

  def test_a_diverged_member_counts_its_sound_steps_only(self, measure, lm):
    row = row_of(measure, tuned(lm, gamma=0.0, diverged_at=11))
    assert (row["status"], row["diverged_at"]) == ("diverged", 11)
    assert row["train_loss"] == pytest.approx(np.mean(np.arange(11)))

  def test_the_loss_of_a_reader_that_is_fooled_counts_by_its_weight(self, measure, lm):
    found = tuned(lm, gamma=0.0, reader_nll_T=np.full(150, 3.0, np.float32))
    member = dataclasses.replace(found.member, fooling=FoolLogitLens(weight=0.5))
    row = row_of(measure, dataclasses.replace(found, member=member))
    assert row["train_loss"] == pytest.approx(np.mean(np.arange(50, 150)) + 0.5 * 3)

  def test_another_length_than_the_target_has_no_distance(self, measure, lm):
    found = tuned(lm, gamma=0.0)
    longer = SoftPrompt(np.tile(found.prompt.vectors_PxD, (2, 1)), lm.name, found.member.target)
    row = row_of(measure, dataclasses.replace(found, prompt=longer))
    assert row["c_dist"] is row["token_match"] is None
    assert row["certified"] is row["certified_metrics"] is None
    assert row["margin"] is row["margin_relative"] is None
    assert row["prompt_f1"] == prompt_f1("read meread me", "read me")

  @pytest.mark.parametrize("metric", ["dot", "cosine"])
  def test_the_reading_is_of_the_projection_that_was_asked_for(self, lm, evaluator, metric):
    config = dataclasses.replace(CONFIG, projection=metric)
    found = tuned(lm)
    noise = 0.01 * np.random.default_rng(5).normal(size=found.prompt.vectors_PxD.shape)
    found = dataclasses.replace(found, prompt=SoftPrompt(noise, lm.name, found.member.target))
    row = row_of(Measure(config, get_task("sst2"), lm, evaluator), found)
    assert row["projection"] == metric
    assert row["projected_text"] == row[f"projected_text_{metric}"]
    assert row["projected_text"] != row["projected_text_euclidean"]
    assert row["readings"]["nearest"]["text"] == row["projected_text"]

  @pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"model": "demo"}, True), ({"data_dir": "demo"}, True), ({"demo": True}, False)],
  )
  def test_a_row_of_the_embedded_model_or_rows_says_so(self, lm, evaluator, changes, expected):
    config = dataclasses.replace(CONFIG, **changes)
    row = row_of(Measure(config, get_task("sst2"), lm, evaluator), tuned(lm))
    assert row["demo"] is expected

  def test_every_reader_that_is_asked_reads(self, lm, evaluator, monkeypatch):
    nearest = READERS["nearest"]

    def shouting(lm, prompts, context):
      return [
        dataclasses.replace(found, text=found.text.upper())
        for found in nearest(lm, prompts, context)
      ]

    monkeypatch.setitem(READERS, "shouting", shouting)
    config = dataclasses.replace(CONFIG, readers=("shouting",))
    row = row_of(Measure(config, get_task("sst2"), lm, evaluator), tuned(lm))
    assert {name: found["text"] for name, found in row["readings"].items()} == {
      "nearest": "read me",
      "shouting": "READ ME",
    }
    assert row["projected_text"] == "read me"


class TestCertificate:
  """Whether a prompt certainly reads as its text, and how far it is from reading as another."""

  @pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
  def test_it_agrees_with_what_the_prompt_reads_as(self, measure, lm, shift):
    row = row_of(measure, tuned(lm, shift=shift))
    assert row["certified"] is (row["projected_text"] == "read me") is (shift < 0.5)
    assert (row["margin"] > 0) == (row["margin_relative"] > 0) == row["certified"]
    for metric in row["certified_metrics"]:
      assert row[f"projected_text_{metric}"] == "read me"

  @pytest.mark.parametrize("metric", ["dot", "cosine"])
  def test_it_is_by_the_projection_that_was_asked_for(self, lm, evaluator, metric):
    config = dataclasses.replace(CONFIG, projection=metric)
    found = tuned(lm, shift=0.02)
    row = row_of(Measure(config, get_task("sst2"), lm, evaluator), found)
    margins = found.member.cells.margins(found.prompt.vectors_PxD, found.member.target_ids, metric)
    assert row["certified"] is (metric in row["certified_metrics"])
    assert row["margin"] == margins.distance_P.min()
    assert row["margin_relative"] == margins.relative_P.min()

  @pytest.mark.parametrize(("dtype", "certified"), [("float32", True), ("bfloat16", False)])
  def test_it_holds_up_to_the_type_that_was_asked_for(self, measure, lm, dtype, certified):
    """At a hundred-thousandth of the way before the wall, rounding decides."""
    (member,) = make_members(lm, [TARGET], (0.0,), (1,), certify_dtype=dtype)
    table = np.asarray(lm.table_VxD, np.float64)
    others = [np.argsort(np.linalg.norm(table - e_D, axis=1))[1] for e_D in member.target_PxD]
    vectors_PxD = member.target_PxD + (0.5 - 1e-5) * (table[others] - member.target_PxD)
    prompt = SoftPrompt(vectors_PxD, lm.name, member.target)
    row = row_of(measure, tuned(lm, member=member, prompt=prompt))
    assert row["certified"] is certified
    assert 0 < row["margin_relative"] < 1e-4

  def test_the_walls_of_every_position(self, measure, lm):
    found = tuned(lm, shift=0.02)
    ((row,), (record,)) = measure([found])
    assert len(record["walls"]) == 7
    margins = found.member.cells.margins(
      found.prompt.vectors_PxD, found.member.target_ids, "euclidean"
    )
    for wall, token, distance, relative in zip(
      record["walls"], margins.wall_P, margins.distance_P, margins.relative_P
    ):
      assert wall["token"] == token_texts(lm, [token])[0]
      assert wall["distance"] == pytest.approx(distance, abs=1e-6)
      assert wall["relative"] == pytest.approx(relative, abs=1e-6)
    assert min(wall["distance"] for wall in record["walls"]) == pytest.approx(
      row["margin"], abs=1e-6
    )

  def test_another_length_has_no_walls(self, measure, lm):
    found = tuned(lm, gamma=0.0)
    longer = SoftPrompt(np.tile(found.prompt.vectors_PxD, (2, 1)), lm.name, found.member.target)
    _, (record,) = measure([dataclasses.replace(found, prompt=longer)])
    assert record["walls"] is None


def test_the_nearest_tokens_of_every_position(measure, lm):
  _, (record,) = measure([tuned(lm, shift=0.001)])
  assert record.keys() == {"prompt_key", "target_tokens", "nearest", "walls"}
  assert record["target_tokens"] == list("read me")
  assert [tokens[0][0] for tokens in record["nearest"]] == list("read me")
  assert {len(tokens) for tokens in record["nearest"]} == {5}


class TestPlainTokens:
  """The target, and what a prompt projects to, are prompts too: each is scored once."""

  def test_each_is_scored_once(self, measure, evaluator, lm):
    measure([tuned(lm, gamma=gamma) for gamma in (0.0, 0.5)])
    assert [len(prompts) for prompts in evaluator.given] == [2, 1]
    measure([tuned(lm, seed=8), tuned(lm, "x")])
    assert [len(prompts) for prompts in evaluator.given[2:]] == [2, 1]
    np.testing.assert_array_equal(
      evaluator.given[3][0].vectors_PxD, text_prompt(lm, "x").vectors_PxD
    )

  def test_a_resumed_run_scores_none_again(self, measure, evaluator, lm, tmp_path):
    ids = {text: lm.tokenizer(text)["input_ids"] for text in ("read me", "reed me")}
    table = np.asarray(lm.table_VxD)
    moved = SoftPrompt(table[ids["reed me"]], lm.name)
    old = tuned(lm)
    writer = RunWriter.begin(tmp_path / "run")
    writer.write_config({})
    row = {"prompt_key": old.member.key, "text_accuracy": 0.75, "hard_accuracy": 0.5}
    writer.append_rows([row], {old.member.key: moved.vectors_PxD})
    run = read_run(writer.path)
    measure.recall(run.rows, {old.member.key: old.member}, run)
    rows, _ = measure([tuned(lm, seed=8), tuned(lm, seed=9, prompt=moved)])
    assert [len(prompts) for prompts in evaluator.given] == [2, 0]
    assert [row["text_accuracy"] for row in rows] == [0.75, 0.75]
    assert [row["hard_accuracy"] for row in rows] == [0.75, 0.5]

  def test_without_rows_nothing_is_recalled(self, measure, tmp_path):
    RunWriter.begin(tmp_path / "run").write_config({})
    measure.recall([], {}, read_run(tmp_path / "run"))
    assert measure._discrete == {}


class Recorder:
  """A display and a writer that keep what they are told, in order."""

  def __init__(self):
    self.told: list[tuple] = []

  def estimate(self, at):
    self.told.append(("estimate", at.step))
    return at.step > 1

  def progress(self, at, members):
    self.told.append(("progress", at.step, members))

  def append_metrics(self, records):
    self.told.append(("points", records))

  @property
  def points(self) -> list[dict]:
    return [point for what, *told in self.told if what == "points" for point in told[0]]


class TestCurves:
  @pytest.fixture
  def told(self):
    return Recorder()

  @pytest.fixture
  def curves(self, lm, told, evaluator):
    def make(eval_every=0, dev=None):
      config = dataclasses.replace(CONFIG, eval_every=eval_every)
      return Curves(config, lm, told, told, 6, dev)

    return make

  def at(self, lm, step, window, *, gammas=(0.0, 0.5), **options) -> Progress:
    """After some steps, each of which lost as much as its number."""
    members = make_members(lm, [TARGET], gammas, (7,), **options)
    losses = np.tile(np.arange(1, step + 1, dtype=np.float32), (len(members), 1))
    return Progress(
      chunk=members,
      step=step,
      steps=40,
      losses_MxT=StepLosses(losses, 10 * losses),
      window=window,
      meter=Meter(80),
      memory=0,
      prompts=lambda: [member.init_PxD for member in members],
    )

  def test_the_first_steps_of_a_sweep_give_the_estimate(self, curves, told, lm):
    curve = curves()
    for step in (1, 20, 40, 20):
      curve(self.at(lm, step, 0))
    assert told.told == [
      *(("estimate", 1), ("progress", 1, 6), ("estimate", 20), ("progress", 20, 6)),
      *(("progress", 40, 6), ("progress", 20, 6)),
    ]

  def test_a_point_is_the_mean_since_the_last(self, curves, told, lm):
    curves()(self.at(lm, 20, 5))
    keys = [f"ni/a task/gamma={gamma}/seed=7" for gamma in ("0", "0.5")]
    assert told.points == [
      {"prompt_key": key, "step": 20, "cross_entropy": 18.0, "c_dist": 180.0} for key in keys
    ]

  def test_where_there_is_no_distance_none_is_written(self, curves, told, lm):
    curves()(self.at(lm, 20, 5, gammas=(0.0,), init="random", prompt_tokens=3))
    assert [point["c_dist"] for point in told.points] == [None]

  def test_what_is_not_finite_is_not_written(self, curves, told, lm):
    at = self.at(lm, 20, 5)
    at.losses_MxT.cross_entropy[0, -1] = np.inf
    curves()(at)
    assert [point["cross_entropy"] for point in told.points] == [None, 18.0]
    json.dumps(told.points, allow_nan=False)

  @pytest.mark.parametrize(
    ("step", "window", "due"), [(30, 10, True), (20, 5, False), (30, 0, False), (40, 10, False)]
  )
  def test_dev_is_scored_when_it_is_due(self, curves, told, lm, evaluator, step, window, due):
    curves(eval_every=30, dev=evaluator)(self.at(lm, step, window))
    assert len(evaluator.given) == due
    scores = [point["dev_accuracy"] for point in told.points if "dev_accuracy" in point]
    prompt = text_prompt(lm, "read me")
    assert scores == [FakeEvaluator.score(prompt)] * 2 * due

  def test_without_an_evaluator_dev_is_never_scored(self, curves, told, lm):
    curves()(self.at(lm, 30, 10))
    assert all("dev_accuracy" not in point for point in told.points)
