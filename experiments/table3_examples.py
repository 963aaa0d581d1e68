"""Table 3: examples of prompts beside the texts that they read as.

Claim: such a prompt can also read as the definition of another task, or of the contrary one.
Paper: examples of GPT-2 large, of each task.
Command: python -m experiments.table3_examples --model gpt2-large --out runs/paper
Time: none where table2_main has been run into the same folder, else the same.
"""

import sys

from experiments import table2_main
from experiments.experiment import Experiment, main

EXPERIMENT = Experiment("table3_examples", table2_main.EXPERIMENT.sweeps)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
