"""What the command does: it loads what its options name, audits it, and writes what was found."""

import argparse
import dataclasses
import itertools
import json
import re
import sys
import textwrap
import time
from pathlib import Path

import wayjax
from wayjax import demo
from wayjax.audit import page, tables
from wayjax.audit.example import EXAMPLE, of_its_length, tune_example
from wayjax.audit.findings import Findings
from wayjax.audit.measure import Trial, audit
from wayjax.audit.verdict import verdict
from wayjax.data.examples import load_data
from wayjax.data.targets import Target, load_targets
from wayjax.data.tasks import TASKS, Task, get_task, read_task_file
from wayjax.devices import compilation, select
from wayjax.errors import WayjaxError, shortened
from wayjax.export import write
from wayjax.files import exists
from wayjax.models import LanguageModel, load_lm
from wayjax.prompt_files import load_prompt
from wayjax.prompts import SoftPrompt
from wayjax.readers import READERS
from wayjax.results.summary import percent
from wayjax.visible import visible

_WIDTH = 100  # of the terminal's lines


def run(args: argparse.Namespace) -> int:
  """Carries out a command line; returns its exit code.

  Raises:
    WayjaxError: whatever is wrong with an option, or with what it names.
  """
  _check(args)
  if args.out:
    write.require_free(args.out)
  texts = _texts(args)
  task = _task(args)
  select.select_device(args.device)
  compilation.keep_programs()
  data_dir = args.data_dir or (demo.NAME if args.demo else None)
  data = task and load_data(task, data_dir, split=args.split)
  lm, prompts = _prompts(args, task, data)
  if args.demo and not (args.text or args.texts_file):
    texts = of_its_length(lm, prompts[demo.NAME], texts)
  trial = task and Trial(task, data, args.split, args.split_rows, args.max_length)
  findings = audit(lm, prompts, trial=trial, readers=tuple(args.readers), texts=texts)
  sentences = verdict(findings)
  content = to_json(findings, sentences)
  out = args.out or _free_folder(next(iter(prompts)))
  files = {"index.html": page.render(findings), "audit.json": content + "\n"}
  write.write_whole(out, {"": {name: text.encode() for name, text in files.items()}})
  print(content if args.json else to_text(findings, sentences))
  where = visible(str(Path(out) / "index.html"))
  print(f"written: {where}", file=sys.stderr if args.json else sys.stdout)
  return 0


def _check(args: argparse.Namespace) -> None:
  """Raises WayjaxError where options do not go together, before anything is loaded."""
  if args.demo and (args.prompt or args.model):
    raise WayjaxError("--demo audits a prompt of its own: leave PROMPT and --model out")
  if not args.demo and not args.prompt:
    raise WayjaxError("there is no prompt: name a run folder, PEFT folder or file, or give --demo")
  if args.demo and (args.key or args.tensor):
    raise WayjaxError("--key and --tensor name a prompt in PROMPT, and --demo has none")
  if not args.compare and (args.compare_key or args.compare_tensor):
    raise WayjaxError("--compare-key and --compare-tensor go with --compare: give it too")
  if args.dataset and args.task_file:
    raise WayjaxError("--dataset and --task-file name two tasks: give one of them")
  if args.data_dir and not (args.demo or args.dataset or args.task_file):
    raise WayjaxError("--data-dir is the folder of a task's rows: give --dataset or --task-file")
  if args.split_rows < 1:
    raise WayjaxError(f"--split-rows must be at least 1, not {args.split_rows}")
  for name in args.readers:
    if name not in ("auto", *READERS):
      raise WayjaxError(
        f"--readers: there is no reader '{name}'; choose from auto, {', '.join(READERS)}"
      )


def _task(args: argparse.Namespace) -> Task | None:
  if args.task_file:
    return read_task_file(args.task_file)
  if args.dataset or args.demo:
    return get_task(args.dataset or EXAMPLE)
  return None


def _texts(args: argparse.Namespace) -> list[Target]:
  """What prompts could have been made to read as: what is given, else what comes with wayjax."""
  if args.text or args.texts_file:
    return load_targets(get_task(EXAMPLE), file=args.texts_file, texts=tuple(args.text))
  return [target for task in TASKS.values() for target in load_targets(task, groups=demo.GROUPS)]


def _prompts(args: argparse.Namespace, task, data) -> tuple[LanguageModel, dict[str, SoftPrompt]]:
  """The model, and the prompts by the names that they are shown under."""
  if args.demo:
    lm = load_lm(demo.NAME, precision=args.precision)
    prompts = {demo.NAME: tune_example(lm, task, data)}
  else:
    # The prompt names its model, whose weights are then compared with those that it records.
    how = {"key": args.key, "tensor": args.tensor}
    name = args.model or load_prompt(args.prompt, **how).model
    lm = load_lm(name, precision=args.precision)
    prompts = {_shown(args.prompt, args.key): load_prompt(args.prompt, **how, model=lm)}
  if args.compare:
    other = load_prompt(args.compare, key=args.compare_key, tensor=args.compare_tensor, model=lm)
    name = _shown(args.compare, args.compare_key)
    prompts[name if name not in prompts else f"{name}, {args.compare_tensor or 'again'}"] = other
  return lm, prompts


def _shown(path: str, key: str | None) -> str:
  return path if key is None else f"{path}, {key}"


def _free_folder(name: str) -> str:
  """audits/<name>-<time>, with a number where another audit took that."""
  name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name)[:60].strip("-.") or "prompt"
  first = f"audits/{name}-{time.strftime('%Y%m%d-%H%M%S')}"
  names = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
  return next(out for out in names if not exists(out))


def to_json(findings: Findings, sentences: list[str]) -> str:
  """What was found and the verdict, as JSON; no number in it is NaN or infinite."""
  found = {"wayjax": wayjax.__version__, "verdict": sentences, **dataclasses.asdict(findings)}
  return json.dumps(found, indent=2, allow_nan=False)


def to_text(findings: Findings, sentences: list[str]) -> str:
  """A short table and the verdict, for a terminal."""
  lines = []
  for letter, prompt in tables.lettered(findings):
    lines.append(f"{letter}: {visible(prompt.name)}" if letter else visible(prompt.name))
    lines.append(f"{'':32}{'F1':>6}{'acc. %':>8}  reads as")
    if prompt.reads_as is not None:
      lines.append(f"{'is to read as':48}{_cut(prompt.reads_as)}")
    for name, said in tables.named(findings, prompt):
      accuracy = said.scores and said.scores.accuracy
      f1, right = percent(said.prompt_f1), percent(accuracy)
      lines.append(f"{name:32}{f1:>6}{right:>8}  {_cut(said.text)}")
    for name, scores in (("the prompt itself", prompt.scores), ("no prompt", prompt.nothing)):
      if scores is not None:
        lines.append(f"{name:38}{percent(scores.accuracy):>8}")
    for name, why in prompt.not_asked.items():
      lines.append(f"not asked: {visible(name)}: {visible(why)}")
    lines.append("")
  lines += [textwrap.fill(visible(sentence), _WIDTH) for sentence in sentences]
  return "\n".join(lines)


def _cut(text: str) -> str:
  return shortened(visible(text.strip()), _WIDTH - 48)
