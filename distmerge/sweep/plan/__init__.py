"""Takes a study's headers and a cluster; gives what a sweep would do there, and need."""
