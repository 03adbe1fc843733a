"""Small data sets on disk, in the layouts of the published ones."""

import hashlib
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from kdtune.catalog.builtin import DATASETS

#: Of the invented Tiny ImageNet.
WNIDS = ("n02", "n01", "n03")


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def patch_files(monkeypatch, name: str, files: dict[str, str]) -> None:
    """Let other files than the published ones count as a data set."""
    entry = DATASETS[name]
    monkeypatch.setitem(DATASETS._built_in, name, replace(entry, facts={**entry.facts, "files": files}))


def write_cifar10(root: Path, monkeypatch) -> np.ndarray:
    """A CIFAR-10 of 50 training and 10 test images whose checksums are the known ones.

    Returns:
        The images, uint8, (60, 3, 32, 32); the labels are 0 to 9 six times over.
    """
    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    batches = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for index, name in enumerate(batches):
        data = images[10 * index : 10 * index + 10].reshape(10, -1)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10))}))
    meta = folder / CIFAR10.meta["filename"]
    meta.write_bytes(pickle.dumps({"label_names": [f"class {label}" for label in range(10)]}))
    known = {name: md5_of(folder / name) for name in (*batches, meta.name)}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, known[name]] for name in batches[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[batches[5], known[batches[5]]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": known[meta.name]})
    patch_files(monkeypatch, "cifar10", {f"{folder.name}/{name}": md5 for name, md5 in known.items()})
    return images


def pack_cifar10(root: Path, archives: Path, address: str, monkeypatch) -> Path:
    """Move a CIFAR-10 from ``root`` into an archive that torchvision is to download from ``address``."""
    from torchvision.datasets import CIFAR10

    archive = archives / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(root / CIFAR10.base_folder, CIFAR10.base_folder)
    for path in (root / CIFAR10.base_folder).iterdir():
        path.unlink()
    (root / CIFAR10.base_folder).rmdir()
    monkeypatch.setattr(CIFAR10, "url", f"{address}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5_of(archive))
    return archive


def write_tiny_imagenet(root: Path, train: int = 4, validation: int = 2) -> Path:
    """A Tiny ImageNet of three classes; image 0 of each class is grey. Every class has a brightness of its own.

    Args:
        root: The data folder.
        train: Training images a class.
        validation: Validation images a class.

    Returns:
        Its folder.
    """
    top = root / "tiny-imagenet-200"
    random = np.random.default_rng(0)
    annotations = []
    (top / "val" / "images").mkdir(parents=True)
    for label, wnid in enumerate(WNIDS):

        def save(path: Path, index: int, label: int = label) -> None:
            shape = (64, 64) if index == 0 else (64, 64, 3)
            pixels = random.integers(80 * label, 80 * label + 60, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path, "JPEG", quality=95)

        images = top / "train" / wnid / "images"
        images.mkdir(parents=True)
        names = [f"{wnid}_{index}.JPEG" for index in range(train)]
        for index, name in enumerate(names):
            save(images / name, index)
        boxes = "".join(f"{name}\t0\t0\t63\t63\n" for name in names)
        (images.parent / f"{wnid}_boxes.txt").write_text(boxes)
        for index in range(validation):
            name = f"val_{3 * index + label}.JPEG"
            save(top / "val" / "images" / name, index)
            annotations.append(f"{name}\t{wnid}\t0\t0\t63\t63\n")
    (top / "val" / "val_annotations.txt").write_text("".join(annotations))
    (top / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (top / "words.txt").write_text("n00\tentity\n" + "".join(f"{wnid}\tthing, {wnid}\n" for wnid in WNIDS))
    return top
