"""Takes what runs tell; gives what people see of a sweep: board, logs, curves, status."""
