"""The command python -m wayjax.export."""

import json
import re
import subprocess
import sys
from pathlib import Path

import bucket
import disks
import numpy as np
import pytest
from reports import HOSTILE, held, row
from safetensors import safe_open
from safetensors.numpy import save_file

from wayjax.export import main
from wayjax.export.choose import safe_names
from wayjax.prompt_files import load_prompt
from wayjax.results.folder import read_run
from wayjax.results.writer import RunWriter

TASK = {
  "name": "sst2",
  "template": "It was %s .",
  "label_words": ["terrible", "great"],
  "class_names": ["negative", "positive"],
  "max_length": 128,
}


def run_of(place, lm, rows, prompts=None, task=TASK, resolved=None, **config) -> str:
  """A run folder of rows, and of a prompt for each unless others are given."""
  writer = RunWriter.begin(place)
  targets = {f"{row['target_group']}/{row['target_name']}": row["target_text"] for row in rows}
  known = {
    "targets": list(targets),
    "target_texts": list(targets.values()),
    "majority": 0.25,
    "weights_sha256": lm.weights_sha256,
    "max_length": 128,
  }
  config = {"model": lm.name, "task": task, "projection": "euclidean", **config}
  writer.write_config(config | {"resolved": known | (resolved or {})})
  if prompts is None:
    rng = np.random.default_rng(0)
    prompts = {row["prompt_key"]: rng.normal(0, 0.3, (6, 32)).astype(np.float32) for row in rows}
  writer.append_rows(rows, prompts)
  return str(writer.path)


ROWS = [
  row("a", 0.0, accuracy=0.95),
  row("a", 0.01, accuracy=0.85),
  row("b", 0.01, accuracy=0.9, status="diverged"),
  held("cell", row("b", 0.0, accuracy=0.875, certified=True)),
]
BEST = ROWS[3]["prompt_key"]


@pytest.fixture
def run(tmp_path, lm) -> str:
  return run_of(tmp_path / "run", lm, ROWS)


@pytest.fixture
def export(tmp_path, capsys):
  """Runs the command with --out; returns its lines."""

  def export(*argv, out="out", code=0):
    assert main([*argv, "--out", str(tmp_path / out)]) == code
    output, errors = capsys.readouterr()
    return (errors if code else output).splitlines()

  return export


def test_a_prompt_of_a_run_becomes_a_peft_folder(run, export, tmp_path, lm):
  key = ROWS[1]["prompt_key"]
  lines = export(run, "--key", key, "--format", "peft")
  assert lines[0] == f"written: {tmp_path / 'out'}"
  assert lines[1].startswith("note: inputs must be tokenised with add_special_tokens=False")
  before, after = load_prompt(run, key=key), load_prompt(tmp_path / "out")
  assert after.vectors_PxD.tobytes() == before.vectors_PxD.tobytes()
  assert (after.model, after.reads_as) == (lm.name, before.reads_as)
  assert {path.name for path in (tmp_path / "out").iterdir()} == {
    "adapter_config.json", "adapter_model.safetensors", "README.md",
  }  # fmt: skip
  assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_best_is_the_most_accurate_constrained_one(run, export, tmp_path, lm):
  lines = export(run, "--best", "--format", "safetensors")
  assert lines[0] == f"the most accurate constrained prompt: {BEST}, 87.5 %"
  np.testing.assert_array_equal(
    load_prompt(tmp_path / "out").vectors_PxD, load_prompt(run, key=BEST).vectors_PxD
  )
  free = run_of(tmp_path / "free", lm, [row("a", 0.0, accuracy=0.7), row("b", 0.0, accuracy=0.8)])
  lines = export(free, "--best", "--format", "safetensors", out="other")
  assert lines[0].startswith("the most accurate unconstrained prompt: ni/b/gamma=0.0/seed=1, 80.0")


def test_a_prompt_that_diverged_is_named_as_such(run, export, tmp_path):
  key = ROWS[2]["prompt_key"]
  lines = export(run, "--key", key, "--format", "peft")
  assert f"note: the training of {key} diverged" in lines
  assert "diverged" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
  export(run, "--key", BEST, "--format", "peft", out="sound")
  assert "diverged" not in (tmp_path / "sound" / "README.md").read_text(encoding="utf-8")


