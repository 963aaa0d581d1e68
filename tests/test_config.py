"""Options: what each decides, and what values it takes."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from wayjax.config import (
  AUTO,
  MOST_STEPS,
  RunConfig,
  is_unconstrained,
  make_config,
  options,
)
from wayjax.errors import WayjaxError
from wayjax.options import LARGEST, Role, check_value, flag, option, recorded_names, require_choice

FIELDS = {field.name: field for field in options()}


def config_of(**values) -> RunConfig:
  return make_config({"dataset": "sst2", **values})


def refusal(make, *args, **values) -> str:
  """What a function refuses its arguments with."""
  with pytest.raises(WayjaxError) as error:
    make(*args, **values)
  return str(error.value)


class TestRoles:
  def test_every_option_has_a_role_a_group_and_a_line_of_help(self):
    for field in options():
      assert field.metadata["role"] in Role, field.name
      assert field.metadata["group"], field.name
      assert field.metadata["help"], field.name
    assert [field for field in dataclasses.fields(RunConfig) if not field.metadata] == []

  def test_roles_part_the_options(self):
    parts = [field.name for role in Role for field in options(role)]
    assert sorted(parts) == sorted(FIELDS)
    assert {field.name for field in options(Role.AXIS)} >= {
      "targets",
      "gamma",
      "constraint",
      "seeds",
    }
    assert {field.name for field in options(Role.SETTING)} >= {"dataset", "model", "steps", "lr"}

  def test_a_resumed_run_may_change_places_and_what_it_compares_itself(self):
    may_change = {name for name, field in FIELDS.items() if field.metadata["may_change"]}
    places = {field.name for field in options(Role.PLACE)}
    assert may_change - places == {"data_dir", "model"}
    assert places - may_change == {
      "out",
      "device",
      "model_parallel",
      "members_at_once",
      "eval_every",
      "readers",
    }

  def test_commands_name_all_that_decides_numbers(self):
    named = {name for name, field in FIELDS.items() if field.metadata["in_command"]}
    places = {field.name for field in options(Role.PLACE)}
    assert FIELDS.keys() - places <= named
    assert named & places == {"device", "model_parallel", "eval_every", "readers"}

  def test_an_option_is_recorded_under_its_own_name_unless_it_says_otherwise(self):
    assert recorded_names(FIELDS["steps"]) == ("steps",)
    assert recorded_names(FIELDS["data_dir"]) == ("data_sha256",)
    assert recorded_names(FIELDS["demo"]) == ()

  def test_an_option_can_be_told_apart_from_its_role(self):
    place = option(None, "output", Role.PLACE, "where")
    assert (place.metadata["may_change"], place.metadata["in_command"]) == (True, False)
    setting = option(None, "task", Role.SETTING, "what", may_change=True, in_command=False)
    assert (setting.metadata["may_change"], setting.metadata["in_command"]) == (True, False)


class TestValues:
  @pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.metadata.get("choices")])
  def test_a_choice_is_one_of_several(self, name):
    choices = FIELDS[name].metadata["choices"]
    several = isinstance(FIELDS[name].default, tuple)
    for choice in choices:
      check_value(FIELDS[name], (choice,) if several else choice)
    message = refusal(check_value, FIELDS[name], ("other",) if several else "other")
    assert message == f"{flag(FIELDS[name])} must be one of {', '.join(choices)}, not 'other'"

  @pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if "least" in f.metadata])
  def test_a_number_has_a_least_value(self, name):
    field = FIELDS[name]
    least, several = field.metadata["least"], isinstance(field.default, tuple)
    check_value(field, (least, least + 1) if several else least)
    wrong = [least - 1, float("nan"), "3", None]
    wrong += [] if field.metadata["type"] is float else [least + 0.5]
    for value in wrong:
      if several or value != field.default:
        message = refusal(check_value, field, (least, value) if several else value)
        assert message.startswith(f"{flag(field)} must be ")
        assert message.endswith(f" of at least {least}, not {value}")

  def test_a_number_may_have_a_most_value(self):
    check_value(FIELDS["steps"], MOST_STEPS)
    message = refusal(check_value, FIELDS["steps"], MOST_STEPS + 1)
    assert message == "--steps must be at most 1,000,000, not 1,000,001"

  @pytest.mark.parametrize("number", [np.int64(3), np.array(3), jnp.int32(3)])
  def test_whole_numbers_of_numpy_and_jax_are_whole_numbers(self, number):
    value = check_value(FIELDS["steps"], number)
    assert (value, type(value)) == (3, int)

  @pytest.mark.parametrize("numbers", [np.array([0, 0.5]), jnp.array([0, 0.5]), iter([0.0, 0.5])])
  def test_several_numbers_may_be_an_array_or_anything_that_gives_them(self, numbers):
    values = check_value(FIELDS["gamma"], numbers)
    assert values == (0.0, 0.5)
    assert {type(value) for value in values} == {float}

  @pytest.mark.parametrize("value", [0.01, None, "1"])
  def test_one_value_is_not_a_list_of_values(self, value):
    message = refusal(check_value, FIELDS["gamma"], value, "gamma")
    assert message == f"gamma must be a list of values, not {value!r}"

  @pytest.mark.parametrize("name", ["seeds", "batch_size", "eval_rows"])
  def test_a_whole_number_that_could_be_written_but_not_read_is_refused(self, name):
    """A run whose seed had 4,200 digits ended well, and its folder could not be read again."""
    several = isinstance(FIELDS[name].default, tuple)
    check_value(FIELDS[name], (LARGEST,) if several else LARGEST)
    for number in (LARGEST + 1, 10**4200):
      message = refusal(check_value, FIELDS[name], (number,) if several else number)
      assert message.startswith(f"{flag(FIELDS[name])} must be at most {LARGEST:,}, not ")

  def test_the_default_needs_no_check_but_another_value_may_be_named(self):
    check_value(FIELDS["members_at_once"], AUTO)
    check_value(FIELDS["members_at_once"], None, unless=None)
    assert "not auto" in refusal(check_value, FIELDS["members_at_once"], AUTO, unless=None)

  def test_a_value_goes_by_the_name_that_is_given(self):
    assert refusal(check_value, FIELDS["lr"], -1, "rate").startswith("rate must be a number")
    assert refusal(require_choice, "way", "up", ("left", "right")) == (
      "way must be one of left, right, not 'up'"
    )


class TestRunConfig:
  def test_its_defaults_are_the_papers(self):
    config = config_of()
    assert config == RunConfig(dataset="sst2")
    assert config.model == "gpt2-large"
    assert (config.gamma, config.seeds) == ((0.0, 0.01), (1, 10, 100))
    assert (config.steps, config.lr, config.batch_size) == (2000, 0.01, 8)
    assert (config.init, config.projection, config.split) == ("target", "euclidean", "test")
    assert config.constraint == ("c-dist",)

  @pytest.mark.parametrize(
    ("values", "message"),
    [
      ({"dataset": None}, "which task? give --dataset"),
      ({"task_file": "x"}, "which task? give --dataset"),
      ({"gamma": (-1.0,)}, "--gamma must be numbers of at least 0, not -1.0"),
      ({"gamma": (float("inf"),)}, "--gamma must be numbers"),
      ({"gamma": (0, 0.0)}, "--gamma has the same value twice"),
      ({"constraint": ("c-dist", "c-dist")}, "--constraint has the same value twice"),
      ({"seeds": (1, 1)}, "--seeds has the same value twice"),
      ({"targets": ("ni", "ni")}, "--targets has the same value twice"),
      ({"seeds": (-3,)}, "--seeds must be whole numbers of at least 0, not -3"),
      ({"gamma": ()}, "--gamma needs at least one value"),
      ({"seeds": ()}, "--seeds needs at least one value"),
      ({"constraint": ()}, "--constraint needs at least one value"),
      ({"shard": (2, 2)}, "--shard 2/2: I must be from 0 to N - 1"),
      ({"shard": (-1, 2)}, "--shard -1/2: I must be"),
      ({"out": "s3://bucket/run"}, "--out must be a folder or gs://BUCKET/FOLDER, not s3://"),
      ({"resume": "gs://bucket"}, "--resume must be a folder or gs://BUCKET/FOLDER"),
      ({"processes": 2}, "--coordinator, --processes and --process-id go together"),
      (
        {"coordinator": "a:1", "processes": 2, "process_id": 2, "out": "x"},
        "--process-id must be from 0 to 1",
      ),
      ({"distributed": True}, "--out must name the run folder"),
      ({"coordinator": "a:1", "processes": 2, "process_id": 0}, "--out must name the run folder"),
      ({"log_to": ("tensorboard", "email")}, "--log-to must be one of tensorboard, wandb"),
    ],
  )
  def test_what_is_wrong_is_named(self, values, message):
    assert message in refusal(config_of, **values)

  @pytest.mark.parametrize(
    "values",
    [
      {"out": "gs://bucket/run"},
      {"shard": (0, 1)},
      {"coordinator": "a:1", "processes": 2, "process_id": 1, "out": "x"},
      {"distributed": True, "resume": "x"},
    ],
  )
  def test_what_is_right_passes(self, values):
    assert config_of(**values)


def test_a_prompt_is_unconstrained_by_the_papers_penalty_with_gamma_0():
  assert is_unconstrained("c-dist", 0.0)
  assert not is_unconstrained("c-dist", 0.01)
  assert not is_unconstrained("ball", 0.0)


PROCESSES = {"dataset": "sst2", "out": "x", "processes": 2, "process_id": 0}


@pytest.mark.parametrize(
  "address",
  [
    "localhost", "localhost:", ":1234", "host:port", "host:0", "host:65536", "host:-1", "",
    "::1:1234", "a b:1", "http://host:1", "host:1:2", "host:1234 ", "[::1]", "h\x1b:1", "host:١",
  ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address):
  with pytest.raises(WayjaxError, match="--coordinator must be HOST:PORT, such as"):
    make_config({**PROCESSES, "coordinator": address})


@pytest.mark.parametrize("address", ["localhost:1", "10.0.0.1:65535", "a-b.c_d:80", "[::1]:1234"])
def test_an_address_is_taken(address):
  assert make_config({**PROCESSES, "coordinator": address}).coordinator == address
