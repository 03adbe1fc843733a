"""Components for kdtune: a network, a data set, a loss, a temperature and a strategy, each in a file of its own."""
