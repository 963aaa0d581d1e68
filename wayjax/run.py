"""python -m wayjax.run: one dataset, many members -> a run folder."""

import sys

from wayjax.config import parse_args
from wayjax.errors import WayjaxError
from wayjax.targets import load_targets
from wayjax.tasks import get_task, read_task_file


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="replace")  # not every terminal can write every target
  try:
    config = parse_args(argv)
    task = read_task_file(config.task_file) if config.task_file else get_task(config.dataset)
    given = config.targets or config.target or config.targets_file
    targets = load_targets(
      task,
      groups=config.targets if given else ("ni",),
      file=config.targets_file,
      texts=config.target,
      targets_dir=config.targets_dir,
      max_targets=config.max_targets,
    )
    from wayjax import pipeline  # imported here: --help and wrong options need not wait for jax
    from wayjax.progress import Display

    display = Display()
    pipeline.warn_on_display(display)
    pipeline.run(config, task, targets, display)
  except WayjaxError as error:
    print(f"wayjax: error: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("wayjax: stopped; the members that had finished stay in the run folder", file=sys.stderr)
    return 130
  return 0


if __name__ == "__main__":
  sys.exit(main())
