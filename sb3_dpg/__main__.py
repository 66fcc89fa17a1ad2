"""``python -m sb3_dpg``: the same as the command ``sb3-dpg``."""

import sys

from sb3_dpg.cli import main

if __name__ == "__main__":
    sys.exit(main())
