"""python -m wayjax.export: soft prompts -> folders that PEFT, vLLM or wayjax reads."""

import os

from wayjax.exits import exit_code, quit_on_ctrl_c
from wayjax.visible import visible

quit_on_ctrl_c()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("wayjax", lambda: _export(argv))


def _export(argv: list[str] | None) -> int:
  # Imported here and below: a Ctrl-C may come before anything is loaded, and wrong options need
  # not wait for jax.
  args = _parse(argv)

  from wayjax.export import choose, content, save, write
  from wayjax.export.request import Request
  from wayjax.models import load_lm

  how = Request(args.format, args.dtype, args.input, args.fold_frame)
  write.require_free(args.out)
  lm = load_lm(args.model, precision="float32") if args.model else None
  sources, said = choose.choose(args.path, args.key, args.best, args.all, args.tensor, lm)
  if lm is None and (why := how.needs_model(sources)):
    lm = save.load_model(sources[0], why)
  if lm is not None:
    for source in sources:
      source.require_model(lm)
  apart = args.all or len(sources) > 1  # a folder for each prompt
  names = choose.safe_names([source.key for source in sources]) if apart else [""]
  folders, notes = content.make_folders(dict(zip(names, sources, strict=True)), how, lm)
  write.write_whole(args.out, folders)
  for sentence in said:
    print(visible(sentence))
  for name in folders:
    print(f"written: {visible(os.path.join(args.out, name).rstrip(os.sep))}")
  for sentence in notes:
    print(f"note: {visible(sentence)}")
  return 0


def _parse(argv: list[str] | None):
  from wayjax.command_line import Parser
  from wayjax.config import CERTIFIED
  from wayjax.options import path

  parser = Parser(prog="python -m wayjax.export", description=__doc__)
  parser.add_argument(
    "path",
    type=path,
    metavar="RUN_DIR",
    help="run folder, or gs://BUCKET/FOLDER; or a PEFT folder, its name on the Hub, a .safetensors "
    "or .npy file",
  )
  which = parser.add_mutually_exclusive_group()
  which.add_argument("--key", nargs="+", metavar="KEY", help="prompts of a run, by prompt_key")
  which.add_argument(
    "--best", action="store_true", help="the run's most accurate constrained prompt"
  )
  which.add_argument("--all", action="store_true", help="every prompt of the run, a folder each")
  parser.add_argument(
    "--format",
    required=True,
    choices=("peft", "safetensors", "vllm"),
    help="peft is for Hugging Face's PEFT, vllm one request with --input, safetensors for wayjax",
  )
  parser.add_argument(
    "--out", required=True, type=path, metavar="DIR", help="folder to write, new or empty"
  )
  parser.add_argument(
    "--dtype", choices=CERTIFIED, default="float32", help="type of the vectors [float32]"
  )
  parser.add_argument(
    "--input", metavar="TEXT", help="of --format vllm: the text that follows the prompt"
  )
  parser.add_argument(
    "--fold-frame",
    action="store_true",
    help="of --format peft: write the text around the prompt as further virtual tokens",
  )
  parser.add_argument(
    "--model",
    type=path,
    metavar="DIR_OR_ID",
    help="the model that the prompt was tuned on, where its folder does not say or it has moved",
  )
  parser.add_argument(
    "--tensor", metavar="NAME", help="of a safetensors file with several tensors: the prompt's"
  )
  return parser.parse_args(argv)
