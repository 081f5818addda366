"""The executor: the only writer to the cluster and the product."""
