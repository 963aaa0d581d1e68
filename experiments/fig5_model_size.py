"""Figure 5: the effect of the model's size.

Claim: larger models are more wayward: their prompts read more closely as any text, at less cost.
Paper: SST-2, 30 texts of the Pile, GPT-2 from small to XL; for each text the most accurate of three
γ whose prompts have an F1 above 98 %. Here that choice is made on dev.
Command: python -m experiments.fig5_model_size --out runs/paper
Time: about 1½ hours on one H200-class GPU (estimated from operation counts at 400 TFLOP/s, not
measured); nothing is left to tune after fig3_gamma with --demo, which has one model.
"""

import sys

from experiments.experiment import Experiment, main
from experiments.needed_runs import Sweep

EXPERIMENT = Experiment(
  "fig5_model_size",
  (Sweep(("sst2",), ("pile",), (0.0, 0.01, 5e-3, 3e-3)),),
  models=("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"),
)

if __name__ == "__main__":
  sys.exit(main(EXPERIMENT, __doc__))
