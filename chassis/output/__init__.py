"""What a command line writes: tables, data, findings and settings, without secrets or control characters."""
