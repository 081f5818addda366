"""What the command line does, and how the remediator is put together."""
