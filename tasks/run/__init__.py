"""Steps of a run, from a request to published tables."""
