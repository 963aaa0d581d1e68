"""`python -m wayjax.run --constraint cell`: what its rows say is so; cut off, it ends the same."""

import json

import numpy as np
import plainly
import pytest
from comparison import what_counts

import wayjax
from wayjax.run import main
from wayjax.tuning.checkpoint import Checkpoints

TEXT = "read me"


@pytest.fixture(scope="module")
def options(inputs):
  return [
    *inputs, "--target", TEXT, "--seeds", "1", "2", "--gamma", "0", "0.01", "--steps", "40",
    "--constraint", "c-dist", "cell", "--cell-gamma", "0", "0.01", "--lr", "0.3",
    "--members-at-once", "2", "--checkpoint-every", "0",
  ]  # fmt: skip


@pytest.fixture(scope="module")
def out(options, tmp_path_factory):
  folder = tmp_path_factory.mktemp("cells") / "run"
  assert main([*options, "--out", str(folder)]) == 0
  return folder


@pytest.fixture(scope="module")
def run(out):
  return wayjax.read_run(out)


class TestRows:
  def test_which_there_are(self, run):
    assert [row["prompt_key"].removeprefix("text/text-1/") for row in run.rows] == [
      "gamma=0/seed=1",
      "gamma=0/seed=2",
      "gamma=0.01/seed=1",
      "gamma=0.01/seed=2",
      "gamma=0/seed=1/constraint=cell",
      "gamma=0/seed=2/constraint=cell",
      "gamma=0.01/seed=1/constraint=cell",
      "gamma=0.01/seed=2/constraint=cell",
    ]
    assert run.config["cell_gamma"] == [0.0, 0.01]

  def test_what_is_certified_reads_as_its_text_in_every_type(self, run, lm):
    ids, table_VxD = lm.tokenizer(TEXT)["input_ids"], np.asarray(lm.table_VxD)
    for row in run.rows:
      assert row["certified"] is ("euclidean" in row["certified_metrics"])
      assert row["certified"] or row["constraint"] == "c-dist"
      prompt_PxD = run.prompt(row["prompt_key"]).vectors_PxD
      for metric in row["certified_metrics"]:
        for dtype in plainly.TYPES:
          assert plainly.readings(prompt_PxD, table_VxD, metric, dtype) == ids
        assert row[f"projected_text_{metric}"] == TEXT
      if row["certified"]:
        assert row["prompt_f1"] == row["token_match"] == 1
        assert row["margin"] > 0

  def test_unconstrained_prompts_are_not(self, run):
    free = [row for row in run.rows if row["constraint"] == "c-dist" and row["gamma"] == 0]
    assert [row["certified"] for row in free] == [False, False]
    assert all(row["prompt_f1"] < 1 and row["margin"] < 0 for row in free)

  def test_who_is_behind_the_nearest_wall(self, out):
    records = [json.loads(line) for line in (out / "readings.jsonl").read_text().splitlines()]
    assert len(records) == 8
    for record in records:
      assert len(record["walls"]) == len(record["target_tokens"]) == len(TEXT)
      for wall, token in zip(record["walls"], record["target_tokens"]):
        assert wall["token"] != token
        assert np.sign(wall["distance"]) == np.sign(wall["relative"])


@pytest.mark.parametrize("number", [3, 7])
def test_cut_off_it_ends_with_the_same_bits(options, out, tmp_path, monkeypatch, number):
  class Cut(BaseException):
    pass

  save, calls = Checkpoints.save, []

  def cut(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == number:
      raise Cut
    save(self, *args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(Checkpoints, "save", cut)
    with pytest.raises(Cut):
      main([*options, "--out", str(tmp_path / "cut")])
  assert main(["--resume", str(tmp_path / "cut")]) == 0
  assert what_counts(tmp_path / "cut") == what_counts(out)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (["--cell-gamma", "0.1", "0.1"], "--cell-gamma has the same value twice"),
    (["--cell-gamma", "-1"], "--cell-gamma must be numbers of at least 0, not -1.0"),
    (["--certify-dtype", "float64"], "--certify-dtype must be one of float32, float16, bfloat16"),
    (["--certify-metrics", "l1"], "--certify-metrics must be one of euclidean, dot, cosine, not"),
    (["--certify-metrics", "dot", "dot"], "--certify-metrics has the same value twice"),
    (
      ["--certify-metrics", "dot", "cosine"],
      "--certify-metrics dot cosine lacks --projection euclid",
    ),
    (
      ["--prompt-tokens", "9", "--init", "vocab", "--gamma", "0"],
      "--prompt-tokens 9 does not go with --constraint c-dist cell: target 'text-1' has 7 tokens",
    ),
  ],
)
def test_what_is_refused(options, tmp_path, capsys, change, message):
  assert main([*options, "--out", str(tmp_path / "no"), *change]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f"wayjax: error: {message}")
  assert not (tmp_path / "no" / "results.jsonl").exists()


def test_a_token_without_an_anchor_ends_the_run_with_one_sentence(
  options, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(
    "wayjax.anchors.points_inside", lambda cells, ids_P, metrics: (cells.table_VxD[ids_P], ids_P)
  )
  arguments = [*options, "--out", str(tmp_path / "no"), "--certify-metrics", "dot"]
  arguments += ["--projection", "dot"]
  assert main(arguments) == 2
  assert capsys.readouterr().err == (
    "wayjax: error: no vector reads as token 82 ('r') under dot in every type up to bfloat16: "
    "choose other --certify-metrics, or another text\n"
  )


@pytest.mark.parametrize("metrics", [["dot"], ["dot", "cosine"]])
def test_it_is_read_by_the_metric_that_holds_it(inputs, tmp_path, lm, metrics):
  arguments = ["--target", TEXT, "--seeds", "1", "--steps", "20", "--lr", "1000"]
  held = ["--constraint", "cell", "--certify-metrics", *metrics, "--projection", "dot"]
  assert main([*inputs, *arguments, *held, "--out", str(tmp_path / "run")]) == 0
  (row,) = wayjax.read_run(tmp_path / "run").rows
  assert row["certified"] is True
  assert set(row["certified_metrics"]) >= set(metrics)
  assert row["projected_text"] == row["projected_text_dot"] == TEXT
  assert row["margin"] > 0
