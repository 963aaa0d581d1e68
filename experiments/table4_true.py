"""Table 4: prompts that read as a true description of their task.

Claim: a prompt can read as a description of its own task too, which is not a better place to look
for one than any other text is.
Paper: five descriptions of each task, GPT-2 large, three seeds, γ = 0.01.
Command: python -m experiments.table4_true --model gpt2-large --out runs/paper
Time: about 15 minutes on one H200-class GPU (estimated from operation counts at 400 TFLOP/s, not
measured); 4 minutes with --demo on two busy cores.
"""

import sys

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep
from wayjax.data.tasks import TASKS

EXPERIMENT = Experiment("table4_true", (Sweep(tuple(TASKS), ("true",)),))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
