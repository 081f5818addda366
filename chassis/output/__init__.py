"""Output of the command lines: tables, data, findings and settings, without secrets or control characters."""
