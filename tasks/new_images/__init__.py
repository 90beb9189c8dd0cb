"""New images scored by a finished run."""

from tasks.new_images.scorer import Scorer

__all__ = ["Scorer"]