def test_all_are_a_folder_each(lm, tmp_path, export):
  rows = [*ROWS, row("lost", status="diverged"), row("../../x", 0.01), row("..", 0.01)]
  rng = np.random.default_rng(0)
  prompts = {of["prompt_key"]: rng.normal(size=(2, 32)).astype(np.float32) for of in rows}
  prompts["ni/lost/gamma=0.0/seed=1"][0, 0] = np.nan
  run = run_of(tmp_path / "run", lm, rows, prompts)
  lines = export(run, "--all", "--format", "safetensors")
  assert lines[0] == "left out, because they diverged: ni/lost/gamma=0.0/seed=1"
  found = {}
  for folder in (tmp_path / "out").iterdir():
    prompt = load_prompt(folder)
    found[prompt.origin["wayjax"]["key"]] = prompt.vectors_PxD.tobytes()
  del prompts["ni/lost/gamma=0.0/seed=1"]
  assert found == {key: vectors.tobytes() for key, vectors in prompts.items()}
  assert (tmp_path / "out" / "ni-a-gamma=0.01-seed=1").is_dir()


def test_several_keys_are_a_folder_each_and_one_of_all_too(run, lm, tmp_path, export):
  keys = [of["prompt_key"] for of in ROWS[:2]]
  export(run, "--key", *keys, keys[0], "--format", "peft")
  names = {path.name for path in (tmp_path / "out").iterdir()}
  assert names == {"ni-a-gamma=0.0-seed=1", "ni-a-gamma=0.01-seed=1"}
  one = run_of(tmp_path / "one", lm, ROWS[:1])
  export(one, "--all", "--format", "peft", out="all")
  assert [path.name for path in (tmp_path / "all").iterdir()] == ["ni-a-gamma=0.0-seed=1"]
  export(one, "--format", "peft", out="plain")  # the only one needs no key
  assert (tmp_path / "plain" / "README.md").is_file()


@pytest.mark.parametrize(
  ("keys", "names"),
  [
    (["ni/a/gamma=0.01/seed=1"], ["ni-a-gamma=0.01-seed=1"]),
    (["../a", "..", "."], ["-a-", "-", "-"]),
    (["a/b", "a-b", "A-b"], ["a-b-", "a-b-", "A-b-"]),
    (["a" * 300], ["a" * 100 + "-"]),
    (["\u202e\0\n", "", "é"], ["", "", ""]),
  ],
)
def test_names_of_folders_are_safe_and_differ(keys, names):
  found = safe_names(keys)
  assert len({name.casefold() for name in found}) == len(keys)
  for name, start in zip(found, names, strict=True):
    assert name.startswith(start.strip("-"))
    assert re.fullmatch(r"[A-Za-z0-9_=+][A-Za-z0-9._=+-]*", name)
    assert len(name) <= 113
  assert safe_names(keys[::-1]) == found[::-1]


def test_whatever_load_prompt_reads_is_exported(tmp_path, lm, export, monkeypatch):
  vectors = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
  save_file({"a": vectors, "b": vectors + 1}, tmp_path / "x.safetensors")
  path = str(tmp_path / "x.safetensors")
  export(path, "--tensor", "b", "--model", lm.name, "--format", "peft", out="1")
  export(str(tmp_path / "1"), "--format", "safetensors", out="2")
  export(str(tmp_path / "2"), "--format", "peft", "--dtype", "bfloat16", out="3")
  assert load_prompt(tmp_path / "2").vectors_PxD.tobytes() == (vectors + 1).tobytes()
  bucket.install(monkeypatch)
  url = run_of("gs://bucket/run", lm, ROWS)
  export(url, "--best", "--format", "peft", out="4")
  assert load_prompt(tmp_path / "4").origin["wayjax"]["key"] == BEST


def test_the_runs_frame_task_and_model_are_used(tmp_path, lm, export):
  run = run_of(tmp_path / "run", lm, ROWS[1:2], resolved={"before": "Be", "after": "So:"})
  (error,) = export(run, "--format", "peft", code=2)
  assert re.search("was tuned after the text 'Be', and PEFT .*: add --fold-frame", error)
  export(run, "--format", "peft", "--fold-frame", out="folded")
  assert len(load_prompt(tmp_path / "folded")) == 2 + 6 + 3
  export(run, "--format", "vllm", "--input", "a film", out="vllm")
  with safe_open(tmp_path / "vllm" / "prompt_embeds.safetensors", "numpy") as file:
    found = file.get_tensor("prompt_embeds")
  ids = lm.tokenizer("a film It was ", add_special_tokens=False)["input_ids"]
  np.testing.assert_array_equal(found[11:], np.asarray(lm.table_VxD)[ids])


