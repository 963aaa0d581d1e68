"""The command `python -m wayjax.generate`; the function of that name is `wayjax.generate`."""

import sys

from wayjax.generation.command import main

if __name__ == "__main__":
  sys.exit(main())
