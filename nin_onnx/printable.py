"""Text from a model's file, made safe to print."""

__all__ = ["printable"]


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """`text` with `instead` for all that would steer a terminal, or that XML 1.0 has no way to write.

    A file may come from anywhere.
    """
    return "".join(letter if letter.isprintable() else instead for letter in text)
