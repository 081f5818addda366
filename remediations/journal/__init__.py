"""The journal: the record of every accepted alert and every decision."""
