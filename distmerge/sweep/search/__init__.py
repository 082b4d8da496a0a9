"""Takes a study and its stored runs; gives the runs to do next, and which of them go on."""
