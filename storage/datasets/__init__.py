"""Datasets: their files, layouts and manifests."""
