"""Figures of classifiers that are run on test images: logits of an image, Grad-CAM, and confusion matrices."""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.data.batches import ImageSet
from kdtune.tasks.classification.document_figures import confusion_matrices
from kdtune.tasks.classification.grad_cam import grad_cam
from kdtune.tasks.classification.metrics import count_confusions
from kdtune.tasks.model_figures import Bars, ModelFigure, PictureRows
from kdtune.training.evaluation import outputs_of

#: Number of images with a Grad-CAM.
IMAGES = 4

#: Least width and height in pixels of a picture.
SIDE = 84

#: Row of the images without a Grad-CAM.
ORIGINALS = "image"


def network_figures(
    networks: Mapping[str, torch.nn.Module], part: ImageSet, classes: int, class_names: Sequence[str]
) -> list[ModelFigure | str]:
    """Return the figures; see :meth:`kdtune.tasks.model_figures.DrawsNetworks.figures` for the other arguments.

    Args:
        networks: Classifiers by name.
        part: The test images.
        classes: Number of classes.
        class_names: Of the first classes.
    """
    names = [*class_names, *map(str, range(len(class_names), classes))]
    logits = {name: _logits(network, part) for name, network in networks.items()}
    predicted = {name: one.argmax(dim=1) for name, one in logits.items()}
    labels = part.labels.cpu()
    counts = {name: count_confusions(one, labels, classes).tolist() for name, one in predicted.items()}
    shown, rule = _shown(torch.stack([one == labels for one in predicted.values()]).all(dim=0), labels)
    return [
        _logit_bars({name: one[shown[0]] for name, one in logits.items()}, names, names[labels[shown[0]]], rule),
        _cam_pictures(networks, part, predicted, shown, names, rule),
        confusion_matrices(counts, names),
    ]


def _logits(network: torch.nn.Module, part: ImageSet) -> torch.Tensor:
    """Return the logits of all images, float32, on the CPU."""
    return torch.cat([logits.float().cpu() for logits, _ in outputs_of(network, part)])


def _shown(right: torch.Tensor, labels: torch.Tensor) -> tuple[list[int], str]:
    """Return the numbers of the images to show, of different classes if possible, and how they were chosen.

    Args:
        right: Whether all models classify an image correctly, bool, (N,).
        labels: True classes, int64, (N,).
    """
    candidates = right.nonzero().flatten().tolist()
    first: dict[int, int] = {}
    for number in candidates:
        first.setdefault(int(labels[number]), number)
    preferred = dict.fromkeys([*list(first.values())[:IMAGES], *candidates, *range(len(labels))])
    chosen = list(islice(preferred, IMAGES))
    if not right.any():
        return chosen, "in order, since no image is classified correctly by all of these models"
    return chosen, "that all of these models classify correctly"


def _logit_bars(logits: Mapping[str, torch.Tensor], names: Sequence[str], true: str, rule: str) -> Bars:
    most = 20
    top = torch.stack(list(logits.values())).amax(dim=0).argsort(descending=True)[:most].sort().values.tolist()
    cut = f" Only the {most} classes with the greatest logits are shown." if len(names) > most else ""
    return Bars(
        name="logits",
        title=f"Logits of a test image of the class {true} (the paper's Figure 4a)",
        description=f"The output of each model, before any softmax, for the first test image {rule}. The class with "
        f"the longest bar is the prediction.{cut}",
        axis="logit",
        categories=[names[place] for place in top],
        values={name: one[top].tolist() for name, one in logits.items()},
    )


def _cam_pictures(
    networks: Mapping[str, torch.nn.Module],
    part: ImageSet,
    predicted: Mapping[str, torch.Tensor],
    shown: Sequence[int],
    names: Sequence[str],
    rule: str,
) -> PictureRows | str:
    index = torch.tensor(shown, device=part.labels.device)
    images = part.normalised(index)
    heats = {name: grad_cam(one, images, predicted[name][shown].to(index.device)) for name, one in networks.items()}
    known = {name: heat for name, heat in heats.items() if heat is not None}
    lacking = " or ".join(name for name in heats if name not in known)
    if not known:
        return (
            f"Grad-CAM (Figure 4b) is not shown, since no convolution with an image as output was found in {lacking}."
        )
    plain = _enlarged(_grey(part.images[index].float() / 255), smooth=False)
    rows = {ORIGINALS: _bytes(_enlarged(_coloured(part.images[index].float() / 255), smooth=False))}
    rows |= {
        name: _bytes(0.5 * plain + 0.5 * _heat_colours(_enlarged(heat[:, None], smooth=True)))
        for name, heat in known.items()
    }
    classes = [names[label] for label in part.labels[index].tolist()]
    captions = {ORIGINALS: classes}
    captions |= {name: [names[label] for label in predicted[name][shown].tolist()] for name in known}
    return PictureRows(
        name="grad-cam",
        title="Grad-CAM of test images (the paper's Figure 4b)",
        description="Red is where the last convolution speaks for the class that the model predicts, blue where it "
        f"does not. The images are the first ones {rule}, of different classes where possible, and others if there "
        "are too few." + (f" There is no row for {lacking}, which has no such convolution." if lacking else ""),
        columns=classes,
        images=rows,
        captions=captions,
    )


def _coloured(images: torch.Tensor) -> torch.Tensor:
    """Return images with three channels; of other numbers of channels than 1 and 3, the mean is shown in grey."""
    return images if images.shape[1] == 3 else _grey(images)


def _grey(images: torch.Tensor) -> torch.Tensor:
    return images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)


def _heat_colours(heat: torch.Tensor) -> torch.Tensor:
    """Return the colours from blue over green to red of values from 0 to 1, (n, 3, height, width)."""
    return torch.cat([(1.5 - (4 * heat - centre).abs()).clamp(0, 1) for centre in (3, 2, 1)], dim=1)


def _enlarged(images: torch.Tensor, *, smooth: bool) -> torch.Tensor:
    """Return images enlarged by a whole factor to at least :data:`SIDE` pixels; larger ones are reduced to it."""
    height, width = images.shape[2:]
    factor = -(-SIDE // min(height, width))
    size = (height * factor, width * factor) if factor > 1 else (SIDE, max(1, round(SIDE * width / height)))
    if smooth or factor == 1:
        return F.interpolate(images, size, mode="bilinear", align_corners=False)
    return F.interpolate(images, size, mode="nearest")


def _bytes(images: torch.Tensor) -> list[np.ndarray]:
    return [one.permute(1, 2, 0).mul(255).round().byte().cpu().numpy() for one in images]
