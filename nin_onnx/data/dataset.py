"""What a data set is: images, labels, names of the classes, and where they come from."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Dataset", "Split"]

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, in memory."""

    name: str
    split: Split
    images: "NDArray[np.uint8]"
    """[N, height, width, channels], raw pixels 0…255."""
    labels: "NDArray[np.int64]"
    """[N], each an index into `classes`."""
    classes: tuple[str, ...]
    official: bool
    """Whether the files are the official release's, by checksum."""
    held_out: int = 0
    """Images at the end that are a validation split, which is never trained on."""
    own: bool = False
    """Whether it is the user's own, of which there is no official release."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def provenance(self) -> str:
        """How reports call the files: `official`, `unofficial copy` or `user's own`."""
        if self.own:
            return "user's own"
        return "official" if self.official else "unofficial copy"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels and labels, in hexadecimal: the same for the same data in any file format.

        How many images are held out is a matter of use, and has no part in it.
        """
        import numpy as np

        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i8").data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The facts that reports carry, ready for JSON."""
        return {
            "name": self.name,
            "split": self.split,
            "images": len(self),
            "provenance": self.provenance,
            "fingerprint": self.fingerprint,
        }

    def __getitem__(self, rows: slice) -> "Dataset":
        """The images of a slice, as a data set of their own, of which nothing is held out."""
        return replace(self, images=self.images[rows], labels=self.labels[rows], held_out=0)
