"""Training recipes by name: ``recipe = "crd"`` in a study's ``[training]``, and any key beside it goes before.

``paper-text``  What PLOS ONE 2023, e0285668, says in "Implementation details": Adam at 0.1, steps at 40, 60 and 80. Of
                batches, weight decay and warm-up it says nothing; these are the released code's.
``paper-code``  What its released code does: SGD, one epoch of warm-up, steps at 30, 60 and 80.
``crd``         What the distillation literature compares with since Y. Tian et al., Contrastive Representation
                Distillation, ICLR 2020: 240 epochs, batches of 64, steps at 150, 180 and 210. It trains MobileNetV2
                and ShuffleNetV2 at a rate of 0.01 instead of 0.05.

Other ``epochs`` beside a recipe move its milestones and its warm-up in proportion, unless these are given too; so does
``--set teacher_training.epochs=4`` where the study names a recipe.

``--set training.recipe=crd`` is another recipe for all of that training: the study's own keys go, those of other
``--set`` stay.
"""

from typing import Any

from kdtune.specs.study import MAX_EPOCHS, Training

_PAPER: dict[str, Any] = {
    "epochs": 100,
    "learning_rate": 0.1,
    "gamma": 0.2,
    "augment": ["crop", "flip", "rotate"],
    # The released code's, of which the text is silent.
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
    """A training's table with its recipe filled in; what the table gives itself goes before the recipe.

    Raises:
        KeyError: There is no such recipe.
    """
    if "recipe" not in table:
        return table
    own = {key: value for key, value in table.items() if key != "recipe"}
    recipe = RECIPES[table["recipe"]]
    epochs = own.get("epochs")
    if type(epochs) is int and 1 <= epochs <= MAX_EPOCHS:  # anything else is told when the whole is validated
        moved = Training.model_validate(recipe).scaled_to(epochs)
        recipe = {**recipe, "milestones": list(moved.milestones), "warmup_epochs": moved.warmup_epochs}
    return {**recipe, **own}
