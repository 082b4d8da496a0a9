"""What to do about errors that do not say so themselves."""

import torch

# What Ray says when it kills; what torch and its oneDNN say of memory that is not a GPU's.
_OUT_OF_MEMORY = (
    *("low on memory", "out of memory issue"),
    *("can't allocate memory", "could not create a primitive"),
)


def advice(error: object) -> str:
    """Give what to do about an error of memory, which does not say so itself."""
    of_python = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if not of_python and not any(words in str(error) for words in _OUT_OF_MEMORY):
        return ""
    return (
        "; this run needs more memory than it had: give a trial more cores or a larger GPU share "
        "(ray.trial_cpus, ray.trial_gpus), run fewer at a time (ray.max_concurrent), or draw "
        "smaller batches (METHOD.batch_size)"
    )
