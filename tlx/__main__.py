"""`python -m tlx` equals `tlx`, and finds modules that the user names in the working directory."""

if __name__ == "__main__":  # not where multiprocessing imports it again
    import os
    import sys

    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        directory = sys.path.pop(0)  # before anything else is imported from there
        from tlx.base.own_modules import find_named_ones_in

        find_named_ones_in(directory)

from tlx.cli import main

if __name__ == "__main__":
    main()
