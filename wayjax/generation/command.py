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
    help="soft prompts: run folders (with --key), PEFT folders or their names on the Hub, "
    ".safetensors and .npy files [none]",
  )
  parser.add_argument("--key", nargs="+", default=[], help="keys of prompts in a run folder")
  parser.add_argument("--tensor", metavar="NAME", help="the prompt in a file that holds several")
  parser.add_argument("--input", nargs="+", default=[], metavar="TEXT", help="texts to go on with")
  parser.add_argument("--inputs-file", type=path, metavar="FILE", help="more of them, one a line")
  parser.add_argument("--before", metavar="TEXT", help="text before the prompt [as it was tuned]")
  parser.add_argument("--after", metavar="TEXT", help="text after the prompt [as it was tuned]")
  parser.add_argument(
    "--chat", action="store_true", help="input and prompt are a user's turn of the chat template"
  )
  parser.add_argument("--system", metavar="TEXT", help="with --chat: the system's text")
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
  if args.system is not None and not args.chat:
    raise WayjaxError("--system is the system's text of a chat: it goes with --chat")
  if not args.prompt and (args.key or args.tensor is not None):
    raise WayjaxError("--key and --tensor name a prompt in what --prompt names: give --prompt too")

  from wayjax.devices import compilation, select
  from wayjax.generation.generate import generate
  from wayjax.models import load_lm

  select.select_device(args.device)
  compilation.keep_programs()
  lm = load_lm(args.model, precision=args.precision) if args.model else None
  prompts = _prompts(args, lm)
  if lm is None:
    lm = load_lm(_model_of(prompts), precision=args.precision)
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
    chat=args.chat,
    system=args.system,
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


def _prompts(args: argparse.Namespace, lm) -> dict:
  """The prompts by the names that they are printed under; of a model, where one is loaded."""
  from wayjax.prompt_files import load_prompt

  found = {}
  for path in args.prompt:
    for key in args.key or [None]:
      name = path if key is None else f"{path}, {key}"
      found[name] = load_prompt(path, key=key, tensor=args.tensor, model=lm)
  return found


def _model_of(prompts: dict) -> str:
  """The model that all prompts belong to."""
  from wayjax.errors import WayjaxError

  models = sorted({prompt.model for prompt in prompts.values()})
  if len(models) != 1:
    known = f"the prompts belong to {', '.join(models)}" if models else "there is no prompt"
    raise WayjaxError(f"the model is not known, as {known}: give --model")
  return models[0]


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
