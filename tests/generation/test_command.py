"""`python -m wayjax.generate`: what it prints, and what it refuses."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import wayjax
from wayjax.generation.command import main
from wayjax.models import load_lm
from wayjax.prompts import SoftPrompt
from wayjax.results.writer import RunWriter

ROOT = Path(wayjax.__file__).parents[1]


@pytest.fixture
def prompt_file(tmp_path, rng):
  vectors_PxD = rng.normal(0, 0.3, (4, 32)).astype(np.float32)
  save_file({"prompt": vectors_PxD}, tmp_path / "soft.safetensors")
  return tmp_path / "soft.safetensors", vectors_PxD


def test_json_is_what_generate_returns(model_dir, prompt_file, tmp_path, capsys):
  path, vectors_PxD = prompt_file
  (tmp_path / "inputs.txt").write_text("one\ntwo\n")
  command = ["--model", str(model_dir), "--prompt", str(path), "--input", "a text", "--inputs-file"]
  options = ["--max-new-tokens", "5", "--precision", "float32", "--device", "cpu", "--json"]
  assert main([*command, str(tmp_path / "inputs.txt"), *options]) == 0
  out, err = capsys.readouterr()
  lines = [json.loads(line) for line in out.splitlines()]
  lm = load_lm(str(model_dir), precision="float32")
  texts = ["a text", "one", "two"]
  (expected,) = wayjax.generate(lm, [SoftPrompt(vectors_PxD, "m")], texts, max_new_tokens=5)
  for line, text, generation in zip(lines, texts, expected, strict=True):
    assert line == {
      "prompt": str(path),
      "input": text,
      "text": generation.text,
      "ids": generation.ids.tolist(),
      "stopped": generation.stopped,
    }
  assert "3 sequences of up to 5 new tokens" in err
  assert re.search(r"15 tokens in .* s, .*: \d+ a second", err)


def test_prompts_of_a_run_are_named_by_their_keys(lm, tmp_path, rng, capsys):
  writer = RunWriter.begin(tmp_path / "run")
  resolved = {"before": "<", "after": "", "reply": ">", "weights_sha256": lm.weights_sha256}
  writer.write_config({"model": lm.name, "resolved": resolved})
  prompts = {key: rng.normal(0, 0.3, (4, 32)).astype(np.float32) for key in ("a/x", "b/y")}
  writer.append_rows([], prompts)
  words = ["--prompt", str(tmp_path / "run"), "--key", *prompts, "--input", "a text", "--json"]
  options = ["--max-new-tokens", "4", "--precision", "float32", "--device", "cpu"]
  assert main([*words, *options]) == 0  # the model is the run's
  lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  framed = [SoftPrompt(vectors, "m", before="<", reply=">") for vectors in prompts.values()]
  expected = wayjax.generate(lm, framed, ["a text"], max_new_tokens=4)
  for line, key, (generation,) in zip(lines, prompts, expected, strict=True):
    assert line["prompt"] == f"{tmp_path / 'run'}, {key}"
    assert line["ids"] == generation.ids.tolist()
  assert main([*words, *options, "--model", lm.name]) == 0


def test_a_block_a_sequence(model_dir, capsys):
  options = ["--max-new-tokens", "3", "--device", "cpu", "--before", "<"]
  assert main(["--model", str(model_dir), "--input", "a\ttext", "", *options]) == 0
  blocks = capsys.readouterr().out.split("\n\n")
  assert len(blocks) == 3
  assert blocks[0].startswith("input   a⇥text\noutput  ")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--model", "m"], "there is no input: give --input TEXT"),
    (["--input", "a"], "the model is not known, as there is no prompt: give --model"),
    (["--input", "a", "--prompt", "nowhere"], "there is no soft prompt at nowhere"),
    (["--input", "a", "--prompt", ".", "--key", "k"], "holds no soft prompt"),
    (["--input", "a", "--model", "m", "--system", "s"], "it goes with --chat"),
    (["--input", "a", "--model", "m", "--key", "k"], "give --prompt too"),
    (["--input", "a", "--model", "m", "--tensor", "t"], "give --prompt too"),
    (["--input", "a", "--top-k", "many"], "--top-k"),
  ],
)
def test_what_is_wrong_is_a_sentence(options, message, capsys):
  assert main(options) == 2
  err = capsys.readouterr().err
  assert err.startswith("wayjax: error: ")
  assert message in err
  assert err.count("\n") == 1


def test_nobody_imports_the_command_as_a_module():
  """It would take the place of the function `wayjax.generate`."""
  for folder in ("wayjax", "experiments", "tests"):
    for path in (ROOT / folder).rglob("*.py"):
      for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
          assert "wayjax.generate" not in [alias.name for alias in node.names], path
        elif isinstance(node, ast.ImportFrom):
          assert node.module != "wayjax.generate", path
