"""The Ray side: the trainable, the runner, the node meters."""
