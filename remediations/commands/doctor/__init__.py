"""`doctor`: checks an installation from end to end, changes nothing, and says what mends each fault."""
