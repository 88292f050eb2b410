"""The command line: commands, their options and help, and errors in one line."""
