"""Hand-written lists, an entry a line."""

from pathlib import Path

from textvae.errors import DataError, NotFoundError


def read_list(path: Path) -> list[str]:
    """Return the lines of a hand-written list, with their ends. NotFoundError, DataError."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            return list(stream)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
