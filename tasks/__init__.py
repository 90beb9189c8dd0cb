"""The steps of a run: thin Prefect tasks that read, call the numeric core, and write."""
