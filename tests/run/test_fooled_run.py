"""Runs whose prompts are tuned to fool a reader: it is asked, and it says the target."""

import json

import pytest

from wayjax.command_line import parse_args
from wayjax.config import FOOLED
from wayjax.errors import WayjaxError
from wayjax.run import main

TEXT = "the weather is fine today"
RUN = ["--demo", "--dataset", "sst2", "--target", TEXT, "--gamma", "0", "--seeds", "1"]
SMALL = ["--steps", "30", "--lr", "0.1", "--train-rows", "32", "--eval-rows", "16"]


def test_the_reader_says_the_target_and_the_prompt_still_reads_as_it(tmp_path):
  said, curves = {}, {}
  for name, given in (("free", ["--readers"]), ("fooled", ["--fool"])):
    out = tmp_path / name
    assert main([*RUN, *SMALL, *given, "logit_lens", "--out", str(out)]) == 0
    (row,) = map(json.loads, (out / "results.jsonl").read_text().splitlines())
    said[name] = row["readings"]["logit_lens"]["prompt_f1"]
    points = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    curves[name] = [point.get("reader_nll") for point in points]
    assert json.loads((out / "config.json").read_text())["fool"] == (
      "logit_lens" if name == "fooled" else None
    )
  assert said["free"] < 0.5
  assert said["fooled"] == 1.0
  assert set(curves["free"]) == {None}
  first, *_, last = curves["fooled"]
  assert last < first / 2


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (["--fool", "nearest"], f"must be one of {', '.join(FOOLED)}"),
    (["--fool-weight", "2"], "it goes with --fool"),
    (["--fool", "inspect", "--fool-weight", "-1"], "--fool-weight must be"),
  ],
)
def test_wrong_options_are_told_in_a_sentence(given, message):
  with pytest.raises(WayjaxError, match=message):
    parse_args([*RUN, *given])
