"""Training recipes by name, such as ``recipe = "crd"`` in a study's ``[training]``. Keys beside it take precedence.

``paper-text``  The section "Implementation details" of PLOS ONE 2023, e0285668: Adam with learning rate 0.1, steps at
                40, 60 and 80. Batch size, weight decay and warm-up, which the section does not give, are those of the
                released code.
``paper-code``  The released code of the paper: SGD, one epoch of warm-up, steps at 30, 60 and 80.
``crd``         The recipe of Y. Tian et al., Contrastive Representation Distillation, ICLR 2020, which is common in
                the distillation literature: 240 epochs, batches of 64, steps at 150, 180 and 210. For MobileNetV2 and
                ShuffleNetV2 that paper uses a learning rate of 0.01 instead of 0.05.

If ``epochs`` is given beside a recipe, or with ``--set teacher_training.epochs=4``, milestones and warm-up of the
recipe change in proportion, unless they are given too.

``--set training.recipe=crd`` replaces all of the study's keys for that training; keys of other ``--set`` options are
kept.
"""

from typing import Any

from kdtune.specs.training import MAX_EPOCHS, Training

_PAPER: dict[str, Any] = {
    "epochs": 100,
    "learning_rate": 0.1,
    "gamma": 0.2,
    "augment": ["crop", "flip", "rotate"],
    # From the released code, because the text does not give them.
    "batch_size": 128,
    "weight_decay": 5e-4,
    "warmup_epochs": 1,
}

RECIPES: dict[str, dict[str, Any]] = {
    "paper-text": {**_PAPER, "optimizer": "adam", "milestones": [40, 60, 80]},
    "paper-code": {**_PAPER, "optimizer": "sgd", "momentum": 0.9, "milestones": [30, 60, 80]},
    "crd": {
        "epochs": 240,
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "milestones": [150, 180, 210],
        "gamma": 0.1,
        "augment": ["crop", "flip"],
    },
}


def with_recipe(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table of a training with its recipe filled in. Keys of the table take precedence.

    Raises:
        KeyError: The recipe does not exist.
    """
    if "recipe" not in table:
        return table
    own = {key: value for key, value in table.items() if key != "recipe"}
    recipe = RECIPES[table["recipe"]]
    epochs = own.get("epochs")
    if type(epochs) is int and 1 <= epochs <= MAX_EPOCHS:  # other values are refused when the study is validated
        moved = Training.model_validate(recipe).scaled_to(epochs)
        recipe = {**recipe, "milestones": list(moved.milestones), "warmup_epochs": moved.warmup_epochs}
    return {**recipe, **own}
