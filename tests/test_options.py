"""An option that is added in one place is known everywhere: its role says what it decides."""

import dataclasses
import json
import re

import pytest
from reports import finish, lines_of, read, row, write_run

from experiments import needed_runs
from experiments.needed_runs import Sweep
from wayjax import config
from wayjax.command_line import parse_args, parse_options, resumed_config, to_command
from wayjax.errors import WayjaxError
from wayjax.options import AXIS, PLACE, SETTING, option, recorded_names
from wayjax.report import build, gather, page, tables


@pytest.fixture
def made_up(monkeypatch):
  """RunConfig with a setting that nothing else has heard of."""

  @dataclasses.dataclass(frozen=True)
  class Extended(config.RunConfig):
    made_up: int = option(3, "sweep", SETTING, "a made-up number", type=int, metavar="N", least=1)

  monkeypatch.setattr(config, "RunConfig", Extended)


pytestmark = pytest.mark.usefixtures("made_up")


def test_the_command_line_reads_it_and_writes_it(capsys):
  assert parse_args(["--dataset", "sst2"]).made_up == 3
  given = parse_args(["--dataset", "sst2", "--made-up", "5"])
  assert given.made_up == 5
  assert to_command(dataclasses.asdict(given)) == (
    "python -m wayjax.run --dataset sst2 --made-up 5"
  )
  with pytest.raises(WayjaxError, match="--made-up must be a whole number of at least 1, not 0"):
    parse_args(["--dataset", "sst2", "--made-up", "0"])
  with pytest.raises(SystemExit):
    parse_args(["--help"])
  assert re.search(r"--made-up N +a made-up number \[3\]", capsys.readouterr().out)


def test_it_may_not_change_when_a_run_is_resumed():
  stored = json.loads(json.dumps(dataclasses.asdict(parse_args(["--dataset", "sst2"]))))
  resumed = {"resume": "folder"}
  assert resumed_config(resumed, stored).made_up == 3
  with pytest.raises(WayjaxError, match="--made-up cannot change when a run is resumed: it is 3"):
    resumed_config(resumed | parse_options(["--made-up", "5"]), stored)
  del stored["made_up"]
  with pytest.raises(WayjaxError, match="was written by a version of wayjax without --made-up"):
    resumed_config(resumed, stored)


@pytest.fixture
def runs(tmp_path) -> str:
  """A folder of runs that differ in nothing else; the last of them is of an earlier version."""
  for i, values in enumerate(({"made_up": 3}, {"made_up": 5}, {})):
    rows = [row("a", gamma, accuracy=0.9 - i / 10 - gamma) for gamma in (0.0, 0.01)]
    write_run(tmp_path / str(i), rows, **values)
  return str(tmp_path)


def test_a_report_keeps_it_apart_and_names_it(runs):
  found = read(runs)
  labels = ["sst2, made_up 3", "sst2, made_up 5", "sst2, made_up None"]
  assert gather.labels(found) == labels
  lines = lines_of(tables.main_results(found))
  assert [line["task"] for line in lines] == labels
  assert [line["acc. γ=0"] for line in lines] == ["90.0", "80.0", "70.0"]


def test_the_page_shows_it_with_an_entry(runs):
  text = page.render(build.make_report(read(runs), {}))
  data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
  assert data["settings"][-1] == "made_up"
  assert [entry["row"]["made_up"] for entry in data["entries"]] == [3, 3, 5, 5, None, None]


def test_experiments_do_not_share_a_folder_with_runs_of_another_value(tmp_path):
  sweep = Sweep(("sst2",), ("ni",))

  def needed(*given):
    return needed_runs.calls(sweep, None, tmp_path, list(given), demo=False, resume=False)

  (call,) = needed("--made-up", "5")
  finish(call)
  assert needed("--made-up", "5") == []
  with pytest.raises(WayjaxError, match="was run with --made-up 5, not 3: give the same, or"):
    needed()


def test_roles_decide_what_may_change_and_what_a_command_names():
  for field in config.options():
    metadata = field.metadata
    if metadata["role"] is not SETTING:
      assert metadata["recorded"] is None, field.name
    if metadata["role"] is AXIS:
      assert not metadata["may_change"], field.name
      assert metadata["in_command"], field.name
  by_role = [set(config.options(role)) for role in (SETTING, AXIS, PLACE)]
  assert set.union(*by_role) == set(config.options())
  assert sum(map(len, by_role)) == len(config.options())
  (field,) = (field for field in config.options() if field.name == "made_up")
  assert recorded_names(field) == ("made_up",)
