"""The command `python -m wayjax.report`."""

import sys

from wayjax.report import main

if __name__ == "__main__":
  sys.exit(main())
