"""TensorBoard event files: a run for each trial, with metrics by epoch and parameters."""

from pathlib import Path

from kdtune.report.export.trial_runs import runs_of
from kdtune.report.reported_study import ReportedStudy


def write_tensorboard(study: ReportedStudy, target: Path) -> list[Path]:
    """Write a folder with an event file for each trial; ``tensorboard --logdir`` opens the target."""
    from tensorboardX import SummaryWriter

    for run in runs_of(study):
        for earlier in (target / run.name).glob("events.out.tfevents.*"):
            earlier.unlink()
        with SummaryWriter(str(target / run.name), write_to_disk=True) as writer:
            for name, values in run.by_epoch.items():
                for epoch, value in values:
                    writer.add_scalar(f"epoch/{name}", value, epoch)
            for name, value in run.metrics.items():
                writer.add_scalar(f"end/{name}", value, 0)
            writer.add_text("parameters", "\n".join(f"- {key}: {value}" for key, value in run.parameters.items()))
    return [target]
