"""The commands that read the journal, or store an act of a person in it."""
