"""python -m wayjax.audit: what a soft prompt reads as, could read as, and does."""

import argparse

from wayjax.exits import exit_code, quit_on_ctrl_c

quit_on_ctrl_c()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("wayjax", lambda: _audit(argv))


def _audit(argv: list[str] | None) -> int:
  # Imported here and below: a Ctrl-C may come before anything is loaded, and --help need not wait.
  args = _parse(argv)

  from wayjax.audit import command

  return command.run(args)


def _parse(argv: list[str] | None) -> argparse.Namespace:
  from wayjax.command_line import Parser
  from wayjax.config import AUTO, DEVICES, PRECISIONS
  from wayjax.options import path

  parser = Parser(prog="python -m wayjax.audit", description=__doc__)
  parser.add_argument(
    "prompt",
    nargs="?",
    type=path,
    metavar="PROMPT",
    help="run folder (with --key), PEFT folder or its name on the Hub, .safetensors or .npy file",
  )
  parser.add_argument("--key", metavar="KEY", help="of a run folder: the prompt's key")
  parser.add_argument("--tensor", metavar="NAME", help="of a file with several tensors: its name")
  parser.add_argument("--model", type=path, metavar="M", help="folder, GGUF file, Hub id [its own]")
  parser.add_argument(
    "--demo", action="store_true", help="tune and audit a prompt of the embedded model, offline"
  )
  beside = parser.add_argument_group("a second prompt beside it")
  beside.add_argument("--compare", type=path, metavar="PROMPT", help="the other, named likewise")
  beside.add_argument("--compare-key", metavar="KEY", help="its key in a run folder")
  beside.add_argument("--compare-tensor", metavar="NAME", help="its tensor in a file of several")
  task = parser.add_argument_group("what it does")
  task.add_argument("--dataset", metavar="NAME", help="a task to try it on, see wayjax.run [none]")
  task.add_argument("--task-file", type=path, metavar="FILE", help="your own task, a TOML file")
  task.add_argument("--data-dir", type=path, metavar="DIR", help="its rows [the Hub]")
  task.add_argument("--split", default="test", help="of these rows, test or dev [test]")
  task.add_argument(
    "--split-rows", type=int, default=200, metavar="N", help="how many of them are drawn [200]"
  )
  task.add_argument(
    "--max-length", type=int, metavar="N", help="inputs are cut to N - 16 tokens [the task's]"
  )
  read = parser.add_argument_group("what it reads as")
  read.add_argument(
    "--readers",
    nargs="+",
    default=[AUTO],
    metavar="NAME",
    help="who is asked; auto is everyone who is quick and can answer [auto]",
  )
  read.add_argument(
    "--text", action="append", default=[], metavar="TEXT", help="what else it might read as"
  )
  read.add_argument(
    "--texts-file",
    type=path,
    metavar="FILE",
    help="more such texts, one a line or as JSON [texts that come with wayjax]",
  )
  output = parser.add_argument_group("output")
  output.add_argument(
    "--out", type=path, metavar="DIR", help="folder to write, new or empty [audits/NAME-TIME]"
  )
  output.add_argument("--json", action="store_true", help="print JSON in place of the table")
  output.add_argument("--precision", choices=PRECISIONS, default=AUTO, help="as in wayjax.run")
  output.add_argument("--device", choices=DEVICES, default=AUTO, help="what to compute on [auto]")
  return parser.parse_args(argv)
