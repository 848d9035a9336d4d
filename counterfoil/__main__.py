"""`python -m counterfoil …`."""

from counterfoil.commands import main

if __name__ == "__main__":
    main()
