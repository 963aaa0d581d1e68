"""One module for each table and figure of the paper, and the benchmark; run with `python -m`."""
