"""What a model's file says, on a terminal."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """`text` without what would steer the terminal: a file may come from anywhere."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
