"""python -m wayjax.run: one dataset, many members -> a run folder."""

import shlex
import sys

from wayjax.exits import exit_code, quit_on_ctrl_c
from wayjax.visible import visible

quit_on_ctrl_c()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  stopped = "stopped; finished members stay in the run folder"
  code = exit_code("wayjax", lambda: _run(argv), stopped=stopped)
  if processes := sys.modules.get("wayjax.devices.processes"):
    processes.leave(code)
  return code


def _run(argv: list[str] | None) -> int:
  # Imported here and below: a Ctrl-C may come before anything is loaded, --help need not wait for
  # packages, nor wrong options for jax.
  from wayjax.command_line import parse_options
  from wayjax.errors import WayjaxError, reason
  from wayjax.run.stopping import RunStopped

  given = parse_options(argv)

  from wayjax.run.request import read_request

  config, task, targets = read_request(given)

  try:
    from wayjax.devices import processes, select
  except ValueError as error:  # of a variable such as JAX_ENABLE_X64
    why = f"{reason(error)}; change or unset that variable"
    raise WayjaxError(f"jax cannot be loaded: {why}") from error

  from wayjax.run import pipeline
  from wayjax.run.display import Display

  processes.start(config.coordinator, config.processes, config.process_id, config.distributed)
  try:
    with processes.together():
      select.select_device(config.device)
      with Display(silent=not processes.is_first()) as display:
        pipeline.run(config, task, targets, display)
  except RunStopped as stopped:
    command = shlex.join(["python", "-m", "wayjax.run", "--resume", str(stopped.folder)])
    print(f"wayjax: stopped and saved; to continue: {visible(command)}", file=sys.stderr)
    return 128 + stopped.signal
  return 0
