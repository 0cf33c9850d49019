"""Names of runs and experiments, which become folders."""

from __future__ import annotations

_LONGEST = 200


def check_folder_name(option: str, name: str) -> None:
    """Refuse what is no name of one folder, and so would lie elsewhere.

    Args:
        option: The option that it comes from.
        name: The name.

    Raises:
        ValueError: With what a name may be.
    """
    plain = name.strip() == name and name.isprintable() and not set(name) & set("/\\:")
    if not name or not plain or name[0] in ".-" or len(name.encode()) > _LONGEST:
        raise ValueError(
            f"{option} names one folder: letters, digits, blanks, '-', '_' and '.' inside, not {name!r}."
        )
    if name == "latest":
        raise ValueError(f"{option} latest is kept for the newest run: take another name.")
