"""Takes a zero-shot head's description and class names; gives the sentences that name the classes.

Beside it lie the published templates and class names of the eight benchmark tasks with their
source: ``classes`` in the order of the task's data set, which knows them as ``names``, or by the
same words with ``_`` and ``/`` for spaces, or as numbers.
"""

from distmerge.models.prompts.reading import Prompts, prompt_problems, read_prompts

__all__ = ["Prompts", "prompt_problems", "read_prompts"]
