"""`controlcore-exporter doctor`: checks an installation from end to end, and says what to do."""
