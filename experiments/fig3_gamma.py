"""Figure 3: the effect of γ, the weight of c-dist.

Claim: a larger γ gives prompts that read more closely as their texts, and costs accuracy.
Paper: SST-2 and AGNews, 32 texts of Natural Instructions, GPT-2 large, eight γ.
Command: python -m experiments.fig3_gamma --model gpt2-large --out runs/paper
Time: about 2½ hours on one H200-class GPU after table2_main (estimated from operation counts at 400
TFLOP/s, not measured); 8 minutes with --demo on two busy cores.
"""

import sys

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep

GAMMA = (0.0, 1e-4, 5e-4, 1e-3, 3e-3, 5e-3, 0.01, 0.03)
EXPERIMENT = Experiment("fig3_gamma", (Sweep(("sst2", "agnews"), ("ni",), GAMMA),))

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
