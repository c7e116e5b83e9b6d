"""``python -m pad19``, for where the command itself is not to be found."""

from pad19.cli import main

if __name__ == "__main__":
    main(prog_name="pad19")
