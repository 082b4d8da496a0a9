"""Takes safetensors files and a static method's settings; gives the merged file, without torch.

Memory is bounded: neither the number of files nor their size counts.
"""

from distmerge.static.merge import OutputType, merge_files
from distmerge.static.recipe import STATIC_METHODS, Recipe, static_recipe

__all__ = [
    "STATIC_METHODS",
    "OutputType",
    "Recipe",
    "merge_files",
    "static_recipe",
]
