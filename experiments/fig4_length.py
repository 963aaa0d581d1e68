"""Figure 4: the effect of the prompt's length.

Claim: the longer the text, the harder it is for a prompt to read as all of it.
Paper: AGNews, 30 texts of the Pile cut to each of 4, 7, 14, 28 and 56 tokens (its caption says
Natural Instructions; its text and its code say the Pile), GPT-2 large, γ = 0.01.
Command: python -m experiments.fig4_length --model gpt2-large --out runs/paper
Time: about 2 hours on one H200-class GPU (estimated from operation counts at 400 TFLOP/s, not
measured); 4 minutes with --demo on two busy cores.
"""

import sys

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep

GROUPS = ("pile-4", "pile-7", "pile-14", "pile-28", "pile-56")
EXPERIMENT = Experiment("fig4_length", (Sweep(("agnews",), GROUPS),))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
