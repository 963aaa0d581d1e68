"""The command `python -m wayjax.run`."""

import sys

from wayjax.run import main

if __name__ == "__main__":
  sys.exit(main())
