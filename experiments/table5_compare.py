"""Table 5: true descriptions against all other texts.

Claim: prompts near true descriptions lose no less accuracy than those near other texts.
Paper: means over the five descriptions, and over the 62 other texts, of each task.
Command: python -m experiments.table5_compare --model gpt2-large --out runs/paper
Time: none where table2_main and table4_true have been run into the same folder, else both.
"""

import sys

from experiments.item import Item, main
from experiments.plan import Sweep
from wayjax.tasks import TASKS

ITEM = Item("table5_compare", (Sweep(tuple(TASKS), ("ni", "pile")), Sweep(tuple(TASKS), ("true",))))

if __name__ == "__main__":
  sys.exit(main(ITEM, __doc__))
