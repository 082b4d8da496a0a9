"""Merge K fine-tuned CLIP image towers into one multi-task model, on a Ray cluster."""

__version__ = "0.1.0"
