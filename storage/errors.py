"""What can be wrong with a dataset or a store; every message names the file and the remedy."""


class DatasetError(ValueError):
    """A dataset, or a part of it, that cannot be used."""


class OneCategoryError(DatasetError):
    """A folder that is one category of a dataset, and no dataset."""


class StoreError(RuntimeError):
    """A store that cannot be opened, read or written."""


class UnreachableStoreError(StoreError):
    """A bucket that does not answer, or refuses; it may the next time."""


class LostLockError(StoreError):
    """A lock that was held, and that another process has by now."""


class DamagedStoreError(StoreError):
    """A file of the store whose content is missing or fails its checksum."""

    def __init__(self, path: object, reason: object, store: object) -> None:
        """Name the damaged `path`, the `reason`, and the command that repairs `store`."""
        super().__init__(
            f"{path} is damaged ({reason}). Run `spade repair --store '{store}'`, "
            "which drops what is damaged, then the same command again, which computes it anew."
        )
