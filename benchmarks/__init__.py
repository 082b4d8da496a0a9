"""Performance, always as a ratio to the peer or the physical limit measured in the same run."""
