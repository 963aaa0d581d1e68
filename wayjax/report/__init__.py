"""python -m wayjax.report: run folders -> tables, figures and a page; parts of a sweep as one."""

import argparse
import sys

from wayjax.command_line import write_any_text
from wayjax.errors import WayjaxError
from wayjax.options import path
from wayjax.results import summary


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  parser = argparse.ArgumentParser(prog="python -m wayjax.report", description=__doc__)
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
  write_any_text()
  args = parser.parse_args(argv)
  out = args.out or f"{args.folders[0].rstrip('/')}/report"
  try:
    # Imported here: --help need not wait for matplotlib.
    from wayjax.report import build, gather, write

    measured = gather.find_measured(args.folders)
    results = gather.merge(gather.find_runs(args.folders))
    page = write.write_report(build.make_report(results, measured), out)
  except WayjaxError as error:
    print(f"wayjax: error: {error}", file=sys.stderr)
    return 2
  for found in results:
    print(summary.to_markdown(found.rows, found.resolved["majority"]))
  if not results and not measured:
    print(summary.to_markdown([], 0.0))
  print(f"the report is in {page}")
  return 0
