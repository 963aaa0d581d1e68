"""The command line: what it reads, what a resumed run may change, and commands that come back."""

import dataclasses
import json
import shlex

import pytest
from forall import JSON, forall, outcome
from hypothesis import assume, example
from hypothesis import strategies as st

from experiments import experiment, fig4_length
from wayjax import demo, report
from wayjax.command_line import (
  new_config,
  parse_args,
  parse_options,
  resumed_config,
  to_command,
)
from wayjax.config import RunConfig, make_config, options
from wayjax.errors import WayjaxError
from wayjax.options import LARGEST, flag, path


def test_a_bare_dataset_means_the_paper():
  assert parse_args(["--dataset", "agnews"]) == RunConfig(dataset="agnews")


def test_only_what_was_named_is_read():
  assert parse_options([]) == {}
  arguments = "--dataset sst2 --gamma 0 1e-3 --target=-x --target y --shard 1/3 --dry-run"
  assert parse_options(arguments.split()) == {
    "dataset": "sst2",
    "gamma": (0.0, 0.001),
    "target": ("-x", "y"),
    "shard": (1, 3),
    "dry_run": True,
  }


def test_every_field_is_an_option():
  arguments = """
    --task-file t --data-dir d --split dev --train-rows 1 --eval-rows 2 --max-length 17 --model m
    --revision r --precision float32 --device cpu --targets ni pile --target x --target y
    --targets-file f --targets-dir g --max-targets 3 --gamma 0 1e-3 --seeds 0 5 --steps 4 --lr 0
    --batch-size 5 --init vocab --prompt-tokens 6 --projection dot --members-at-once 7
    --eval-every 8 --out o --dry-run --model-parallel 2 --shard 1/3 --checkpoint-every 9
    --distributed --coordinator host:1 --processes 2 --process-id 1 --log-to tensorboard
    --constraint c-dist ball --cell-gamma 0.5 --certify-dtype float16 --certify-metrics dot
    --before <s> --after a --chat --system s --readers hard --fool inspect --fool-weight 2
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
  assert config.constraint == ("c-dist", "ball")
  assert config.members_at_once == 7


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ("", "which task?"),
    ("--dataset sst2 --task-file x", "which task?"),
    ("--dataset sst2 --gamma -1", "--gamma must be numbers of at least 0, not -1"),
    ("--dataset sst2 --gamma nan", "--gamma must be"),
    ("--dataset sst2 --gamma inf", "--gamma must be"),
    ("--dataset sst2 --gamma 0 0.0", "--gamma has the same value twice"),
    ("--dataset sst2 --gamma x", "--gamma: invalid float value: 'x'"),
    ("--dataset sst2 --gamma", "--gamma: expected at least one argument"),
    ("--dataset sst2 --constraint", "--constraint: expected at least one argument"),
    ("--dataset sst2 --seeds 1 1", "--seeds has the same value twice"),
    ("--dataset sst2 --seeds -3", "--seeds must be"),
    ("--dataset sst2 --batch-size 0", "--batch-size must be a whole number of at least 1, not 0"),
    ("--dataset sst2 --steps 0", "--steps must be"),
    ("--dataset sst2 --steps 1.5", "--steps: invalid int value"),
    pytest.param(
      "--dataset sst2 --steps " + "9" * 400, "--steps must be at most 1,000,000", id="huge"
    ),
    ("--dataset sst2 --lr -0.1", "--lr must be"),
    ("--dataset sst2 --lr nan", "--lr must be"),
    ("--dataset sst2 --train-rows 0", "--train-rows must be"),
    ("--dataset sst2 --max-length 16", "--max-length must be a whole number of at least 17"),
    ("--dataset sst2 --members-at-once 0", "--members-at-once must be"),
    ("--dataset sst2 --members-at-once some", "--members-at-once: invalid number value: 'some'"),
    ("--dataset sst2 --shard 1", "--shard: invalid I/N value: '1'"),
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
    assert flag(field) in text
  assert "[0.0 0.01]" in text
  assert "[1 10 100]" in text
  assert "[gpt2-large]" in text
  assert "[c-dist]" in text


def test_the_demo_sets_other_options_unless_they_are_named():
  config = new_config(parse_options(["--demo", "--dataset", "sst2", "--steps", "7"]))
  expected = {**demo.DEFAULTS, "dataset": "sst2", "demo": True, "steps": 7}
  assert config == RunConfig(**expected)
  assert new_config({"dataset": "sst2"}) == RunConfig(dataset="sst2")


PATHS = ["data_dir", "model", "out", "resume", "targets_dir", "targets_file", "task_file"]


def test_every_option_for_a_file_or_folder_is_a_path():
  shown = ("DIR", "DIR_OR_ID", "FILE", "RUN_DIR")
  named = [field.name for field in options() if field.metadata.get("metavar") in shown]
  assert sorted(named) == PATHS
  assert all(field.metadata["type"] is path for field in options() if field.name in PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_an_empty_path_is_not_the_current_folder_nor_left_out(name):
  """A shell writes it for a variable that is not set; `--resume ""` began a new run."""
  for words in ([f"--{name.replace('_', '-')}="], [f"--{name.replace('_', '-')}", ""]):
    with pytest.raises(WayjaxError, match="it is empty: name a file or folder, or leave the opt"):
      parse_options(words)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("form", ["--{}=~/a~b", "--{} ~/a~b"])
def test_a_home_folder_is_not_a_folder_named_with_a_tilde(name, form, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  words = form.format(name.replace("_", "-")).split()
  assert parse_options(words) == {name: f"{tmp_path}/a~b"}
  words[-1] = words[-1].replace("~/", "~nobody-of-this-name/")
  with pytest.raises(WayjaxError, match="there is no home folder ~nobody-of-this-name here: write"):
    parse_options(words)
  for kept in ("a/~/b", "./~/b", "gs://bucket/~x"):
    assert parse_options([words[0].split("=")[0], kept]) == {name: kept}


def test_a_report_and_experiments_know_home_folders_too(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  assert report.main(["~/runs"]) == 2
  assert f"{tmp_path}/runs is not a run folder" in capsys.readouterr().err
  (tmp_path / "empty").mkdir()
  assert fig4_length.main(fig4_length.EXPERIMENT, "", ["--out=~/empty", "--gamma", "x"]) == 2
  args = experiment._parse(fig4_length.EXPERIMENT, "", ["--out=~/a", "--model", "~/b", "c"])
  assert (args.out, args.model) == (f"{tmp_path}/a", [f"{tmp_path}/b", "c"])
  assert not (tmp_path / "~").exists()


def stored_config(*without, **values) -> dict:
  """The `config.json` of a run folder, which holds other things too."""
  config = make_config({"dataset": "sst2", "out": "before", **values})
  found = {**dataclasses.asdict(config), "task": {}, "resolved": {}}
  return json.loads(json.dumps({k: v for k, v in found.items() if k not in without}))


def resume(stored, **given) -> RunConfig:
  return resumed_config({"resume": "folder", **given}, stored)


class TestResume:
  def test_it_goes_on_with_the_folders_options(self):
    values = {"gamma": (0.0, 0.5), "shard": (0, 2), "steps": 7, "constraint": ("c-dist", "ball")}
    config = resume(stored_config(**values))
    assert config == RunConfig(dataset="sst2", out="folder", resume="folder", **values)

  def test_what_no_number_depends_on_may_change(self):
    given = {"model": "elsewhere", "data_dir": "d", "checkpoint_every": 5.0, "log_to": ("wandb",)}
    config = resume(stored_config(model="m"), **given, dry_run=True)
    assert dataclasses.asdict(config).items() >= {**given, "dry_run": True}.items()

  def test_the_same_value_may_be_named_again(self):
    stored = stored_config(steps=7, gamma=(0.0, 0.5))
    assert resume(stored, steps=7, gamma=(0.0, 0.5)).steps == 7

  @pytest.mark.parametrize("name", [f.name for f in options() if not f.metadata["may_change"]])
  def test_another_value_is_refused_by_name(self, name):
    stored = stored_config()
    before, other = stored[name], (9,) if isinstance(stored[name], list) else 9
    words = " ".join(map(str, before)) if isinstance(before, list) else before
    with pytest.raises(WayjaxError) as error:
      resume(stored, **{name: other})
    shown = name.replace("_", "-")
    assert str(error.value) == (
      f"--{shown} cannot change when a run is resumed: it is {words} in folder, not 9"
    )

  def test_a_folder_from_before_constraints_is_one_of_c_dist(self):
    assert resume(stored_config("constraint")).constraint == ("c-dist",)
    with pytest.raises(WayjaxError, match="--constraint cannot change"):
      resume(stored_config("constraint"), constraint=("ball",))

  @pytest.mark.parametrize("name", ["gamma", "steps", "init", "shard", "eval_every"])
  def test_a_folder_that_lacks_another_option_is_refused(self, name):
    shown = name.replace("_", "-")
    with pytest.raises(WayjaxError, match=f"without --{shown}: it cannot be resumed"):
      resume(stored_config(name))

  def test_it_keeps_the_precision_that_auto_meant_where_it_began(self):
    stored = stored_config() | {"resolved": {"precision": "bfloat16"}}
    assert resume(stored).precision == "bfloat16"
    assert resume(stored, precision="auto").precision == "bfloat16"
    assert resume(stored_config()).precision == "auto"
    with pytest.raises(WayjaxError, match="damaged"):
      resume(stored | {"resolved": [1]})

  def test_a_folder_that_lacks_what_may_change_is_resumed(self):
    assert resume(stored_config("log_to", "checkpoint_every")).log_to == ()


@forall(60, name=st.sampled_from([field.name for field in options()]), value=JSON)
@example(name="gamma", value=None)
@example(name="shard", value=[1])
@example(name="seeds", value=[10**400])
def test_a_folder_with_any_value(name, value):
  outcome(resume, {**stored_config(), name: value})


# Texts that an argument can be: a dash begins an option, and a tilde a home folder.
WORDS = st.text(min_size=1).filter(lambda text: text[0] not in "-~")


def values_of(field) -> st.SearchStrategy:
  """Values that an option takes, but for what goes together with others."""
  rule = field.metadata
  if rule.get("action") == "store_true":
    return st.booleans()
  if field.name == "shard":
    return st.none() | st.integers(1, 9).flatmap(
      lambda n: st.tuples(st.integers(0, n - 1), st.just(n))
    )
  if choices := rule.get("choices"):
    item = st.sampled_from(choices)
  elif "least" in rule and rule["type"] is float:
    item = st.floats(rule["least"], allow_nan=False, allow_infinity=False)
  elif "least" in rule:
    item = st.integers(rule["least"], rule.get("most", LARGEST))
  else:
    item = st.text(min_size=1) if rule.get("action") == "append" else WORDS
  if isinstance(field.default, tuple):
    return st.lists(item, min_size=bool(field.default), max_size=3, unique=True).map(tuple)
  return st.just(field.default) | item


IN_COMMAND = [field for field in options() if field.metadata["in_command"]]


@forall(60, values=st.fixed_dictionaries({f.name: values_of(f) for f in IN_COMMAND}))
def test_a_command_gives_the_configuration_that_it_was_made_from(values):
  values |= demo.DEFAULTS if values["demo"] and values["data_dir"] is None else {}
  values |= {} if values["chat"] else {"system": None}
  values |= {} if values["fool"] else {"fool_weight": 1.0}
  assume((values["dataset"] is None) != (values["task_file"] is None))
  stored = json.loads(json.dumps(dataclasses.asdict(make_config(values))))
  words = shlex.split(to_command({**stored, "out": "somewhere", "task": {}}))
  assert words[:3] == ["python", "-m", "wayjax.run"]
  assert parse_args(words[3:]) == RunConfig(**values)


def test_a_command_names_only_what_is_unusual():
  usual = dataclasses.asdict(RunConfig(dataset="sst2", device="cpu", resume="x", dry_run=True))
  assert to_command(usual) == "python -m wayjax.run --dataset sst2 --device cpu"
  words = to_command({**usual, "demo": True, **demo.DEFAULTS, "steps": 2000})
  assert words == "python -m wayjax.run --dataset sst2 --demo --device cpu --steps 2000"
  words = to_command({"dataset": "sst2", "before": "-a b", "after": ""})
  assert words == "python -m wayjax.run --dataset sst2 --before='-a b' --after ''"
  words = to_command({"dataset": "sst2", "gamma": [0.0, 1e-5], "target": ["-a b", "c"]})
  assert words == "python -m wayjax.run --dataset sst2 --target='-a b' --target=c --gamma 0 1e-05"
