"""python -m wayjax.run: one dataset, many members -> a run folder."""

import sys

from wayjax import demo
from wayjax.command_line import new_config, parse_options, resumed_config, write_any_text
from wayjax.config import RunConfig
from wayjax.data.targets import Target, load_targets
from wayjax.data.tasks import HubSource, Task, get_task, read_task_file
from wayjax.errors import WayjaxError
from wayjax.results import trackers
from wayjax.results.folder import read_config
from wayjax.run.stopping import RunStopped


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  write_any_text()
  try:
    config, task, targets = _wanted(parse_options(argv))
    if config.log_to:
      trackers.require(config.log_to, config.out)
    # Imported here: --help and wrong options need not wait for jax.
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


def _wanted(given: dict) -> tuple[RunConfig, Task, list[Target]]:
  """The configuration, the task and the targets of the options that were given."""
  if not given.get("resume"):
    config = new_config(given)
    return config, *_named(config)
  stored = read_config(given["resume"])
  return resumed_config(given, stored), *_stored(stored, given["resume"])


def _named(config: RunConfig) -> tuple[Task, list[Target]]:
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


def _stored(stored: dict, folder: str) -> tuple[Task, list[Target]]:
  """The task and the targets of a run folder; their files may have changed since."""
  try:
    fields = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in stored["task"].items()
    }
    hub = fields.pop("hub")
    task = Task(**fields, hub=hub and HubSource(**hub))
    names, texts = stored["resolved"]["targets"], stored["resolved"]["target_texts"]
    targets = [Target(*name.split("/", 1), text) for name, text in zip(names, texts, strict=True)]
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise WayjaxError(f"{folder}/config.json is damaged: {error!r}") from error
  return task, targets
