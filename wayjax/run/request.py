"""What a command line asks for: a configuration, a task and its targets, nothing of it loaded."""

import dataclasses

from wayjax import demo
from wayjax.command_line import new_config, resumed_config
from wayjax.config import RunConfig
from wayjax.data.targets import Target, load_targets
from wayjax.data.tasks import Task, get_task, read_task_file
from wayjax.errors import WayjaxError
from wayjax.results import schema, trackers
from wayjax.results.folder import Run, read_run
from wayjax.results.rows import Row


def read_request(given: dict) -> tuple[RunConfig, Task, list[Target]]:
  """The configuration, the task and the targets that a command line asks for.

  Args:
    given: the options that it names, by field name.

  Raises:
    WayjaxError: a wrong value, or a run folder that cannot be resumed.
  """
  folder = given.get("resume")
  stored = _whole_run(folder).config if folder else None
  config = new_config(given) if stored is None else resumed_config(given, stored)
  if config.log_to:
    trackers.require(config.log_to, config.out)  # before targets, which may be downloaded
  task, targets = _named(config) if stored is None else _stored(stored, folder)
  return config, task, targets


def _whole_run(folder: str) -> Run:
  """A run that has all that it is continued from."""
  run = read_run(folder)
  for row in run.rows:
    schema.need(row, (field.name for field in dataclasses.fields(Row)), f"a row of {run.path}")
  for point in run.metrics:
    schema.need(point, ("prompt_key", "step"), f"a point of {run.path}")
  return run


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
  where = f"{folder}/config.json"
  resolved = schema.need(stored.get("resolved") or {}, ("targets", "target_texts"), where)
  try:
    task = Task.from_json(stored["task"])
    names, texts = resolved["targets"], resolved["target_texts"]
    targets = [Target(*name.split("/", 1), text) for name, text in zip(names, texts, strict=True)]
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise WayjaxError(f"{where} is damaged: {error!r}") from error
  return task, targets
