"""Sweeps that grow: runs of the sizes that they say, measured and drawn."""

import json

import pytest

from experiments.benchmark import machine, scaling
from experiments.benchmark.__main__ import main
from wayjax.command_line import parse_args
from wayjax.data.packing import PROMPT_MULTIPLE, round_up
from wayjax.demo import NAME
from wayjax.errors import WayjaxError
from wayjax.models import load_lm


@pytest.fixture
def few(monkeypatch):
  """Small counts of everything that grows."""
  monkeypatch.setattr(scaling, "MEMBERS", (2, 4))
  monkeypatch.setattr(scaling, "LENGTHS", (1, 2, 4, 8))
  monkeypatch.setattr(scaling, "ROWS", (10, 2_500))


def test_what_grows_is_as_large_as_it_says(few, tmp_path):
  found = dict(scaling.axes(tmp_path))
  assert list(found) == ["members", "lengths", "training rows"]
  tokenizer = load_lm(NAME).tokenizer
  for name, points in found.items():
    for point in points:
      config = parse_args(["--dataset", scaling.DATASET, *point.options])
      members = point.count if name == "members" else scaling.FIXED_MEMBERS
      assert len(config.target) * len(config.seeds) * 2 == members
  for point in found["lengths"]:
    texts = parse_args(["--dataset", scaling.DATASET, *point.options]).target
    padded = {round_up(len(tokenizer(text).input_ids), PROMPT_MULTIPLE) for text in texts}
    assert len(padded) == point.count
  for point in found["training rows"]:
    train, test = (
      tmp_path / str(point.count) / scaling.DATASET / f"{split}.csv" for split in ("train", "test")
    )
    assert len(train.read_text().splitlines()) == point.count + 1
    assert len(test.read_text().splitlines()) > scaling.EVALUATION_ROWS


def test_a_run_is_measured_unless_it_fails(tmp_path, monkeypatch):
  monkeypatch.setattr(scaling, "STEPS", 1)
  monkeypatch.setattr(scaling, "EVALUATION_ROWS", 2)
  point = scaling.Point(2, ["--target", "a", "--seeds", "1", "--train-rows", "20"])
  found = scaling.measure_run(tmp_path / "run", point)
  assert found["peak_bytes"] > 2**27
  assert 0 < found["seconds_per_member_step"] < found["seconds_per_member"]
  with pytest.raises(WayjaxError, match=r"the run failed: wayjax: error: .*run is not empty"):
    scaling.measure_run(tmp_path / "run", point)


def test_the_command_prints_a_table_and_keeps_numbers_and_figure(
  few, tmp_path, monkeypatch, capsys
):
  measured = {"seconds_per_member_step": 0.0123, "seconds_per_member": 2.0, "peak_bytes": 2**30}
  monkeypatch.setattr(scaling, "measure_run", lambda out, point: measured)
  monkeypatch.setattr(machine, "_version", lambda package: None)
  out = tmp_path / "results" / "scaling.json"
  assert main(["--scaling", "--out", str(out)]) == 0
  assert "| members | 4 | 12.3 | 2.00 | 1.00 |\n" in capsys.readouterr().out
  found = json.loads(out.read_text())
  assert found["scaling"]["training rows"] == {"10": measured, "2500": measured}
  assert found["machine"]["versions"]["torch"] is None
  assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
