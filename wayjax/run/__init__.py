"""python -m wayjax.run: one dataset, many members -> a run folder."""

import sys

from wayjax.command_line import parse_options, write_any_text
from wayjax.errors import WayjaxError
from wayjax.run.stopping import RunStopped


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  write_any_text()
  try:
    given = parse_options(argv)
    # Imported here and below: --help need not wait for packages, nor wrong options for jax.
    from wayjax.run.request import read_request

    config, task, targets = read_request(given)

    from wayjax.devices import processes, select
    from wayjax.run import pipeline
    from wayjax.run.display import Display

    processes.start(config.coordinator, config.processes, config.process_id, config.distributed)
    select.select_device(config.device)
    with Display(silent=not processes.is_first()) as display:
      pipeline.run(config, task, targets, display)
  except WayjaxError as error:
    print(f"wayjax: error: {error}", file=sys.stderr)
    return 2
  except RunStopped as stopped:
    print(
      f"wayjax: stopped and saved; to continue: python -m wayjax.run --resume {stopped.folder}",
      file=sys.stderr,
    )
    return 128 + stopped.signal
  except KeyboardInterrupt:
    print("wayjax: stopped; finished members stay in the run folder", file=sys.stderr)
    return 130
  return 0
