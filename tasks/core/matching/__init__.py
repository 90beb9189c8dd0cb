"""Retrieval and matching, exactly."""
