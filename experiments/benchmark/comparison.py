"""What the measurements show: whether the contenders agree, their ratios, and the table."""

import statistics

from experiments.benchmark.contenders import PACKED, PEFT, RELEASED
from wayjax.errors import WayjaxError

PEERS = {RELEASED: "{:.1f}", PEFT: "{:.1f}", PACKED: "{:.2f}"}  # how ratios to them are shown
TOLERANCE = 1e-4  # between contenders in float32, relative to the value or to 1


def check_agreement(results: dict[str, dict], dataset: str) -> None:
  """Raises WayjaxError where float32 contenders differ in loss, gradient or class scores."""
  exact = {name: result for name, result in results.items() if "f32" in name}
  first, *others = exact
  for name in others:
    for what in ("loss", "gradient_norm", "mean_losses"):
      expected, found = _flat(exact[first][what]), _flat(exact[name][what])
      worst = max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(expected, found, strict=True))
      if worst > TOLERANCE:
        raise WayjaxError(
          f"{dataset}: {name} and {first} differ by {worst:.1e} in {what}: they do different work"
        )


def _flat(value) -> list[float]:
  if not isinstance(value, list):
    return [value]
  return [number for inner in value for number in _flat(inner)]


def compare(results: dict[str, dict], rates: dict[str, float]) -> dict[str, dict]:
  """A row for each contender: seconds a member-step, examples a second, memory, ratios, shares.

  Args:
    results: what `measure` returned, by contender.
    rates: the machine's matmul rates.
  """
  rows = {}
  for name, result in results.items():
    step = statistics.median(result["step_seconds"])
    rate = result["evaluation_rows"] / result["evaluation_seconds"]
    rows[name] = {
      "seconds_per_member_step": step,
      "examples_per_second": rate,
      "peak_bytes": result["peak_bytes"],
      **{
        key: result[key]
        for key in ("compile_seconds", "recompile_seconds", "row_sizes", "useful_share")
        if key in result
      },
    }
    if "operations" in result:
      precision = "bf16" if "bf16" in name else "f32"
      rows[name]["share_of_matmul_rate"] = result["operations"] / step / rates[precision]
  for against in PEERS:
    peers = [row for name, row in rows.items() if name.startswith(against)]
    if peers:
      step = min(row["seconds_per_member_step"] for row in peers)
      rate = max(row["examples_per_second"] for row in peers)
      for row in rows.values():
        row[f"training_against_{against}"] = step / row["seconds_per_member_step"]
        row[f"evaluation_against_{against}"] = row["examples_per_second"] / rate
  return rows


def to_markdown(rows: dict[str, dict]) -> str:
  """The comparison as a table."""
  measured = {
    peer: form
    for peer, form in PEERS.items()
    if any(f"training_against_{peer}" in row for row in rows.values())
  }
  columns = {
    "s a member-step": ("seconds_per_member_step", "{:.3f}"),
    **{f"x {peer}": (f"training_against_{peer}", form) for peer, form in measured.items()},
    "examples / s": ("examples_per_second", "{:.1f}"),
    **{f"x {peer} ": (f"evaluation_against_{peer}", form) for peer, form in measured.items()},
    "% of matmul rate": ("share_of_matmul_rate", "{:.0%}"),
    "GiB": ("peak_bytes", "{:.1f}"),
    "compile s": ("compile_seconds", "{:.1f}"),
    "again s": ("recompile_seconds", "{:.1f}"),
  }
  lines = ["| | " + " | ".join(name.strip() for name in columns) + " |"]
  lines.append("| --- |" + " ---: |" * len(columns))
  for name, row in rows.items():
    cells = []
    for key, form in columns.values():
      value = row.get(key)
      value = value / 2**30 if key == "peak_bytes" else value
      cells.append("" if value is None else form.format(value))
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
  return "\n".join(lines)
