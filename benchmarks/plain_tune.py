"""A Ray Tune program as one would write it without kdtune: a grid over tau on scikit-learn's digits.

It uses a function trainable, a DataLoader, codecarbon's tracker in each trial, and the teacher in every step.
:mod:`benchmarks.orchestration` runs it as a process: ``python -m benchmarks.plain_tune TEACHER_FILE EPOCHS BATCH_SIZE
TAUS``, where ``TAUS`` is the number of integer temperatures, from 2 on. The program prints the time of the first step
of its first trial, in seconds since boot.
"""

import logging
import sys
import time
from typing import Any

from ray import tune


def train(config: dict[str, Any]) -> None:
    """Run one trial: distil a student with one tau, and report its validation accuracy after every epoch."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - the customary name
    from codecarbon import OfflineEmissionsTracker
    from sklearn.datasets import load_digits
    from torch.utils.data import DataLoader, TensorDataset

    from kdtune.catalog.builtin import MODELS

    tracker = OfflineEmissionsTracker(country_iso_code="USA", save_to_file=False, log_level="critical")
    tracker.start()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = (images - images[:800].mean()) / images[:800].std()
    labels = torch.tensor(digits.target)
    train_loader = DataLoader(TensorDataset(images[:400], labels[:400]), batch_size=config["batch_size"], shuffle=True)
    val_loader = DataLoader(TensorDataset(images[400:800], labels[400:800]), batch_size=512)
    teacher = MODELS.load(config["teacher"])(1, 10)
    teacher.load_state_dict(torch.load(config["teacher_file"], weights_only=True))
    teacher.eval()
    student = MODELS.load(config["student"])(1, 10)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    tau, began_s = config["tau"], None
    for _ in range(config["epochs"]):
        student.train()
        for batch, truth in train_loader:
            with torch.no_grad():
                teacher_logits = teacher(batch)
            logits = student(batch)
            soft = F.kl_div(F.log_softmax(logits / tau, 1), F.softmax(teacher_logits / tau, 1), reduction="batchmean")
            loss = 0.95 * tau**2 * soft + 0.05 * F.cross_entropy(logits, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            began_s = began_s or time.clock_gettime(time.CLOCK_MONOTONIC)
        student.eval()
        with torch.no_grad():
            correct = sum((student(batch).argmax(1) == truth).sum().item() for batch, truth in val_loader)
        tune.report({"val_accuracy": correct / 400, "began_s": began_s})
    tracker.stop()


def main() -> None:
    """Run the grid with one CPU per trial."""
    import ray

    teacher_file, epochs, batch_size, taus = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            "tau": tune.grid_search(list(range(2, 2 + taus))),
            "teacher": "convnet_32",
            "student": "convnet_2_4_4",
            "teacher_file": teacher_file,
            "epochs": epochs,
            "batch_size": batch_size,
        },
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max"),
        run_config=tune.RunConfig(verbose=0),
    )
    results = tuner.fit()
    print(min(result.metrics["began_s"] for result in map(results.__getitem__, range(len(results))) if result.metrics))


if __name__ == "__main__":
    main()
