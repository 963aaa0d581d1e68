"""Table 5: true descriptions against all other texts.

Claim: prompts near true descriptions lose no less accuracy than those near other texts.
Paper: means over the five descriptions, and over the 62 other texts, of each task.
Command: python -m experiments.table5_compare --model gpt2-large --out runs/paper
Time: none where table2_main and table4_true have been run into the same folder, else both.
"""

import sys

from experiments import table2_main, table4_true
from experiments.experiment import Experiment, main

SWEEPS = table2_main.EXPERIMENT.sweeps + table4_true.EXPERIMENT.sweeps
EXPERIMENT = Experiment("table5_compare", SWEEPS)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
