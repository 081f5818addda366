"""Orders the steps of a remediation from delivery to verdict."""
