"""Automatic metrics of videos: a file a family, all fed by one pass over the frames. docs/metrics.md has the list."""
