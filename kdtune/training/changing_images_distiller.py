"""The epoch loop of trainings whose images change from epoch to epoch, because the training makes some of them."""

from typing import Any

from kdtune.training.changing_images import ChangingImages
from kdtune.training.distiller import Distiller
from kdtune.training.epoch_metrics import EpochMetrics


class DistillerOnChangingImages(Distiller):
    """A training that prepares its images before each epoch."""

    def __init__(self, images: ChangingImages, *args: Any, **named: Any) -> None:
        """Build the network; see :class:`Distiller` for the other arguments, of which the splits hold the images."""
        super().__init__(*args, **named)
        self.changing_images = self._images = images

    def train_epoch(self) -> EpochMetrics:
        """Prepare the images, train one more epoch, and evaluate it on the validation images."""
        self._images.prepare(self.epoch, self.model)
        return super().train_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of training and images."""
        return {**super().state_dict(), "changing_images": self._images.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a result of :meth:`state_dict`."""
        super().load_state_dict(state)
        self._images.load_state_dict(state["changing_images"])
