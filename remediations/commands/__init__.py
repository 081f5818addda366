"""The subcommands, and the code that assembles the remediator."""
