"""The pictures that a task keeps of chosen models, embedded into the page."""

from base64 import b64encode
from dataclasses import dataclass

from kdtune.report.reported_study import ReportedStudy


@dataclass(frozen=True)
class PagePicture:
    """A picture of the page.

    Attributes:
        caption: What it shows, and of which strategy and seed.
        address: The PNG file as a data address.
    """

    caption: str
    address: str


def pictures_of(study: ReportedStudy) -> list[PagePicture]:
    """Return the pictures of each strategy's first repeat; a classifier has none."""
    seed = study.study.seed
    return [
        PagePicture(
            f"{path.stem.replace('-', ' ').capitalize()} of {one.name} on test images, seed {seed}",
            f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}",
        )
        for one in study.strategies
        for path in one.folder.pictures(seed, seed)
    ]
