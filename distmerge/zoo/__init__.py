"""Takes a zoo's name; gives its models and tasks, built from packages alone on first use."""

from distmerge.zoo.catalogue import ZOOS, build_zoo, cache_root, zoo_files

__all__ = ["ZOOS", "build_zoo", "cache_root", "zoo_files"]
