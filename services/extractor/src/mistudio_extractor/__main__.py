"""``python -m mistudio_extractor``."""

from .main import main

if __name__ == "__main__":
    main()
