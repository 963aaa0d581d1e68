"""What of a run folder must be the same, however often the run was cut off."""

import wayjax


def what_counts(folder):
  """Rows without times, prompts and training curves of a run folder."""
  run = wayjax.read_run(folder)
  rows = [{k: v for k, v in row.items() if k != "wall_seconds"} for row in run.rows]
  prompts = {key: run.prompt(key).vectors_PxD.tobytes() for key in sorted(run.prompt_keys())}
  return rows, prompts, run.metrics
