"""Target prompts: the texts that tuned prompts are to read as."""

import collections
import dataclasses
import hashlib
import http.client
import json
import os
import re
import urllib.request
from pathlib import Path

from wayjax import demo, hub
from wayjax.data.tasks import TASKS, Task
from wayjax.errors import WayjaxError, reason
from wayjax.files import MIB, exists, parse_json, read_text
from wayjax.visible import is_unicode

_COMMIT = "aa047d672984926e08390253bfebd9796780b1e7"
_RELEASED = f"https://raw.githubusercontent.com/Alrope123/prompt-waywardness/{_COMMIT}/prompts"
_ANSWER_SECONDS = 4.0
_MOST_BYTES = 16 * MIB  # of a file of targets
_MOST_TARGETS = 100_000
_MOST_CHARACTERS = 1_000_000  # of a target; no model has as many positions
_TEXT, _FILE = "text", "file"
OTHER = "other"  # true descriptions of the paper's other tasks
_LINE = re.compile(r"line-\d+")

# Group -> its file in the paper's released repository, and that file's sha256.
GROUPS = {
  "ni": (
    "natural_prompts.json",
    "257857f8adf0a673ab3dc41c40858809856312758bea88f916b724780edcc8b0",
  ),
  "pile": ("pile.json", "f7a8513097c4dcc7162af28762e353aee0e0830a11df9ab99f90a4b6c51943ac"),
  "pile-4": ("pile_n=4.json", "504c2fc25f1f96cc495f22c627641c34fc5aca1ea24204d5fea505b681f8f5d2"),
  "pile-7": ("pile_n=7.json", "1957ac52172f7314f756e6ccf97b1658a06c19146dbe86af8364e4d2987b5d88"),
  "pile-14": ("pile_n=14.json", "b59ad0f7c838328688aa39e7a3c4a66ad4427926bf3ef7ec27d9d2400413bcd3"),
  "pile-28": ("pile_n=28.json", "dc261c052ad91542f9afc4fcc23798b4e0eb62841a00b22314304dfc17aaa958"),
  "pile-56": ("pile_n=56.json", "f8aaf6e9249bf161b667c58a14fdc91562bcfde19f5013951d94e95b1c19f5af"),
  "true": ("good_prompts.json", "438ca0084f798fb7bfd065281b94ec7cebacded33dc33a436f524f6262c5b111"),
}
GROUPS[OTHER] = GROUPS["true"]


@dataclasses.dataclass(frozen=True)
class Target:
  """A text that a prompt is to read as.

  Attributes:
    group: where it comes from: a group of the paper or of the demo, `file`, or `text` for a
      literal text.
    name: its name within the group.
    text: the text itself.
  """

  group: str
  name: str
  text: str


def is_numbered(group: str, name: str) -> bool:
  """Whether a target is named after its place on a command line or in a file, not by anyone."""
  return group == _TEXT or (group == _FILE and bool(_LINE.fullmatch(name)))


def task_described(group: str, name: str) -> str | None:
  """The task that a target describes, of a group of other tasks' true descriptions; else None."""
  if group not in (OTHER, demo.OTHER):
    return None
  prefixes = {
    task.name: f"{task.name}_" if group == demo.OTHER else task.true_prefix
    for task in TASKS.values()
  }
  return next((task for task, prefix in prefixes.items() if name.startswith(prefix)), None)


def load_targets(
  task: Task,
  *,
  groups: tuple[str, ...] = (),
  file: str | Path | None = None,
  texts: tuple[str, ...] = (),
  targets_dir: str | Path | None = None,
  max_targets: int | None = None,
) -> list[Target]:
  """The targets of a run: those of the groups, then those of the file, then the literal texts.

  Args:
    task: the task; the group `true` means the descriptions of this task, `other` those of others.
    groups: names of the paper's or the demo's groups.
    file: a JSON object that maps names to texts, or a file with one text per line.
    texts: literal texts.
    targets_dir: a folder with the paper's files; None means the released repository, cached.
    max_targets: how many to keep, from the first; None means all.

  Returns:
    Targets, at least one.

  Raises:
    WayjaxError: an unknown group, an unreadable file, an empty text, or no network.
  """
  targets = []
  for group in groups:
    if group in demo.GROUPS:
      targets += _demo(group, task)
    elif group in GROUPS:
      targets += _group(group, task, targets_dir)
    else:
      names = ", ".join([*GROUPS, *demo.GROUPS])
      raise WayjaxError(f"unknown target group '{group}': choose from {names}")
  if file is not None:
    targets += _file(Path(file))
  targets += [Target(_TEXT, f"text-{i}", text) for i, text in enumerate(texts, start=1)]
  numbered: dict[tuple, str] = {}
  for target in targets:
    if not is_unicode(target.name + target.text):
      raise WayjaxError(f"target '{target.name}' ({target.group}) is not valid Unicode")
    if not target.text.strip():
      raise WayjaxError(f"target '{target.name}' ({target.group}) is empty: give it some text")
    if len(target.text) > _MOST_CHARACTERS:
      raise WayjaxError(
        f"target '{target.name}' ({target.group}) has more than {_MOST_CHARACTERS:,} characters: "
        "shorten it"
      )
    if is_numbered(target.group, target.name):
      first = numbered.setdefault((target.group, target.text), target.name)
      if first != target.name:  # it would count twice in every mean
        raise WayjaxError(f"targets '{first}' and '{target.name}' are the same text: give it once")
  if not targets:
    raise WayjaxError("there are no targets: use --targets, --targets-file or --target")
  targets = targets[:max_targets]
  if len(targets) > _MOST_TARGETS:
    raise WayjaxError(f"there are more than {_MOST_TARGETS:,} targets: use --max-targets")
  return targets


