"""What runs, in which order."""

from tasks.core.memory import reuse

reuse()
