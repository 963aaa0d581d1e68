"""What all members of a sweep share: the same rules and defaults as on the command line."""

import dataclasses

import pytest

from wayjax.config import AUTO, MOST_STEPS, RunConfig, make_config, options
from wayjax.errors import WayjaxError
from wayjax.options import flag
from wayjax.tuning.settings import TrainSettings, train_settings

FIELDS = {field.name: field for field in options()}


def config_of(**values) -> RunConfig:
  return make_config({"dataset": "sst2", **values})


def refusal(make, **values) -> str:
  """What a function refuses its arguments with."""
  with pytest.raises(WayjaxError) as error:
    make(**values)
  return str(error.value)


@pytest.mark.parametrize(
  ("name", "sound", "wrong"),
  [
    ("steps", (1, MOST_STEPS), (0, MOST_STEPS + 1, 1.5, "7")),
    ("lr", (0, 0.5), (-0.1, float("nan"), float("inf"), "x")),
    ("batch_size", (1,), (0, 2.5)),
    ("members_at_once", (1, 7), (0, "some")),
    ("eval_every", (0, 5), (-1, 0.5)),
  ],
)
def test_a_run_and_a_sweep_share_one_rule(name, sound, wrong):
  for value in sound:
    assert getattr(train_settings(config_of(**{name: value})), name) == value
    assert getattr(TrainSettings(**{name: value}), name) == value
  for value in wrong:
    message = refusal(config_of, **{name: value})
    assert message.startswith(flag(FIELDS[name]))
    assert refusal(TrainSettings, **{name: value}) == message.replace(flag(FIELDS[name]), name)


def test_every_field_is_an_option_of_the_same_default():
  fields = dataclasses.fields(TrainSettings)
  defaults = {field.name: FIELDS[field.name].default for field in fields}
  assert defaults.pop("members_at_once") == AUTO
  assert defaults == {
    field.name: field.default for field in fields if field.name != "members_at_once"
  }


def test_automatic_is_none():
  assert train_settings(config_of()) == TrainSettings()
  assert TrainSettings().members_at_once is None
  assert "not auto" in refusal(TrainSettings, members_at_once=AUTO)
