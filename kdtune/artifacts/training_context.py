"""What the trainings of a study share in one process: the data on the device, the teacher, and compiled code."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import torch

from kdtune.artifacts.compiled_code import CodeDependencies, CompiledCode
from kdtune.artifacts.logit_store import FILLINGS, LogitStore
from kdtune.artifacts.repeat_logits import RepeatLogits
from kdtune.artifacts.student_data import store_of, student_splits, test_part
from kdtune.artifacts.study_networks import S, StudyNetworks
from kdtune.artifacts.teacher import load_teacher, measure_teacher, teacher_folder, train_teacher
from kdtune.artifacts.teacher_record import read_record
from kdtune.artifacts.trial_images import trial_images_of
from kdtune.data.arrays import Arrays
from kdtune.data.batches import ImageSet, Splits
from kdtune.data.sources import load_arrays, load_test_part
from kdtune.specs.split_sizes import batch_sizes, folds_last_image, held_out_images, used_images
from kdtune.specs.study import Setting
from kdtune.specs.trial_spec import Recipe
from kdtune.storage.files import TRAINING, exclusive_lock, in_use
from kdtune.storage.paths import DataDir, data_dir
from kdtune.tasks.loading import task_of
from kdtune.training.batch_norm_checks import check_step
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.changing_images import ChangingImages
from kdtune.training.changing_images_distiller import DistillerOnChangingImages
from kdtune.training.compiled_networks import Compiler
from kdtune.training.distiller import Distiller
from kdtune.training.epoch_metrics import EpochMetrics
from kdtune.training.numerics import Arithmetic, device_name, set_up_gpu
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher, TeacherLogits


class TrainingContext(StudyNetworks[S]):
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

    def of_repeat(self, study: S) -> "TrainingContext[S]":
        """Return a training context for a repeat of the study, with its split of the same data.

        Args:
            study: The study as the repeat trains it.
        """
        if study.setting == self.study.setting:
            return self
        other = TrainingContext(study, self.device, self.threads, self._data)
        other.arrays = self.arrays
        return other

    @cached_property
    def arrays(self) -> Arrays:
        """The data as stored on the disk; without training images if the study does not read them."""
        load = load_test_part if self.study.is_data_free else load_arrays
        return load(self.study, self._data_dir)

    @property
    def _data_dir(self) -> DataDir:
        return data_dir(self._data, "the study's data folder")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.arrays.train_images.shape[1:]
        return channels, height, width

    @cached_property
    def splits(self) -> Splits:
        """The parts on which students are trained, selected and tested, on the device."""
        return student_splits(self) if self.study.synthesis else self.teacher_splits

    @cached_property
    def test_part(self) -> ImageSet:
        """The test part, on the device. Unlike :attr:`splits`, it needs no images that are made from the teacher."""
        return test_part(self) if self.study.synthesis else self.splits.test

    @cached_property
    def teacher_splits(self) -> Splits:
        """The parts of the data set, on which the teacher is trained and evaluated, on the device."""
        arrays = load_arrays(self.study, self._data_dir) if self.arrays.unopened_images else self.arrays
        return self.task.splits(arrays, self.study, self.device)

    @property
    def teacher_folder(self) -> Path:
        """The folder of the study's teacher, which need not exist yet; that of the first repeat if repeats vary."""
        return self._teacher_folder_of(self.study)

    def teacher_folder_of(self, seed: int) -> Path:
        """Return the folder of the teacher of the repeat with a seed, which need not exist yet."""
        return self._teacher_folder_of(self.study.of_repeat(seed))

    def _teacher_folder_of(self, study: Setting) -> Path:
        used = used_images(self.arrays.training_images, study.data.train_limit)
        images = used - held_out_images(used, study.validation)
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
                    self.study,
                    self.task,
                    self.teacher_splits,
                    self.device,
                    folder,
                    on_epoch,
                    arithmetic=self.arithmetic,
                    compiler=self.compiler,
                    captures=self.captures,
                )

    def measure_teacher(self, folder: Path) -> None:
        """Evaluate the given teacher; see :func:`kdtune.artifacts.teacher.measure_teacher`."""
        measure_teacher(self.teacher, self.study, self.task, self.teacher_splits, folder, self.arithmetic)

    def distiller(self, recipe: Recipe, seed: int, start: Path | None = None) -> Distiller:
        """Return a training of the student, with the study's teacher if the recipe needs one.

        Args:
            recipe: The recipe.
            seed: Seed of the repeat.
            start: File with the weights of the float student that a recipe quantises; None for untrained weights.
        """
        teacher = self._teacher_logits(seed) if recipe.needs_teacher else None
        return self.training(recipe, seed, teacher, start, trial_images_of(self, recipe, seed))

    def training(
        self,
        recipe: Recipe,
        seed: int,
        teacher: TeacherLogits | None,
        start: Path | None = None,
        changing: ChangingImages | None = None,
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
        given = recipe, seed, self.task
        if changing is None:
            return Distiller(*given, self.splits, self.device, teacher, self.arithmetic, self.compiler, self.captures)
        # Captured steps are shared between trainings, which have the same images.
        splits = replace(self.splits, train=changing.train)
        return DistillerOnChangingImages(changing, *given, splits, self.device, teacher, self.arithmetic, self.compiler)

    @cached_property
    def _repeat_logits(self) -> RepeatLogits:
        captures = self.captures is not None
        return RepeatLogits(self.study, self.splits.train, self.task.output_size, self.arithmetic, captures=captures)

    def logit_store(self, seed: int) -> LogitStore:
        """Return the store of the teacher's logits for a repeat, which need not exist yet."""
        images = store_of(self).folder if self.study.synthesis else self.teacher_folder_of(seed)
        return self._repeat_logits.store(seed, images.name)

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
            image_shape=self.image_shape,
            classes=self.task.output_size,
            batch_size=study.training.batch_size,
            numerics=study.numerics.resolved(),
            threads=self.threads if self.device.type == "cpu" else None,
            device=device_name(self.device),
            torch_version=str(torch.__version__),
        ).compilation

    def find_code(self, recipe: Recipe) -> None:
        """Make the compiler use the cached code for a training, if it is complete; otherwise it compiles again.

        Incomplete folders are not used, so that code of other trainings is not added to them.
        """
        if self.compiler:
            compilation = self.compilation(asks_teacher=recipe.needs_teacher and self.study.teacher_logits != "replay")
            if compilation.is_made():
                self.keep(compilation.folder)
                compilation.look_up()

    def keep(self, folder: Path) -> None:
        """Protect a folder of the cache from removal as long as this object exists."""
        if folder not in self._used:
            self._used[folder] = ExitStack()
            self._used[folder].enter_context(in_use(folder))

    def _teacher_logits(self, seed: int) -> TeacherLogits:
        if self.study.teacher_logits != "replay":
            return self._live_teacher
        store = self.logit_store(seed)
        self.keep(store.folder)
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
