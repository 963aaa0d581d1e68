"""python -m wayjax.generate: what a model goes on with after soft prompts and texts."""

import argparse
import json
import sys
import time

from wayjax.exits import exit_code, quit_on_ctrl_c
from wayjax.visible import visible

quit_on_ctrl_c()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("wayjax", lambda: _generate(_parse(argv)))


def _parse(argv: list[str] | None) -> argparse.Namespace:
  # Imported here and below: a Ctrl-C may come before anything is loaded, and --help need not wait.
  from wayjax.command_line import Parser
  from wayjax.config import AUTO, DEVICES, PRECISIONS
  from wayjax.options import path

  parser = Parser(prog="python -m wayjax.generate", description=__doc__)
  parser.add_argument("--model", metavar="M", help="folder, GGUF file or Hub id [the prompts' own]")
  parser.add_argument(
    "--prompt",
    nargs="+",
    default=[],
    type=path,
    metavar="PATH",
    help="soft prompts: run folders (with --key), safetensors files, PEFT folders [none]",
  )
  parser.add_argument("--key", nargs="+", default=[], help="keys of prompts in a run folder")
  parser.add_argument("--tensor", metavar="NAME", help="the prompt in a file that holds several")
  parser.add_argument("--input", nargs="+", default=[], metavar="TEXT", help="texts to go on with")
  parser.add_argument("--inputs-file", type=path, metavar="FILE", help="more of them, one a line")
  parser.add_argument("--before", metavar="TEXT", help="text before the prompt [as it was tuned]")
  parser.add_argument("--after", metavar="TEXT", help="text after the prompt [as it was tuned]")
  parser.add_argument("--max-new-tokens", type=int, default=20, metavar="N", help="at most [20]")
  parser.add_argument("--stop", nargs="+", default=[], metavar="TEXT", help="texts to stop at")
  parser.add_argument(
    "--temperature", type=float, default=0.0, metavar="X", help="0 is the most probable token [0]"
  )
  parser.add_argument("--top-k", type=int, metavar="K", help="draw among the K most probable [all]")
  parser.add_argument("--top-p", type=float, metavar="P", help="draw among this probability [all]")
  parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws [0]")
  parser.add_argument("--precision", choices=PRECISIONS, default=AUTO, help="as in wayjax.run")
  parser.add_argument("--device", choices=DEVICES, default=AUTO, help="what to compute on [auto]")
  parser.add_argument("--json", action="store_true", help="print JSON, one line a generation")
  return parser.parse_args(argv)


def _generate(args: argparse.Namespace) -> int:
  from wayjax.errors import WayjaxError

  inputs = args.input + (_lines(args.inputs_file) if args.inputs_file else [])
  if not inputs:
    raise WayjaxError("there is no input: give --input TEXT, which may be empty, or --inputs-file")
  prompts = _prompts(args)
  models = {prompt.model for prompt in prompts.values()}
  if args.model is None and len(models) != 1:
    known = f"the prompts belong to {', '.join(sorted(models))}" if models else "there is no prompt"
    raise WayjaxError(f"the model is not known, as {known}: give --model")
  name = args.model or models.pop()

  from wayjax.devices import select
  from wayjax.generation.generate import generate
  from wayjax.models import load_lm

  select.select_device(args.device)
  lm = load_lm(name, precision=args.precision)
  names, count = list(prompts) or [None], len(inputs) * max(len(prompts), 1)
  print(f"wayjax: {count} sequences of up to {args.max_new_tokens} new tokens", file=sys.stderr)
  started = time.perf_counter()
  found = generate(
    lm,
    list(prompts.values()),
    inputs,
    max_new_tokens=args.max_new_tokens,
    stop=args.stop,
    temperature=args.temperature,
    top_k=args.top_k,
    top_p=args.top_p,
    seed=args.seed,
    before=args.before,
    after=args.after,
  )
  seconds = time.perf_counter() - started
  for name, of_prompt in zip(names, found, strict=True):
    for text, generation in zip(inputs, of_prompt, strict=True):
      print(_json(name, text, generation) if args.json else _block(name, text, generation))
  tokens = sum(len(generation.ids) for of_prompt in found for generation in of_prompt)
  print(
    f"wayjax: {tokens} tokens in {seconds:.1f} s, compiling included: {tokens / seconds:,.0f} a "
    "second",
    file=sys.stderr,
  )
  return 0


def _lines(path: str) -> list[str]:
  from wayjax.files import MIB, read_text

  return read_text(path, 64 * MIB).splitlines()


def _prompts(args: argparse.Namespace) -> dict:
  """The prompts by the names that they are printed under."""
  found = {}
  for path in args.prompt:
    for key in args.key or [None]:
      name = path if key is None else f"{path}, {key}"
      found[name] = _read(path, key, args.model, args.tensor)
  return found


def _read(path: str, key: str | None, model: str | None, tensor: str | None):
  from wayjax.prompts import load_prompt
  from wayjax.results.folder import read_run

  if key is not None:
    return read_run(path).prompt(key)
  return load_prompt(path, model=model, tensor=tensor)


def _block(name: str | None, text: str, generation) -> str:
  lines = [("prompt", name), ("input", text), ("output", generation.text)]
  return "".join(f"{what:6}  {visible(said)}\n" for what, said in lines if said is not None)


def _json(name: str | None, text: str, generation) -> str:
  return json.dumps(
    {
      "prompt": name,
      "input": text,
      "text": generation.text,
      "ids": generation.ids.tolist(),
      "stopped": generation.stopped,
    }
  )
