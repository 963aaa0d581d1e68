"""python -m wayjax.run: one dataset, many members -> a run folder."""

import sys

from wayjax import demo
from wayjax.command_line import parse_args, write_any_text
from wayjax.config import RunConfig
from wayjax.errors import WayjaxError
from wayjax.stopping import Stopped
from wayjax.targets import Target, load_targets
from wayjax.tasks import HubSource, Task, get_task, read_task_file


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  write_any_text()
  try:
    config = parse_args(argv)
    task, targets = _stored(config) if config.resume else _asked_for(config)
    # Imported here: --help and wrong options need not wait for jax.
    from wayjax import devices, pipeline, processes
    from wayjax.progress import Display

    processes.start(config.coordinator, config.processes, config.process_id, config.distributed)
    devices.select_device(config.device)
    display = Display(silent=not processes.is_first())
    pipeline.warn_on_display(display)
    pipeline.run(config, task, targets, display)
  except WayjaxError as error:
    print(f"wayjax: error: {error}", file=sys.stderr)
    return 2
  except Stopped as stopped:
    print(
      f"wayjax: stopped, and saved; to go on: python -m wayjax.run --resume {stopped.folder}",
      file=sys.stderr,
    )
    return 128 + stopped.signal
  except KeyboardInterrupt:
    print("wayjax: stopped; the members that had finished stay in the run folder", file=sys.stderr)
    return 130
  return 0


def _asked_for(config: RunConfig) -> tuple[Task, list[Target]]:
  """The task and the targets that the options name."""
  task = read_task_file(config.task_file) if config.task_file else get_task(config.dataset)
  given = config.targets or config.target or config.targets_file
  targets = load_targets(
    task,
    groups=config.targets if given else (demo.NAME if config.demo else "ni",),
    file=config.targets_file,
    texts=config.target,
    targets_dir=config.targets_dir,
    max_targets=config.max_targets,
  )
  return task, targets


def _stored(config: RunConfig) -> tuple[Task, list[Target]]:
  """The task and the targets of a run folder; their files may have changed since."""
  from wayjax import results

  stored = results.read_config(config.resume)
  try:
    hub = stored["task"].pop("hub")
    task = Task(
      **{
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored["task"].items()
      },
      hub=hub and HubSource(**hub),
    )
    names, texts = stored["resolved"]["targets"], stored["resolved"]["target_texts"]
    targets = [Target(*name.split("/", 1), text) for name, text in zip(names, texts, strict=True)]
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise WayjaxError(f"{config.resume}/config.json is damaged: {error!r}") from error
  return task, targets


if __name__ == "__main__":
  sys.exit(main())
