"""`python -m tlx` equals `tlx`."""

from tlx.cli import main

if __name__ == "__main__":
    main()
