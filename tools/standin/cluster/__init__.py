"""The stand-in as pods of a cluster: a real process for each."""
