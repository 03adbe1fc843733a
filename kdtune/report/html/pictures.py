"""The pictures that a study keeps: of chosen models, and of synthetic images."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from kdtune.report.reported_study import ReportedStudy


@dataclass(frozen=True)
class PagePicture:
    """A picture of the page.

    Attributes:
        caption: What it shows, and of which strategy and seed.
        file: The PNG file.
    """

    caption: str
    file: Path

    @property
    def name(self) -> str:
        """Its name among all pictures of the study, without a suffix."""
        folder, study = self.file.parent, self.file.parent.parent
        return self.file.stem if (folder / "run.toml").is_file() else f"{self.file.stem}-{folder.relative_to(study)}"

    @property
    def address(self) -> str:
        """The PNG file as a data address."""
        return f"data:image/png;base64,{b64encode(self.file.read_bytes()).decode()}"


def pictures_of(study: ReportedStudy) -> list[PagePicture]:
    """Return the pictures of each strategy's first repeat, and the contact sheet of synthetic images."""
    seed, sheet = study.study.seed, study.folder.synthetic_sheet
    found = [
        PagePicture(f"{path.stem.replace('-', ' ').capitalize()} of {one.name} on test images, seed {seed}", path)
        for one in study.strategies
        for path in one.folder.pictures(seed, seed)
    ]
    if sheet.is_file():
        found.append(PagePicture("Some of the synthetic images on which the students were trained", sheet))
    return found
