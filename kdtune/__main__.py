"""``python -m kdtune`` is the ``kdtune`` command."""

from kdtune.cli.app import main

if __name__ == "__main__":
    main()
