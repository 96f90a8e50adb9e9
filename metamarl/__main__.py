"""`python -m metamarl` is the command `metamarl`."""

from metamarl.cli import main

if __name__ == "__main__":
    main()
