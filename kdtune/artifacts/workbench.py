"""What every training of a study shares in one process: the data on the device, and the teacher."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Generic

import torch
from typing_extensions import TypeVar

from kdtune.artifacts.compiled_code import Compilation, Networks
from kdtune.artifacts.logit_store import FILLINGS, LogitStore
from kdtune.artifacts.repeat_logits import RepeatLogits
from kdtune.artifacts.teacher import load_teacher, measure_teacher, teacher_folder, train_teacher
from kdtune.artifacts.teacher_record import read_record
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.data.sources import load_arrays
from kdtune.data.split_sizes import batch_sizes, folds_last_image
from kdtune.energy.flops import Workload, macs
from kdtune.errors import KdtuneError
from kdtune.models.building import build_network
from kdtune.specs.component import Component, as_written
from kdtune.specs.study import Setting, Study
from kdtune.specs.trial_spec import Recipe
from kdtune.storage.files import TRAINING, alone_in, in_use
from kdtune.storage.paths import data_dir
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.compiled_networks import Compiler
from kdtune.training.distiller import Distiller, EpochMetrics
from kdtune.training.numerics import Arithmetic, device_name, set_up_gpu
from kdtune.training.single_image_batches import check_step
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits


def pick_device(gpus: float, indices: Sequence[int] = (0,)) -> torch.device:
    """The GPU that Ray assigned, or the CPU.

    Args:
        gpus: How many, or what share of one.
        indices: Which, as torch counts them.

    Raises:
        KdtuneError: Several GPUs were assigned, or one that torch cannot use.
    """
    if gpus <= 0:
        return torch.device("cpu")
    if gpus > 1:  # the others would be held and charged for nothing
        raise KdtuneError(f"a trial was given {gpus:g} GPUs, but a training uses only one; give each trial at most 1")
    if not torch.cuda.is_available():
        raise KdtuneError(
            "a GPU was assigned, but this torch cannot use it; see 'kdtune doctor', or give --gpus-per-trial 0"
        )
    return torch.device("cuda", indices[0])


#: What a bench is for: the setting of trainings that are resolved, or a whole study.
S = TypeVar("S", bound=Setting, default=Study)


class Workbench(Generic[S]):
    """Loads each thing once and keeps it: a reused worker starts its next trial in milliseconds."""

    def __init__(self, study: S, device: torch.device, threads: int, data: str | None = None) -> None:
        """Prepare for one study.

        Args:
            study: The study, or the setting that its trainings share.
            device: Where to train.
            threads: CPU threads for torch, as many as Ray gave cores: results on a CPU depend on the number.
            data: The folder with the data sets; None for ``$KDTUNE_DATA_DIR`` or the default.
        """
        torch.set_num_threads(threads)
        self.study = study
        self.device = device
        self.threads = threads
        self._data = data
        self.num_classes = study.data_info.classes
        numerics = study.numerics.resolved()
        self.arithmetic = Arithmetic(device, numerics)
        captures = numerics.captures_steps
        self.compiler = Compiler(device, graphs=not captures) if numerics.uses_compiler else None
        self.captures = CapturedSteps(device) if captures else None
        #: Stores and code that are read as long as this lives: nobody is to remove them.
        self._used: dict[Path, ExitStack] = {}
        if device.type == "cuda":
            torch.cuda.set_device(device)  # for what torch does on the present device: streams, graphs, pinned memory
            set_up_gpu()

    def sharing(self, study: S) -> "Workbench[S]":
        """A bench for another study of the same data and split, which are not loaded again."""
        other = Workbench(study, self.device, self.threads, self._data)
        other.arrays, other.splits = self.arrays, self.splits
        return other

    @cached_property
    def arrays(self) -> Arrays:
        """The data as they are on the disk."""
        place = data_dir(self._data, "the study's data folder")
        return load_arrays(self.study, place)

    @cached_property
    def splits(self) -> Splits:
        """The data, split and on the device."""
        study, data = self.study, self.study.data
        return Splits.of(
            *(self.arrays, study.validation, study.split_seed, self.device),
            train_limit=data.train_limit,
            normalisation=data.normalisation,
            resident=data.resident,
        )

    @property
    def teacher_folder(self) -> Path:
        """Where the study's teacher is kept, or will be."""
        study, images = self.study, len(self.splits.train)
        folds = folds_last_image(images, study.teacher_training.batch_size)
        return teacher_folder(study, self.threads, self.device, self.arrays.fingerprint, folds=folds)

    @cached_property
    def teacher(self) -> torch.nn.Module:
        """The study's teacher, frozen: from the cache, or trained now where it has not been yet and none was given."""
        folder = self.teacher_folder
        if not self.study.teacher_weights and read_record(folder) is None:
            with alone_in(folder):
                self.train_teacher(folder)
        model = self._untrained(self.study.teacher)
        load_teacher(model, self.study, folder)
        return self.arithmetic.freeze(model)

    def train_teacher(self, folder: Path, on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None) -> None:
        """Train the study's teacher into its folder; see :func:`kdtune.artifacts.teacher.train_teacher`."""
        # The folder's own lock is the command's. Where that is killed, its worker trains on until it notices: whoever
        # comes next waits for its end, and goes on from its last checkpoint.
        with alone_in(folder, TRAINING):
            if read_record(folder) is None:
                train_teacher(
                    self.study,
                    self.splits,
                    self.num_classes,
                    self.device,
                    folder,
                    on_epoch,
                    arithmetic=self.arithmetic,
                    compiler=self.compiler,
                    captures=self.captures,
                )

    def measure_teacher(self, folder: Path) -> None:
        """Measure the teacher that was given; see :func:`kdtune.artifacts.teacher.measure_teacher`."""
        measure_teacher(self.teacher, self.study, self.splits, self.num_classes, folder, self.arithmetic)

    def distiller(self, recipe: Recipe, seed: int) -> Distiller:
        """A training of the student, under the study's teacher where the recipe needs one."""
        return self.training(recipe, seed, self._teacher_logits(seed) if recipe.needs_teacher else None)

    def training(self, recipe: Recipe, seed: int, teacher: TeacherLogits | None) -> Distiller:
        """A training of any network on the study's data.

        Raises:
            UsageError: The network needs more images a step than there are.
        """
        train = self.splits.train
        check_step(recipe.model, len(train), recipe.training.batch_size, train.images.shape[1:], self.num_classes)
        return Distiller(
            recipe,
            seed,
            self.splits,
            self.num_classes,
            self.device,
            teacher,
            arithmetic=self.arithmetic,
            compiler=self.compiler,
            captures=self.captures,
        )

    @cached_property
    def _repeat_logits(self) -> RepeatLogits:
        captures = self.captures is not None
        return RepeatLogits(self.study, self.splits.train, self.num_classes, self.arithmetic, captures=captures)

    def logit_store(self, seed: int) -> LogitStore:
        """Where the teacher's logits for a repeat are kept, or will be."""
        return self._repeat_logits.store(seed, self.teacher_folder.name)

    def fill_logits(self, seed: int, epochs: Sequence[int], folder: Path | None = None) -> None:
        """Ask the teacher for the logits of some epochs of a repeat, and keep them.

        Args:
            seed: Of the repeat.
            epochs: Of the store, counted from 0.
            folder: Where to keep them; None for the repeat's own store.

        Raises:
            KdtuneError: The disk cannot hold them.
        """
        store = self.logit_store(seed)
        store = replace(store, folder=folder) if folder else store
        store.create()  # before a teacher that is not there yet is trained: the disk may be too small
        self._repeat_logits.fill(store, self.teacher, seed, epochs)

    @property
    def compiles(self) -> bool:
        """Whether there is something to compile: code is for whole batches alone."""
        batch_size = self.study.training.batch_size
        return self.compiler is not None and batch_size in batch_sizes(len(self.splits.train), batch_size)

    def compilation(self, *, asks_teacher: bool) -> Compilation:
        """Where the code for the study's trainings is kept, or will be.

        Args:
            asks_teacher: Whether they have a teacher that is asked in every step: its code is there too.
        """
        study = self.study
        return Networks(
            student=str(as_written(study.student)),
            teacher=str(as_written(study.teacher)) if asks_teacher else None,
            image_shape=self.splits.train.images.shape[1:],
            classes=self.num_classes,
            batch_size=study.training.batch_size,
            numerics=study.numerics.resolved(),
            threads=self.threads if self.device.type == "cpu" else None,
            device=device_name(self.device),
            torch_version=str(torch.__version__),
        ).compilation

    def compile_networks(self, compilation: Compilation, recipe: Recipe) -> None:
        """Generate the code for the study's trainings, by the first steps of one whose outcome is not used.

        To be called in a process that has compiled nothing yet: what it has in memory it does not write again.

        Args:
            compilation: Where to keep it.
            recipe: Of the training; where it needs a teacher, that one is asked in every step.

        Raises:
            CompileError: There is no compiler, or it fails.
        """
        compilation.use()
        teacher = self.stand_in() if recipe.needs_teacher else None  # code knows nothing of weights
        self.training(recipe, 0, teacher).warm_up()

    def find_code(self, recipe: Recipe) -> None:
        """Let the compiler find the code for a training, where it is kept; else it generates it anew.

        It is used where it was generated by itself, metered: nobody else's trainings are to add to it.
        """
        if self.compiler:
            compilation = self.compilation(asks_teacher=recipe.needs_teacher and self.study.teacher_logits != "replay")
            if compilation.is_made():
                self._use(compilation.folder)
                compilation.look_up()

    def _use(self, folder: Path) -> None:
        if folder not in self._used:
            self._used[folder] = ExitStack()
            self._used[folder].enter_context(in_use(folder))

    def _teacher_logits(self, seed: int) -> TeacherLogits:
        if self.study.teacher_logits != "replay":
            return self._live_teacher
        store = self.logit_store(seed)
        self._use(store.folder)
        if store.missing_epochs():  # deleted since the study began, or nobody has filled it: somebody else's pipeline
            with alone_in(store.folder):
                for _ in range(FILLINGS):
                    self.fill_logits(seed, store.missing_epochs())
        return ReplayedTeacher(partial(self._repeat_logits.rows, store), self.device)

    @cached_property
    def _live_teacher(self) -> LiveTeacher:
        return self._asking(self.teacher, "teacher")

    def _asking(self, teacher: torch.nn.Module, kind: str) -> LiveTeacher:
        if not self.compiler:
            return LiveTeacher(teacher, self.arithmetic)
        # Under a name of its own: the network of the teacher's own training is not frozen.
        model, compiled = self.compiler.compiled(f"{kind} {self.study.teacher}", teacher)
        return LiveTeacher(model, self.arithmetic, compiled, self.study.training.batch_size)

    def stand_in(self) -> TeacherLogits:
        """What takes as long as the study's own teacher, live or replayed, and knows nothing."""
        if self.study.teacher_logits != "replay":
            return self._asking(self.untrained_teacher(), "untrained teacher")
        rows = torch.zeros(len(self.splits.train), self.num_classes, dtype=torch.float16, device=self.device)
        return ReplayedTeacher(lambda epoch: rows, self.device)

    def untrained_student(self) -> torch.nn.Module:
        """The student as it is before any training."""
        return self._untrained(self.study.student)

    def untrained_teacher(self) -> torch.nn.Module:
        """A network of the teacher's architecture, frozen, that knows nothing: it takes as long as the real one."""
        return self.arithmetic.freeze(self._untrained(self.study.teacher))

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

    def _untrained(self, network: Component) -> torch.nn.Module:
        channels = self.splits.train.images.shape[1]
        return self.arithmetic.place(build_network(network, channels, self.num_classes))
