"""The command `python -m wayjax.export`."""

import sys

from wayjax.export import main

if __name__ == "__main__":
  sys.exit(main())
