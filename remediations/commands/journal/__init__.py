"""The commands that read the journal, or write a person's act into it."""
