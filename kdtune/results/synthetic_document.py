"""What ``result.json`` contains about synthetic images."""

from dataclasses import dataclass

from kdtune.results.shared_document import SharedInputs
from kdtune.specs.study import Study
from kdtune.specs.synthetic_data import synthetic_images
from kdtune.storage.field_types import Accuracy, Amount, Count
from kdtune.storage.records import strict


@strict
@dataclass(frozen=True)
class SyntheticImagesResult:
    """The images on which a strategy's students were trained.

    Attributes:
        method: Name of the method that made them.
        selection: ``synthetic`` if the strategy chose by those that are held out, so that its validation accuracy is
            agreement with the teacher; ``validation`` if it chose by real images.
        images: Their number.
        held_out: Number of them that are held out.
        confidence: The teacher's mean probability of the class that it gives an image; None before they are made, like
            the following values.
        target_agreement: Share of the images that the teacher gives the class that they were made for.
        diversity: Root mean square difference of a pixel between two of the images, with pixels from 0 to 1.
        class_counts: How many images the teacher gives each class.
    """

    method: str
    selection: str
    images: Count
    held_out: Count
    confidence: Accuracy | None
    target_agreement: Accuracy | None
    diversity: Amount | None
    class_counts: tuple[Count, ...] | None


def synthetic_images_of(study: Study, shared: SharedInputs) -> SyntheticImagesResult | None:
    """Return what a strategy's result says about its images; None for a study on real images."""
    if study.synthesis is None:
        return None
    train, held_out = synthetic_images(study)
    made = next(iter(shared.synthesis.values()), None)
    facts = ("confidence", "target_agreement", "diversity", "class_counts")
    known = [getattr(made, name) if made else None for name in facts]
    return SyntheticImagesResult(study.synthesis.name, study.selection, train + held_out, held_out, *known)
