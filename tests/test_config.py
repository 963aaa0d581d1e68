"""The command line and its checks."""

import dataclasses

import pytest

from wayjax.command_line import parse_args
from wayjax.config import RunConfig
from wayjax.errors import WayjaxError


def test_a_bare_dataset_means_the_paper():
  config = parse_args(["--dataset", "agnews"])
  assert config == RunConfig(dataset="agnews")
  assert config.model == "gpt2-large"
  assert (config.gamma, config.seeds) == ((0.0, 0.01), (1, 10, 100))
  assert (config.steps, config.lr, config.batch_size) == (2000, 0.01, 8)
  assert (config.init, config.projection, config.split) == ("target", "euclidean", "test")


def test_every_field_is_an_option():
  arguments = """
    --task-file t --data-dir d --split dev --train-rows 1 --eval-rows 2 --max-length 17 --model m
    --revision r --precision float32 --device cpu --targets ni pile --target x --target y
    --targets-file f --targets-dir g --max-targets 3 --gamma 0 1e-3 --seeds 0 5 --steps 4 --lr 0
    --batch-size 5 --init vocab --prompt-tokens 6 --projection dot --members-at-once 7
    --eval-every 8 --out o --dry-run --model-parallel 2 --shard 1/3 --checkpoint-every 9
    --distributed --coordinator host:1 --processes 2 --process-id 1 --log-to tensorboard
  """
  config = parse_args(arguments.split())
  changed = dataclasses.asdict(config)
  default = dataclasses.asdict(RunConfig())
  assert [name for name in default if changed[name] == default[name]] == [
    "dataset",
    "demo",
    "resume",
  ]
  assert config.targets == ("ni", "pile")
  assert config.target == ("x", "y")
  assert config.members_at_once == 7


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ("", "say which task"),
    ("--dataset sst2 --task-file x", "say which task"),
    ("--dataset sst2 --gamma -1", "--gamma must be numbers of at least 0, not -1"),
    ("--dataset sst2 --gamma nan", "--gamma must be"),
    ("--dataset sst2 --gamma inf", "--gamma must be"),
    ("--dataset sst2 --gamma 0 0.0", "--gamma holds the same value twice"),
    ("--dataset sst2 --gamma x", "--gamma: invalid float value: 'x'"),
    ("--dataset sst2 --gamma", "--gamma: expected at least one argument"),
    ("--dataset sst2 --seeds 1 1", "--seeds holds the same value twice"),
    ("--dataset sst2 --seeds -3", "--seeds must be"),
    ("--dataset sst2 --batch-size 0", "--batch-size must be a whole number of at least 1, not 0"),
    ("--dataset sst2 --steps 0", "--steps must be"),
    ("--dataset sst2 --steps 1.5", "--steps: invalid int value"),
    ("--dataset sst2 --lr -0.1", "--lr must be"),
    ("--dataset sst2 --lr nan", "--lr must be"),
    ("--dataset sst2 --train-rows 0", "--train-rows must be"),
    ("--dataset sst2 --max-length 16", "--max-length must be a whole number of at least 17"),
    ("--dataset sst2 --members-at-once 0", "--members-at-once must be"),
    ("--dataset sst2 --members-at-once some", "--members-at-once: invalid number value: 'some'"),
    ("--dataset sst2 --init text", "--init must be one of target, vocab, random, not 'text'"),
    ("--dataset sst2 --device gpus", "--device must be one of auto, cpu, gpu, tpu"),
    ("--dataset sst2 --projection l2", "--projection must be one of"),
    ("--dataset sst2 --step 4", "unrecognized arguments: --step 4"),
    ("--dataset", "expected one argument"),
  ],
)
def test_wrong_options_are_named(arguments, message):
  with pytest.raises(WayjaxError) as error:
    parse_args(arguments.split())
  assert message in str(error.value)


def test_help_has_groups_and_defaults(capsys, monkeypatch):
  monkeypatch.setenv("COLUMNS", "200")
  with pytest.raises(SystemExit) as stop:
    parse_args(["--help"])
  assert stop.value.code == 0
  text = capsys.readouterr().out
  for part in ("task:", "model:", "targets:", "sweep:", "output:"):
    assert f"\n{part}\n" in text
  for field in dataclasses.fields(RunConfig):
    assert f"--{field.name.replace('_', '-')}" in text
  assert "[0.0 0.01]" in text
  assert "[1 10 100]" in text
  assert "[gpt2-large]" in text
