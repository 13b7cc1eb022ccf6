"""``python -m bdnn``: the command line."""

from bdnn.cli import main

if __name__ == "__main__":
    main()
