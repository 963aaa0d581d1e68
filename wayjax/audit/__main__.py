"""The command `python -m wayjax.audit`."""

import sys

from wayjax.audit import main

if __name__ == "__main__":
  sys.exit(main())
