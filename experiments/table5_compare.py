"""Table 5: true descriptions against all other texts.

Claim: prompts near true descriptions lose no less accuracy than those near other texts.
Paper: means over the five descriptions, and over the 62 other texts, of each task.
Command: python -m experiments.table5_compare --model gpt2-large --out runs/paper
Time: none where table2_main and table4_true have been run into the same folder, else both.
"""

import sys

from experiments import table2_main, table4_true
from experiments.experiment import Item, main

ITEM = Item("table5_compare", table2_main.ITEM.sweeps + table4_true.ITEM.sweeps)

if __name__ == "__main__":
  sys.exit(main(ITEM, __doc__))
