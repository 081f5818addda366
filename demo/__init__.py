"""The demonstration: a stand-in Control Core and the acts that are played on it."""
