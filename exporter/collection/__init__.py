"""When each collector runs."""
