"""``python -m benchmarks``, in the folder ``tests``."""

from .command import main

if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
