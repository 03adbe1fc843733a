"""Terms of the losses of images: smoothness, and the disagreement of teacher and student."""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

#: Range to which probabilities are clamped in :func:`disagreement`, as in the authors' code.
_CLAMP = (0.01, 0.99)


def total_variation(images: torch.Tensor, norm: int) -> torch.Tensor:
    """Return the variation between neighbours in four directions, 0-d.

    Args:
        images: (n, channels, height, width), at least 2 pixels high and wide.
        norm: 1 adds the mean absolute differences of the directions; 2 adds the Euclidean norms of their differences.
    """
    differences = (
        images[:, :, :, 1:] - images[:, :, :, :-1],
        images[:, :, 1:, :] - images[:, :, :-1, :],
        images[:, :, 1:, 1:] - images[:, :, :-1, :-1],
        images[:, :, 1:, :-1] - images[:, :, :-1, 1:],
    )
    measure = torch.Tensor.norm if norm == 2 else _mean_size
    return torch.stack([measure(one) for one in differences]).sum()


def _mean_size(differences: torch.Tensor) -> torch.Tensor:
    return differences.abs().mean()


def disagreement(teacher: torch.Tensor, student: torch.Tensor, temperature: float = 3.0) -> torch.Tensor:
    """Return how much two networks disagree, the quantity J of DeepInversion, 0-d, from 0 to about 0.5.

    With P and Q the softened outputs, M their mean, and all three clamped to [0.01, 0.99], J is
    1/2 sum M log(M/P) + 1/2 sum M log(M/Q), averaged over the images. The Jensen-Shannon divergence would have the
    other direction: sum P log(P/M). The authors' code computes this one.

    Args:
        teacher: Logits, (n, classes).
        student: Logits, (n, classes).
        temperature: Temperature of both.
    """
    return clamped_divergence(F.softmax(teacher / temperature, 1), F.softmax(student / temperature, 1))


def clamped_divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return J of two batches of probabilities, (n, classes) each; see :func:`disagreement`."""
    middle = ((first + second) / 2).clamp(*_CLAMP)
    p, q = first.clamp(*_CLAMP), second.clamp(*_CLAMP)
    return 0.5 * (middle * (2 * middle.log() - p.log() - q.log())).sum(1).mean()


def agreeing_divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Return the mean of KL(teacher, student) in nats at temperature 1, 0 where they name different classes, 0-d.

    Args:
        teacher: Logits, (n, classes).
        student: Logits, (n, classes).
    """
    known, found = teacher.log_softmax(1), student.log_softmax(1)
    divergence = (known.exp() * (known - found)).sum(1)
    return (divergence * (teacher.argmax(1) == student.argmax(1))).mean()
