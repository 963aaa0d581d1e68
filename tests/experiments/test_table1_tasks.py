"""Table 1's counts."""

from experiments import table1_tasks
from wayjax.command_line import parse_args


def test_rows_to_test_on_are_counted_whatever_is_reported_on(tmp_path):
  config = parse_args(["--dataset", "trec", "--demo", "--split", "dev"])
  table = table1_tasks.measure([config], tmp_path)["table"]
  [line] = [dict(zip(table["columns"], line, strict=True)) for line in table["lines"]]
  train, dev = (int(line[name].replace(",", "")) for name in ("train", "dev"))
  assert (line["task"], train + dev, line["test"]) == ("trec", 1200, "400")
  assert len(line["example"]) <= 100