QA = {"name": "qa", "template": "{q} A: {gold} !", "label_words": [], "class_names": []}
QA |= {"max_length": 40, "answer": "gold"}


def test_a_free_text_task_of_several_columns_in_a_chat(tmp_path, lm, export):
  resolved = {"before": "<u>", "after": "", "reply": "</u><m>"}
  run = run_of(tmp_path / "run", lm, ROWS[1:2], resolved=resolved, task=QA)
  export(run, "--format", "vllm", "--input", "why? A:", out="vllm")
  with safe_open(tmp_path / "vllm" / "prompt_embeds.safetensors", "numpy") as file:
    found = file.get_tensor("prompt_embeds")
  ids = lm.tokenizer("why? A:</u><m>", add_special_tokens=False)["input_ids"]
  np.testing.assert_array_equal(found[3 + 6 :], np.asarray(lm.table_VxD)[ids])
  card = (tmp_path / "vllm" / "README.md").read_text()
  assert "in which {gold} is the answer. It is right where it is the true one after" in card
  assert "The input is taken as it is: write it as the template has it, up to the answer" in card
  assert "The text after an input:" in card
  export(run, "--format", "peft", "--fold-frame", out="peft")
  assert load_prompt(tmp_path / "peft").reply == "</u><m>"
  assert '"{q} A:", "</u><m>"]' in (tmp_path / "peft" / "README.md").read_text()


def test_a_model_that_moved_is_found_by_its_weights(tmp_path, lm, export):
  run = run_of(tmp_path / "run", lm, ROWS, model="gone/elsewhere")
  (error,) = export(run, "--best", "--format", "peft", "--dtype", "bfloat16", code=2)
  assert re.search(
    "--dtype bfloat16 needs the model .*'gone/elsewhere' .*: say where .* --model", error
  )
  export(run, "--best", "--format", "peft", "--dtype", "bfloat16", "--model", lm.name)
  config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
  assert config["base_model_name_or_path"] == "gone/elsewhere"
  other = run_of(tmp_path / "other", lm, ROWS, resolved={"weights_sha256": "0" * 64})
  (error,) = export(other, "--best", "--format", "peft", "--dtype", "float16", out="o", code=2)
  assert "with other weights than those of" in error


def test_a_certificate_for_finer_types_is_told(tmp_path, lm, export):
  table_VxD = np.asarray(lm.table_VxD)
  prompts = {of["prompt_key"]: table_VxD[40:46] for of in ROWS}
  for covered, dtype, told in (
    ("float16", "bfloat16", True), ("float16", "float16", False), ("bfloat16", "bfloat16", False),
  ):  # fmt: skip
    name = f"{covered}-{dtype}"
    run = run_of(tmp_path / f"run-{name}", lm, ROWS, prompts, certify_dtype=covered)
    lines = export(run, "--best", "--format", "safetensors", "--dtype", dtype, out=name)
    note = f"note: what it reads as is certified for types up to {covered}, not for {dtype}"
    assert (note in lines) == told
    card = (tmp_path / name / "README.md").read_text()
    assert f"That is certified in every type up to {covered}." in card


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ([], "holds 4 prompts: give --key with some of 'ni/a/gamma=0.0/seed=1', .* --best or --all"),
    (["--key", "ni/a/gamma=0.02"], "has no prompt 'ni/a/gamma=0.02': those with the nearest keys"),
    (["--best", "--all"], "argument --all: not allowed with argument --best"),
    (["--best", "--dtype", "int8"], "argument --dtype: invalid choice: 'int8'"),
    (["--best", "--format", "gguf"], "argument --format: invalid choice: 'gguf'"),
    (["--best", "--input", "x"], "--input belongs to --format vllm, not to peft"),
    (["--best", "--format", "vllm"], "--format vllm needs --input"),
    (
      ["--best", "--format", "safetensors", "--fold-frame"],
      "--fold-frame belongs to --format peft",
    ),
    (["--best", "--tensor", "x"], "--tensor belongs to files of tensors, .*: use --key"),
    (["--best", "--model", "/nowhere"], "model folder '/nowhere' does not exist"),
    (["--best", "--out", "gs://bucket/out"], "--out must be a folder on this machine, not gs://"),
    (["--best", "--out", "FULL"], "FULL is not empty: name a new folder, nothing is overwritten"),
    (["--best", "--out", "FILE"], "FILE is a file: name a folder"),
    (["--best", "--out", "FILE/out"], "cannot be written to|cannot be read"),
  ],
)
def test_wrong_options_are_sentences(run, tmp_path, capsys, monkeypatch, options, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "FULL").mkdir()
  (tmp_path / "FULL" / "file").touch()
  (tmp_path / "FILE").touch()
  assert main([run, "--format", "peft", "--out", "out", *options]) == 2
  output, errors = capsys.readouterr()
  assert output == ""
  assert re.fullmatch(f"wayjax: error: .*({message}).*\n", errors)
  assert {path.name for path in tmp_path.iterdir()} == {"run", "FULL", "FILE"}


