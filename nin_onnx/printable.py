"""Text from a model's file, made safe to print."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """`text` without what would steer a terminal, or what XML 1.0 has no way to write: a file may come from anywhere."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
