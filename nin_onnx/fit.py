"""How an image of another size comes to the size that a network takes."""

from typing import Literal

__all__ = ["Fit"]

Fit = Literal["stretch", "crop"]
"""`stretch`: as a whole. `crop`: the shorter side fits, and both ends of the longer one are cut off."""
