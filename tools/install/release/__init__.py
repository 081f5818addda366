"""What a release publishes: the files of dist, the image and the chart in a registry, and their signatures."""
