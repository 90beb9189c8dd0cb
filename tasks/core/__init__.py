"""The numeric core: arrays in, arrays out. It knows no Prefect, no store and no files."""
