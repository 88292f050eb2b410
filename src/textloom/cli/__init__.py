"""The command line: what is between the shell, Hydra and the API."""
