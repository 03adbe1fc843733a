"""What the trainings of a study share in one process: the data on the device, the teacher, and compiled code."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Generic

import torch
from typing_extensions import TypeVar

from kdtune.artifacts.compiled_code import CodeDependencies, CompiledCode
from kdtune.artifacts.logit_store import FILLINGS, LogitStore
from kdtune.artifacts.repeat_logits import RepeatLogits
from kdtune.artifacts.teacher import load_teacher, measure_teacher, teacher_folder, train_teacher
from kdtune.artifacts.teacher_record import read_record
from kdtune.catalog.builtin import MODELS
from kdtune.data.arrays import Arrays
from kdtune.data.batches import Splits
from kdtune.data.sources import load_arrays
from kdtune.energy.flops import Workload
from kdtune.energy.operation_counts import count_operations
from kdtune.specs.component import Component
from kdtune.specs.split_sizes import batch_sizes, folds_last_image
from kdtune.specs.study import Setting, Study
from kdtune.specs.trial_spec import Recipe
from kdtune.storage.files import TRAINING, exclusive_lock, in_use
from kdtune.storage.paths import data_dir
from kdtune.tasks.loading import task_of
from kdtune.training.batch_norm_checks import check_step
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.compiled_networks import Compiler
from kdtune.training.distiller import Distiller
from kdtune.training.epoch_metrics import EpochMetrics
from kdtune.training.numerics import Arithmetic, device_name, set_up_gpu
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits

#: A whole study, or the resolved setting that several trainings share.
S = TypeVar("S", bound=Setting, default=Study)


class TrainingContext(Generic[S]):
    """Loads data and networks once and keeps them, so that a reused worker starts its next trial in milliseconds."""

    def __init__(self, study: S, device: torch.device, threads: int, data: str | None = None) -> None:
        """Prepare for one study.

        Args:
            study: The study, or the setting that its trainings share.
            device: Device of the trainings.
            threads: CPU threads for torch, equal to the assigned cores; results on a CPU depend on the number.
            data: Folder of the data sets; None for ``$KDTUNE_DATA_DIR`` or the default.
        """
        torch.set_num_threads(threads)
        self.study = study
        self.device = device
        self.threads = threads
        self._data = data
        self.task = task_of(study)
        numerics = study.numerics.resolved()
        self.arithmetic = Arithmetic(device, numerics)
        self.compiler = Compiler(device, graphs=not numerics.captures_steps) if numerics.uses_compiler else None
        self.captures = CapturedSteps(device) if numerics.captures_steps else None
        #: Folders of the cache that are in use as long as this object exists and must not be removed.
        self._used: dict[Path, ExitStack] = {}
        if device.type == "cuda":
            torch.cuda.set_device(device)  # used by torch's streams, graphs and pinned memory
            set_up_gpu()

    def with_study(self, study: S) -> "TrainingContext[S]":
        """Return a training context for another study with the same data and split, which are not loaded again."""
        other = TrainingContext(study, self.device, self.threads, self._data)
        other.arrays, other.splits = self.arrays, self.splits
        return other

    @cached_property
    def arrays(self) -> Arrays:
        """The data as stored on the disk."""
        place = data_dir(self._data, "the study's data folder")
        return load_arrays(self.study, place)

    @cached_property
    def splits(self) -> Splits:
        """The data, split and moved to the device."""
        return self.task.splits(self.arrays, self.study, self.device)

    @property
    def teacher_folder(self) -> Path:
        """The folder of the study's teacher, which need not exist yet."""
        study, images = self.study, len(self.splits.train)
        folds = folds_last_image(images, study.teacher_training.batch_size)
        return teacher_folder(study, self.threads, self.device, self.arrays.fingerprint, folds=folds)

    @cached_property
    def teacher(self) -> torch.nn.Module:
        """The study's teacher, frozen. It is trained first if it is neither in the cache nor given."""
        folder = self.teacher_folder
        if not self.study.teacher_weights and read_record(folder) is None:
            with exclusive_lock(folder):
                self.train_teacher(folder)
        load_teacher(model := self._untrained(self.study.teacher), self.study, folder)
        return self._frozen(self.study.teacher, model)

    def train_teacher(self, folder: Path, on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None) -> None:
        """Train the study's teacher into its folder; see :func:`kdtune.artifacts.teacher.train_teacher`."""
        # The command holds the folder's other lock. A killed command's worker continues until it notices. The next
        # process waits until then and continues from the last checkpoint.
        with exclusive_lock(folder, TRAINING):
            if read_record(folder) is None:
                train_teacher(
                    *(self.study, self.task, self.splits, self.device, folder, on_epoch),
                    arithmetic=self.arithmetic,
                    compiler=self.compiler,
                    captures=self.captures,
                )

    def measure_teacher(self, folder: Path) -> None:
        """Evaluate the given teacher; see :func:`kdtune.artifacts.teacher.measure_teacher`."""
        measure_teacher(self.teacher, self.study, self.task, self.splits, folder, self.arithmetic)

    def distiller(self, recipe: Recipe, seed: int, start: Path | None = None) -> Distiller:
        """Return a training of the student, with the study's teacher if the recipe needs one.

        Args:
            recipe: The recipe.
            seed: Seed of the repeat.
            start: File with the weights of the float student that a recipe quantises; None for untrained weights.
        """
        return self.training(recipe, seed, self._teacher_logits(seed) if recipe.needs_teacher else None, start)

    def training(
        self, recipe: Recipe, seed: int, teacher: TeacherLogits | None, start: Path | None = None
    ) -> Distiller:
        """Return a training of any network on the study's data; see :meth:`distiller`.

        Raises:
            UsageError: The network needs more images per step than there are, or it cannot be quantised.
        """
        train = self.splits.train
        if recipe.quantisation:
            from kdtune.quantisation.training import quantised_training

            weights = torch.load(start, map_location="cpu", weights_only=True) if start else None
            return quantised_training(recipe, seed, self.task, self.splits, self.device, weights)
        check_step(recipe.model, len(train), recipe.training.batch_size, train.images.shape[1:], lambda: self.task)
        return Distiller(
            *(recipe, seed, self.task, self.splits, self.device, teacher),
            arithmetic=self.arithmetic,
            compiler=self.compiler,
            captures=self.captures,
        )

    @cached_property
    def _repeat_logits(self) -> RepeatLogits:
        captures = self.captures is not None
        return RepeatLogits(self.study, self.splits.train, self.task.output_size, self.arithmetic, captures=captures)

    def logit_store(self, seed: int) -> LogitStore:
        """Return the store of the teacher's logits for a repeat, which need not exist yet."""
        return self._repeat_logits.store(seed, self.teacher_folder.name)

    def fill_logits(self, seed: int, epochs: Sequence[int], folder: Path | None = None) -> None:
        """Compute and store the teacher's logits for epochs of a repeat, counted from 0.

        They are stored in ``folder``, by default the repeat's own store. A full disk raises a KdtuneError.
        """
        store = self.logit_store(seed)
        store = replace(store, folder=folder) if folder else store
        store.create()  # before the teacher is trained, since the disk may be too small
        self._repeat_logits.fill(store, self.teacher, seed, epochs)

    @property
    def compiles(self) -> bool:
        """Whether there is anything to compile: compiled code is used for full batches only."""
        batch_size = self.study.training.batch_size
        return self.compiler is not None and batch_size in batch_sizes(len(self.splits.train), batch_size)

    def compilation(self, *, asks_teacher: bool) -> CompiledCode:
        """Return the folder of the compiled code for the study's trainings, which need not exist yet.

        Args:
            asks_teacher: Whether a teacher runs in every step, so that the code includes it.
        """
        study = self.study
        return CodeDependencies(
            student=study.student,
            teacher=study.teacher if asks_teacher else None,
            image_shape=self.splits.train.images.shape[1:],
            classes=self.task.output_size,
            batch_size=study.training.batch_size,
            numerics=study.numerics.resolved(),
            threads=self.threads if self.device.type == "cpu" else None,
            device=device_name(self.device),
            torch_version=str(torch.__version__),
        ).compilation

    def compile_networks(self, compilation: CompiledCode, recipe: Recipe) -> None:
        """Generate the code for the study's trainings by taking the first steps of a training that is then discarded.

        Call it in a process that has not compiled anything yet, since code that is in memory is not written again.

        Args:
            compilation: Folder of the code.
            recipe: Recipe of the training; a teacher that it needs runs in every step.

        Raises:
            CompileError: There is no compiler, or it fails.
        """
        compilation.use()
        # The code does not depend on the teacher's weights.
        teacher = self.untrained_teacher_logits() if recipe.needs_teacher else None
        self.training(recipe, 0, teacher).warm_up()

    def find_code(self, recipe: Recipe) -> None:
        """Make the compiler use the cached code for a training, if it is complete; otherwise it compiles again.

        Incomplete folders are not used, so that code of other trainings is not added to them.
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
        if store.missing_epochs():  # deleted meanwhile, or a worker of a pipeline without kdtune
            with exclusive_lock(store.folder):
                for _ in range(FILLINGS):
                    self.fill_logits(seed, store.missing_epochs())
        return ReplayedTeacher(partial(self._repeat_logits.rows, store), self.device)

    @cached_property
    def _live_teacher(self) -> LiveTeacher:
        return self._asking(self.teacher, "teacher")

    def _asking(self, teacher: torch.nn.Module, kind: str) -> LiveTeacher:
        if not self.compiler:
            return LiveTeacher(teacher, self.arithmetic)
        # The name differs from that of the teacher's own training, in which the network is not frozen.
        model, compiled = self.compiler.compiled(f"{kind} {self.study.teacher}", teacher)
        return LiveTeacher(model, self.arithmetic, compiled, self.study.training.batch_size)

    def untrained_teacher_logits(self) -> TeacherLogits:
        """Return logits of an untrained teacher, live or replayed, which take as long as those of the real teacher."""
        if self.study.teacher_logits != "replay":
            return self._asking(self.untrained_teacher(), "untrained teacher")
        rows = torch.zeros(len(self.splits.train), self.task.output_size, dtype=torch.float16, device=self.device)
        return ReplayedTeacher(lambda epoch: rows, self.device)

    def untrained_student(self) -> torch.nn.Module:
        """Return an untrained student."""
        return self._untrained(self.study.student)

    def untrained_teacher(self) -> torch.nn.Module:
        """Return an untrained, frozen network of the teacher's architecture, which is as fast as the real teacher."""
        return self._frozen(self.study.teacher, self._untrained(self.study.teacher))

    def student(self, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
        """Return the student with the given weights, frozen."""
        model = self.untrained_student()
        model.load_state_dict(weights)
        return self._frozen(self.study.student, model)

    def workload(self) -> Workload:
        """Return the sizes of the study's networks and data, from which FLOPs are computed.

        Raises:
            UsageError: The operations of a network cannot be counted.
        """
        return Workload(
            teacher_macs=self._macs(self.study.teacher),
            student_macs=self._macs(self.study.student),
            train_images=len(self.splits.train),
            val_images=len(self.splits.validation),
            test_images=len(self.splits.test),
        )

    def _macs(self, network: Component) -> int:
        channels, height, width = self.splits.train.images.shape[1:]
        return count_operations(self._untrained(network), channels, height, width, str(network)).macs

    def _untrained(self, network: Component) -> torch.nn.Module:
        model = self.task.network(network, self.splits.train.images.shape[1:])
        return self.arithmetic.place(model, built_in=network.name in MODELS)

    def _frozen(self, network: Component, model: torch.nn.Module) -> torch.nn.Module:
        return self.arithmetic.freeze(model, built_in=network.name in MODELS)
