"""python -m wayjax.report: run folders -> tables, figures and a page; parts of a sweep as one."""

from wayjax.exits import exit_code, quit_on_ctrl_c
from wayjax.visible import visible

quit_on_ctrl_c()


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("wayjax", lambda: _report(argv))


def _report(argv: list[str] | None) -> int:
  # Imported here and below: a Ctrl-C may come before anything is loaded, and --help need not wait
  # for matplotlib.
  from wayjax.command_line import Parser
  from wayjax.options import path

  parser = Parser(prog="python -m wayjax.report", description=__doc__)
  parser.add_argument(
    "folders",
    nargs="+",
    type=path,
    metavar="RUN_DIR",
    help="run folders, or folders that hold some",
  )
  parser.add_argument(
    "--out", type=path, metavar="DIR", help="folder for the report [report in the first RUN_DIR]"
  )
  args = parser.parse_args(argv)
  out = args.out or f"{args.folders[0].rstrip('/')}/report"

  from wayjax.report import build, gather, write
  from wayjax.results import summary

  measured = gather.find_measured(args.folders)
  results = gather.merge(gather.find_runs(args.folders))
  page = write.write_report(build.make_report(results, measured), out)
  for found in results:
    print(summary.to_markdown(found.rows, found.resolved["majority"]))
  if not results and not measured:
    print(summary.to_markdown([], 0.0))
  print(f"the report is in {visible(page)}")
  return 0
