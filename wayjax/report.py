"""python -m wayjax.report: run folders -> one table for each setting, parts of a sweep as one."""

import argparse
import sys

from wayjax import summary
from wayjax.errors import WayjaxError
from wayjax.results import Run, read_run

# Rows that differ in one of these are not averaged.
SETTING = ("model", "dataset", "split", "steps", "init", "lr", "precision", "projection")


def merge(runs: list[Run]) -> dict[tuple, tuple[list[dict], float]]:
  """The rows of several run folders, by setting.

  Args:
    runs: run folders, read; parts of one sweep or different sweeps.

  Returns:
    For each setting its rows, and the share of its most frequent class.

  Raises:
    WayjaxError: two folders hold different rows of the same member.
  """
  merged: dict[tuple, dict[str, dict]] = {}
  shares, homes = {}, {}
  for run in runs:
    for row in run.rows:
      setting = tuple(row[name] for name in SETTING)
      shares[setting] = run.config["resolved"]["majority"]
      rows = merged.setdefault(setting, {})
      known = rows.setdefault(row["prompt_key"], row)
      home = homes.setdefault((setting, row["prompt_key"]), run.path)
      if known is not row:
        raise WayjaxError(
          f"{home} and {run.path} both hold {row['prompt_key']}: name parts of one sweep, or one "
          "of the two"
        )
  return {setting: (list(rows.values()), shares[setting]) for setting, rows in merged.items()}


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  parser = argparse.ArgumentParser(prog="python -m wayjax.report", description=__doc__)
  parser.add_argument("folders", nargs="+", metavar="RUN_DIR", help="run folders")
  folders = parser.parse_args(argv).folders
  try:
    tables = [summary.to_markdown(*found) for found in merge(list(map(read_run, folders))).values()]
  except WayjaxError as error:
    print(f"wayjax: error: {error}", file=sys.stderr)
    return 2
  print("\n".join(tables or [summary.to_markdown([], 0.0)]))
  return 0


if __name__ == "__main__":
  sys.exit(main())