def _group(group: str, task: Task, targets_dir) -> list[Target]:
  name, sha256 = GROUPS[group]
  if targets_dir is not None:
    path = Path(targets_dir) / name
    if not exists(path):
      raise WayjaxError(f"target group '{group}' needs {path}, which does not exist")
    texts = _parse(_read(path), str(path))
  else:
    texts = _parse(_fetch(group, name, sha256).decode("utf-8-sig"), name)
  if group == "true":
    if task.true_prefix is None:
      raise WayjaxError(f"target group 'true' has no descriptions of the task '{task.name}'")
    texts = {key: text for key, text in texts.items() if key.startswith(task.true_prefix)}
  elif group == OTHER:
    own = task.true_prefix
    texts = {key: text for key, text in texts.items() if own is None or not key.startswith(own)}
    texts = _in_turns(texts)
  return [Target(group, key, text) for key, text in texts.items()]


def _in_turns(texts: dict[str, str]) -> dict[str, str]:
  """Descriptions by name, those of the tasks in turn: the first few are of as many tasks."""
  counts, turns = collections.Counter(), {}
  for name in texts:
    task = name.rpartition("_")[0]
    turns[name] = counts[task]
    counts[task] += 1
  return {name: texts[name] for name in sorted(texts, key=turns.get)}


def _demo(group: str, task: Task) -> list[Target]:
  by_group = json.loads(demo.TARGETS.read_text(encoding="utf-8"))
  if group == demo.OTHER:
    described = by_group[demo.TRUE]
    texts = {
      f"{other}_{name}": text
      for other in described
      if other != task.name
      for name, text in described[other].items()
    }
    return [Target(group, name, text) for name, text in _in_turns(texts).items()]
  by_task = by_group[group]
  texts = by_task.get(task.name, by_task.get("*"))
  if texts is None:
    raise WayjaxError(
      f"target group '{group}' has no texts for the task '{task.name}': give --target or "
      "--targets-file"
    )
  return [Target(group, name, text) for name, text in texts.items()]


def _file(path: Path) -> list[Target]:
  content = _read(path)
  if _BEGINS_AS_JSON.match(content) or _is_json(content):
    texts = _parse(content, str(path))
  else:
    # Not splitlines: a text may hold other characters at which that would split it.
    lines = re.split(r"\r?\n", content)
    texts = {f"line-{i}": line for i, line in enumerate(lines, start=1) if line.strip()}
  return [Target(_FILE, key, text) for key, text in texts.items()]


def _read(path: Path) -> str:
  return read_text(path, _MOST_BYTES, f"targets file {path}")


_BEGINS_AS_JSON = re.compile(r'\s*\{\s*"')  # else a brace begins a line of text


def _is_json(content: str) -> bool:
  """Whether it holds an object or a list; what looks like a number or a word is a line of text."""
  try:
    return isinstance(parse_json(content), dict | list)
  except (ValueError, RecursionError):
    return False  # lines of text: the first may well begin with a bracket


def _parse(content: str, where: str) -> dict[str, str]:
  try:
    texts = parse_json(content)
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"targets file {where} cannot be read as JSON: {reason(error)}") from error
  if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
    raise WayjaxError(f"targets file {where} must be a JSON object that maps names to texts")
  return texts


def _fetch(group: str, name: str, sha256: str) -> bytes:
  """A released file, from the cache or from the network; its hash is checked either way."""
  cached = hub.user_cache() / "targets" / _COMMIT / name
  if os.path.isfile(cached) and _sha256(content := cached.read_bytes()) == sha256:
    return content
  url = f"{_RELEASED}/{name}"
  try:
    with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
      content = answer.read(_MOST_BYTES)
  except (OSError, http.client.HTTPException) as error:
    cause = getattr(error, "reason", None)  # urllib wraps the socket's error
    quoted = reason(cause if isinstance(cause, Exception) else error)
    raise WayjaxError(
      f"target group '{group}' is not cached and the paper's repository cannot be reached "
      f"({quoted}): connect to the network, give --targets-dir a folder that contains {name}, "
      "or use your own --target 'text'"
    ) from error
  if _sha256(content) != sha256:
    raise WayjaxError(
      f"{url} does not have the expected sha256: it was changed on the way; try again, or "
      "use --targets-dir"
    )
  hub.keep(cached, content)
  return content


def _sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
