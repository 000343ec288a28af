"""``python -m mistudio_loader``."""

from .main import main

if __name__ == "__main__":
    main()