def test_what_holds_no_prompts_is_a_sentence(tmp_path, lm, export):
  empty = run_of(tmp_path / "empty", lm, [], {})
  for option in (["--best"], ["--all"], []):
    (error,) = export(empty, *option, "--format", "peft", code=2)
    assert "holds no prompt yet: none of its members has finished" in error
  lost = [row("a", 0.01, status="diverged")]
  broken = np.full((6, 32), np.nan, np.float32)
  run = run_of(tmp_path / "lost", lm, lost, {lost[0]["prompt_key"]: broken})
  for option, message in (
    (["--best"], "has no row of a prompt that did not diverge: use --key"),
    (["--all"], "diverged: there is nothing to export"),
    ([], "has numbers that are not finite, as after a training that diverged"),
  ):
    (error,) = export(run, *option, "--format", "peft", code=2)
    assert message in error
  (error,) = export(str(tmp_path / "none"), "--best", "--format", "peft", code=2)
  assert "--best and --all belong to run folders" in error
  (error,) = export(str(tmp_path / "none"), "--format", "peft", code=2)
  assert "there is no soft prompt at" in error


@pytest.mark.parametrize("name", ["prompt_key", "status", "accuracy", "seed", "target_text"])
def test_a_row_that_lacks_a_field_is_a_sentence(tmp_path, lm, export, name):
  prompts = {BEST: np.ones((6, 32), np.float32)}
  damaged = {key: value for key, value in ROWS[3].items() if key != name}
  run = run_of(tmp_path / "run", lm, [ROWS[3]], prompts)
  (tmp_path / "run" / "results.jsonl").write_text(json.dumps(damaged) + "\n")
  for option in (["--best"], ["--all"], []):
    (error,) = export(run, *option, "--format", "peft", code=2)
    assert f"a row of {run} is damaged: it lacks {name}" in error


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"model": ""}, "does not name the model that its prompt belongs to"),
    ({"task": {"name": "sst2"}}, "is damaged: it lacks template"),
    ({"projection": "manhattan"}, "metric must be one of euclidean, dot, cosine"),
    ({"projection": 7}, "is damaged: projection cannot be 7"),
  ],
)
def test_a_damaged_configuration_is_a_sentence(tmp_path, lm, export, config, message):
  run = run_of(tmp_path / "run", lm, ROWS, **config)
  options = ["--dtype", "bfloat16"] if "projection" in config else []
  (error,) = export(run, "--best", "--format", "peft", *options, code=2)
  assert message in error


def test_a_certificate_of_no_known_type_is_none(tmp_path, lm, export):
  run = run_of(tmp_path / "run", lm, ROWS, certify_dtype="bfloat8")
  lines = export(run, "--best", "--format", "peft", "--dtype", "bfloat16")
  assert not any("certified" in line for line in lines)
  assert "is not certified" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_folders_of_earlier_versions_are_exported(tmp_path, export):
  run = str(Path(__file__).parents[1] / "run" / "written_at_812ac64" / "finished")
  export(run, "--all", "--format", "peft")
  exported = [load_prompt(folder) for folder in (tmp_path / "out").iterdir()]
  for prompt in exported:
    stored = load_prompt(run, key=prompt.origin["wayjax"]["key"])
    assert prompt.vectors_PxD.tobytes() == stored.vectors_PxD.tobytes()
  assert len(exported) == len(read_run(run).prompt_keys())


