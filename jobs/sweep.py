"""Run a study: python jobs/sweep.py [STUDY.yaml] [key=value ...] [--plan]."""

import sys

from distmerge.cli import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
