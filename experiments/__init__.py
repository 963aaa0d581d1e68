"""One module for each table and figure of the paper, and the benchmark; run with `python -m`."""

from wayjax.exits import quit_on_ctrl_c

quit_on_ctrl_c()
