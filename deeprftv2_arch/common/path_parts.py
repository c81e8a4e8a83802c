"""Names from outside that become part of a path."""

LONGEST = 200  # bytes; file systems take 255, and endings and hidden names come on top


def is_path_part(name: str) -> bool:
    """Tell whether a name, as part of a path, stays the one folder or file that it names, on every system."""
    return (
        bool(name.strip())
        and name not in (".", "..")
        and not any(character in "/\\" or not character.isprintable() for character in name)
        and len(name.encode("utf-8", "replace")) <= LONGEST
    )
