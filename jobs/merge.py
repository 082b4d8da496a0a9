"""Merge files: python jobs/merge.py --base BASE --method METHOD -o OUTPUT CHECKPOINT..."""

import sys

from distmerge.cli import main

if __name__ == "__main__":
    sys.exit(main(["merge", *sys.argv[1:]]))