def test_a_folder_that_may_not_be_written_is_a_sentence(run, tmp_path, reachable, capsys):
  (reachable / "closed").mkdir()
  argv = [run, "--best", "--format", "peft", "--out", str(reachable / "closed" / "out")]
  with disks.mode(reachable / "closed", 0o555), disks.mode(tmp_path, 0o755), disks.as_nobody():
    code = main(argv)
  assert code == 2
  assert re.fullmatch("wayjax: error: .*Permission denied.*\n", capsys.readouterr().err)


def test_an_empty_folder_is_taken_also_through_a_link(run, tmp_path, export):
  (tmp_path / "home").mkdir()
  (tmp_path / "out").symlink_to(tmp_path / "home")
  export(run, "--best", "--format", "peft")
  assert (tmp_path / "home" / "README.md").is_file()
  assert (tmp_path / "out").is_symlink()


def test_a_failure_leaves_nothing(run, tmp_path, capsys, monkeypatch):
  def rename(*paths):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("wayjax.export.write.os.rename", rename)
  assert main([run, "--best", "--format", "peft", "--out", str(tmp_path / "out")]) == 2
  assert "cannot be written to: No space left on device" in capsys.readouterr().err
  assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_nothing_unseen_and_no_markup_reaches_a_reader(tmp_path, lm, export):
  text = HOSTILE.replace("\ud83d", "")
  rows = [row("a", 0.01, target_text=text, projected_text=text, split=text)]
  run = run_of(
    tmp_path / "run", lm, rows, task=TASK | {"name": text, "template": f"{text} %s"},
    model=f"m\n---\n{text}", resolved={"after": text},
  )  # fmt: skip
  lines = export(run, "--format", "peft")
  card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
  for line in [*lines, *card.splitlines()]:
    assert line.isprintable()
  prose = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", card)
  head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", prose, re.DOTALL).groups()
  assert re.search(r"(?<!\\)[<$]|<script", body) is None
  assert head.count("\n") == 7  # so the model's name is within one line
  assert load_prompt(tmp_path / "out").reads_as.text == text


def test_the_card_says_what_a_user_must_know(lm, export, tmp_path):
  others = [row("a", 0.0, seed=2), row("b", 0.0), row("a", 0.0, target_text="other")]
  others = [of | {"accuracy": 0.1, "prompt_key": f"other{i}"} for i, of in enumerate(others)]
  run = run_of(tmp_path / "run", lm, [*others, *ROWS[1::-1]])
  export(run, "--key", ROWS[1]["prompt_key"], "--format", "peft")
  card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
  for words in (
    "library_name: peft",
    "What this prompt reads as says nothing about what it does.",
    "The task “sst2”: a text, cut to its first 112 tokens, then a space and the template “It",
    "is one of: terrible, great",
    "[virtual tokens: soft prompt][input]",
    "6 × 32 numbers of type float32",
    'parts = ["", "YOUR TEXT", " It was"]',
    "It was made to read as: “text a”.",
    "| this prompt | 85.0 |",
    "| the unconstrained prompt of the same target and seed | 95.0 |",
    "| the plain text, as the prompt | 50.0 |",
    "| always the most frequent label or answer | 25.0 |",
  ):
    assert words in card


def test_the_front_matter_is_yaml(tmp_path, lm, export):
  yaml = pytest.importorskip("yaml")
  name = 'a: "b" #\n- c\U0001f600'
  run = run_of(tmp_path / "run", lm, ROWS, model=name)
  export(run, "--best", "--format", "peft")
  card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
  assert yaml.safe_load(card.split("---\n")[1]) == {
    "base_model": 'a: "b" #⏎- c\U0001f600',
    "library_name": "peft",
    "pipeline_tag": "text-generation",
    "tags": [
      "soft-prompt", "prompt-tuning", "wayjax", 'base_model:adapter:a: "b" #⏎- c\U0001f600',
    ],
  }  # fmt: skip


HELP = """
import sys
import wayjax.export
try:
  wayjax.export.main(["--help"])
finally:
  assert "jax" not in sys.modules
"""


def test_help_does_not_wait_for_jax():
  done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith("usage: python -m wayjax.export")
