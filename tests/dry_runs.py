"""The runs that an experiment's command line asks for, without running them."""

from experiments import experiment
from wayjax import run as wayjax_run
from wayjax.command_line import parse_args


def calls_of(asked: experiment.Experiment, arguments, monkeypatch, tmp_path) -> list:
  """The configurations of the runs."""
  calls = []
  monkeypatch.setattr(wayjax_run, "main", lambda call: calls.append(parse_args(call)) or 0)
  options = [*arguments, "--out", str(tmp_path), "--dry-run"]
  assert experiment.main(asked, "", options) == 0
  return calls
