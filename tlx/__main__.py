"""`python -m tlx` does what `tlx` does, and finds modules that the user names in the working directory."""

if __name__ == "__main__":  # multiprocessing imports it again under another name
    import os
    import sys

    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        directory = sys.path.pop(0)  # before anything else is imported from there
        from tlx.base.own_modules import find_named_modules_in

        find_named_modules_in(directory)

from tlx.cli import main

if __name__ == "__main__":
    main()
