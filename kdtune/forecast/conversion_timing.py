"""The conversion of a student to integers, which is timed before there is a trained one."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.quantisation.finished import QuantisedStudent
from kdtune.quantisation.networks import PreparedStudent
from kdtune.specs.quantisation import Quantisation
from kdtune.training.resolution import representative_recipe


def convert_untrained(context: TrainingContext) -> None:
    """Prepare an untrained student as for its training; then prepare, convert and write it as for its test.

    Args:
        context: The study's training context.
    """
    recipe = representative_recipe(context.study, with_teacher=False, quantised=Quantisation(kind="ptq"))
    shape = torch.Size(context.image_shape)
    network = context.task.network(recipe.model, shape)
    start = {name: one.clone() for name, one in network.state_dict().items()}
    assert recipe.quantisation is not None
    prepared = PreparedStudent(network, recipe.quantisation, shape)  # exported anew, as in a process that begins
    prepared.train()(torch.zeros(2, *shape))  # ranges without which nothing can be converted
    student = QuantisedStudent(recipe, context.task, shape, context.device, start, prepared.state_dict())
    with TemporaryDirectory() as folder:
        student.write(Path(folder) / "student.pt")
