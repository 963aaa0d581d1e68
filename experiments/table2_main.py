"""Table 2: a prompt solves a task about as well as the best one, and reads as any text.

Claim: for five tasks and 62 texts that have nothing to do with them, the constrained prompts read
as the texts (prompt F1) and lose little accuracy against unconstrained ones (Δ̂).
Paper, GPT-2 large, three seeds, γ = 0.01: F1 98.1, 94.2, 97.4, 95.9, 86.1 and Δ̂ 0.6, 2.0, 0.8, 1.5,
2.3 per cent for SST-2, SST-5, AGNews, Subj and TREC.
Command: python -m experiments.table2_main --model gpt2-large --out runs/paper
Time: about 3 hours on one H200-class GPU (estimated from operation counts at 400 TFLOP/s, not
measured); 5 minutes with --demo on two busy cores.
"""

import sys

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from wayjax.data.tasks import TASKS

EXPERIMENT = Experiment("table2_main", (Sweep(tuple(TASKS), ("ni", "pile")),))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
