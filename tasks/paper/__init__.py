"""The paper's figures, and how they are reproduced."""
