"""Result tables of runs."""
