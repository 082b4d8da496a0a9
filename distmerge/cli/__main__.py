"""``python -m distmerge.cli``."""

import sys

from distmerge.cli import main

sys.exit(main())
