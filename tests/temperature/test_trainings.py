"""Trainings under the methods and the temperatures that change within one."""

POINTS = [
    {"tau": 4, "temperature": "cosine"},
    {"tau": 4, "temperature": "instance", "beta": 3.0},
    {"tau": 4, "temperature": "instance", "weights": "cwsm"},
    {"temperature": "dtkd"},
    {"temperature": "normkd"},
    {"tau": 2, "loss": "standardized"},
    {"tau": 4, "loss": "multi"},
    {"tau": 4, "loss": "dtkd", "ramp": 0.9},
    {"tau": 4, "loss": "ttm", "weight": 2.0},
    {"tau": 4, "loss": "wttm", "weight": 0.5},
    {"tau": 4, "loss": "ea"},
]


def test_they_all_train_something_else(training):
    def last_loss(point):
        distiller = training(point)
        return [distiller.train_epoch().train_loss for _ in range(distiller.recipe.training.epochs)][-1]

    assert len({last_loss(point) for point in [*POINTS, {"tau": 4}]}) == len(POINTS) + 1
