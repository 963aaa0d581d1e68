"""The benchmark: the same work for all, and a table that says what was measured."""

import copy
import dataclasses

import pytest

from experiments.benchmark import comparison, wayjax_sweep, work
from experiments.benchmark.__main__ import main
from wayjax.data.frame import NO_FRAME
from wayjax.errors import WayjaxError

RESULT = {
  "loss": 2.0,
  "gradient_norm": 0.5,
  "mean_losses": [[1.0, 2.0], [3.0, 4.0]],
  "step_seconds": [3.0, 1.0, 2.0],
  "evaluation_seconds": 4.0,
  "evaluation_rows": 8,
  "peak_bytes": 2**30,
}


def test_ratios_are_taken_of_medians_and_of_the_best_peer():
  results = {
    "released protocol, f32": RESULT | {"step_seconds": [8.0]},
    "PEFT, f32": RESULT | {"step_seconds": [6.0], "evaluation_seconds": 8.0},
    "PEFT, bf16": RESULT | {"step_seconds": [4.0], "evaluation_seconds": 16.0},
    "packed PyTorch, f32, M = 4": RESULT | {"step_seconds": [6.0], "evaluation_seconds": 2.0},
    "wayjax, bf16, M = 4": RESULT | {"operations": 6e9, "compile_seconds": 5.0},
  }
  rows = comparison.compare(results, {"f32": 1e9, "bf16": 12e9})
  row = rows["wayjax, bf16, M = 4"]
  assert row["seconds_per_member_step"] == 2.0
  assert row["training_against_released protocol"] == 4.0
  assert row["training_against_PEFT"] == 2.0
  assert row["examples_per_second"] == 2.0
  assert row["evaluation_against_PEFT"] == 2.0
  assert row["share_of_matmul_rate"] == 0.25
  table = comparison.to_markdown(rows).splitlines()
  assert len(table) == 7
  assert "| 2.000 | 4.0 | 2.0 | 3.00 | 2.0 | 1.0 | 2.0 | 0.50 | 25% | 1.0 | 5.0 |" in table[-1]
  del rows["packed PyTorch, f32, M = 4"]
  alone = {
    name: {key: value for key, value in row.items() if "packed" not in key}
    for name, row in rows.items()
  }
  table = comparison.to_markdown(alone).splitlines()
  assert "packed PyTorch" not in table[0]
  assert "| 2.000 | 4.0 | 2.0 | 2.0 | 1.0 | 2.0 | 25% | 1.0 | 5.0 |" in table[-1]


@pytest.mark.parametrize("what", ["loss", "gradient_norm", "mean_losses"])
def test_contenders_that_differ_are_refused(what):
  other = copy.deepcopy(RESULT)
  if what == "mean_losses":
    other[what][1][1] *= 1.001
  else:
    other[what] += 0.001
  results = {"PEFT, f32": RESULT, "wayjax, f32, M = 4": other}
  with pytest.raises(WayjaxError, match=f"differ by .* in {what}"):
    comparison.check_agreement(results, "sst2")
  # bfloat16 rounds: it is not compared.
  comparison.check_agreement({"PEFT, f32": RESULT, "wayjax, bf16, M = 4": other}, "sst2")


@pytest.fixture
def make_work(shared, tmp_path, monkeypatch):
  """A tiny model, and TREC in a frame."""
  monkeypatch.setitem(work.SHAPES, "tiny", (2, 32, 2))

  def make(**frame: str) -> work.Work:
    return work.Work.make(
      tmp_path,
      shape="tiny",
      tokenizer=str(shared / "models" / "gpt2-tokenizer"),
      data_dir=str(shared / "data"),
      datasets=["trec"],
      run_steps=2,
      warmup_steps=1,
      timed_steps=1,
      test_rows=6,
      **frame,
    )

  return make


@pytest.mark.parametrize("frame", [{}, {"after": " So:"}, {"before": "I say:", "after": " So:"}])
def test_what_is_written_in_pytorch_does_the_same(make_work, frame):
  """Where PyTorch is installed, which the benchmark's extra brings."""
  pytest.importorskip("peft")
  from experiments.benchmark import packed_torch, peft_tuning, released

  made = make_work(**frame)
  results = {
    "f32 released": released.measure(made, "trec", "cpu"),
    "f32 packed, one": packed_torch.measure(made, "trec", "cpu"),
    "f32 packed, three": packed_torch.measure(made, "trec", "cpu", members=3),
    "f32 wayjax": wayjax_sweep.measure(made, "trec", "cpu"),
  }
  if "before" not in frame:
    results["f32 PEFT"] = peft_tuning.measure(made, "trec", "cpu", fused_gelu=True)
  comparison.check_agreement(results, "trec")


def test_wayjax_does_the_same_for_one_member_and_for_several(make_work):
  made = make_work(before="I say:", after=" So:")
  assert (made.frame.before_ids, made.frame.after_ids) == ((40, 910, 25), (1406, 25))
  assert made.datasets["trec"].max_length == 128
  assert [len(batch) for batch in made.datasets["trec"].batches] == [8, 8]
  results = {
    f"f32 {members}": wayjax_sweep.measure(made, "trec", "cpu", members=members)
    for members in (1, 3)
  }
  comparison.check_agreement(results, "trec")
  # The frame counts: without it the gradient is another.
  bare = wayjax_sweep.measure(dataclasses.replace(made, frame=NO_FRAME), "trec", "cpu")
  with pytest.raises(WayjaxError, match=r"differ by .* in gradient_norm"):
    comparison.check_agreement({"f32 0": bare, "f32 1": results["f32 1"]}, "trec")
  one = results["f32 3"]
  assert one["evaluation_rows"] == len(one["mean_losses"]) == 6
  assert one["useful_share"] > 0.85
  assert one["step_seconds"][0] > 0


def test_peft_has_no_place_before_its_prompts(monkeypatch, capsys):
  monkeypatch.setattr("experiments.benchmark.__main__.find_spec", lambda name: name)
  assert main(["--quick", "--data-dir", "data", "--before", "x"]) == 2
  assert "PEFT puts nothing before its prompts: leave it out" in capsys.readouterr().err


def test_missing_peers_are_named(monkeypatch, capsys):
  monkeypatch.setattr("experiments.benchmark.__main__.find_spec", lambda name: None)
  assert main(["--data-dir", "data"]) == 2
  assert "torch and peft not installed: pip install -e '.[bench]'" in capsys.readouterr().err
