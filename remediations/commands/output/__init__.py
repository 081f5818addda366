"""The output of commands, and how it fits a terminal."""
