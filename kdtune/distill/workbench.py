"""What every training of a study shares in one process: the data on the device, and the teacher."""

from functools import cached_property
from pathlib import Path

import torch

from kdtune.data import DATASETS
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.distill.distiller import Distiller
from kdtune.distill.recipe import student_recipe
from kdtune.distill.teacher import load_teacher, read_record, teacher_folder, train_teacher
from kdtune.energy.flops import Workload, macs
from kdtune.errors import KdtuneError
from kdtune.files import alone_in
from kdtune.models import MODELS
from kdtune.paths import data_dir
from kdtune.specs.space import Point
from kdtune.specs.study import Study


def pick_device(gpus: float) -> torch.device:
    """The GPU that Ray assigned, or the CPU.

    Raises:
        KdtuneError: A GPU was assigned but torch cannot use it.
    """
    if gpus <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise KdtuneError(
            "a GPU was assigned, but this torch cannot use it; see 'kdtune doctor', or give --gpus-per-trial 0"
        )
    return torch.device("cuda", 0)


class Workbench:
    """Loads each thing once and keeps it: a reused worker starts its next trial in milliseconds."""

    def __init__(self, study: Study, device: torch.device, threads: int, data: str | None = None) -> None:
        """Prepare for one study.

        Args:
            study: The study.
            device: Where to train.
            threads: CPU threads for torch, as many as Ray gave cores: results on a CPU depend on the number.
            data: The folder with the data sets; None for ``$KDTUNE_DATA_DIR`` or the default.
        """
        torch.set_num_threads(threads)
        self.study = study
        self.device = device
        self.threads = threads
        self._data = data
        self.num_classes = int(DATASETS[study.dataset].facts["classes"])

    @cached_property
    def arrays(self) -> Arrays:
        """The data as they are on the disk."""
        place = data_dir(self._data, "the study's data folder")
        arrays: Arrays = DATASETS.load(self.study.dataset)().load(place)
        return arrays

    @cached_property
    def splits(self) -> Splits:
        """The data, split and on the device."""
        study = self.study
        return Splits.of(self.arrays, study.validation, study.split_seed, self.device, study.data.train_limit)

    @property
    def teacher_folder(self) -> Path:
        """Where the study's teacher is kept, or will be."""
        return teacher_folder(self.study, self.threads, self.device, self.arrays.fingerprint)

    @cached_property
    def teacher(self) -> torch.nn.Module:
        """The study's teacher, frozen: from the cache, or trained now where it has not been yet."""
        folder = self.teacher_folder
        if read_record(folder) is None:
            with alone_in(folder):
                if read_record(folder) is None:  # another process may have trained it meanwhile
                    train_teacher(self.study, self.splits, self.num_classes, self.device, folder)
        model = self._untrained(self.study.teacher)
        load_teacher(model, self.study, folder, self.device)
        return model.eval().requires_grad_(False)

    def distiller(self, point: Point, seed: int) -> Distiller:
        """A training of the student at one point."""
        recipe = student_recipe(self.study, point)
        teacher = self.teacher if recipe.needs_teacher else None
        return Distiller(recipe, seed, self.splits, self.num_classes, self.device, teacher)

    def untrained_student(self) -> torch.nn.Module:
        """The student as it is before any training."""
        return self._untrained(self.study.student)

    def untrained_teacher(self) -> torch.nn.Module:
        """A network of the teacher's architecture, frozen, that knows nothing: it takes as long as the real one."""
        return self._untrained(self.study.teacher).eval().requires_grad_(False)

    def student(self, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
        """The student with given weights."""
        model = self.untrained_student()
        model.load_state_dict(weights)
        return model

    def workload(self) -> Workload:
        """Sizes of the study's networks and data, for FLOPs."""
        shape = tuple(self.splits.train.images.shape[1:])
        return Workload(
            teacher_macs=macs(self._untrained(self.study.teacher), *shape),
            student_macs=macs(self._untrained(self.study.student), *shape),
            train_images=len(self.splits.train),
            val_images=len(self.splits.validation),
            test_images=len(self.splits.test),
        )

    def _untrained(self, name: str) -> torch.nn.Module:
        channels = self.splits.train.images.shape[1]
        return MODELS.load(name)(channels, self.num_classes).to(self.device)
