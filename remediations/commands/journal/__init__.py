"""The commands that read the journal, or store a person's act in it."""
