"""Result tables of runs."""

from storage.results.reader import Results

__all__ = ["Results"]
