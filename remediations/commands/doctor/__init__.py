"""`doctor`: checks an installation from end to end, changes nothing, and says how to fix each fault."""
