"""``python -m mistudio_catalog`` serves; ``migrate`` migrates, ``save`` and ``restore`` keep it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from mistudio_contracts.errors import MiStudioError
from mistudio_servicekit.logs import configure

from .config import CatalogSettings


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="mistudio_catalog", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    migrating = verbs.add_parser("migrate", help="bring the database's schema up to date")
    migrating.add_argument("--down", metavar="REV", help="take it back to REV; base removes it")
    saving = verbs.add_parser("save", help="save rows and streams into an empty folder")
    restoring = verbs.add_parser("restore", help="put back what save has saved")
    restoring.add_argument("--check", action="store_true", help="only tell whether it may be")
    for each in (saving, restoring):
        each.add_argument("folder", type=Path)
    chosen = parser.parse_args(arguments)

    settings = CatalogSettings()
    configure("catalog", settings.log_level)
    if chosen.verb == "migrate":
        _migrate(settings, chosen.down)
        return
    if chosen.verb in ("save", "restore"):
        _keep(settings, chosen.verb, chosen.folder, getattr(chosen, "check", False))
        return
    from uvicorn.loops.auto import auto_loop_factory

    from mistudio_servicekit.app import run

    from .factory import create_app

    # asyncio's own leaves the heap in pieces: docs/decisions/0033.
    run(create_app(settings), settings, auto_loop_factory())


def _migrate(settings: CatalogSettings, down: str | None) -> None:
    # Alembic and SQLAlchemy take longer to import than the catalog takes to start.
    from .storage import migrate

    if down is None:
        migrate.upgrade(settings.database_url)
    else:
        migrate.downgrade(settings.database_url, down)


def _keep(settings: CatalogSettings, verb: str, folder: Path, only_check: bool) -> None:
    from .services import keeping

    try:
        if verb == "save":
            asyncio.run(keeping.save(settings, folder))
        elif only_check:
            asyncio.run(keeping.check(settings))
        else:
            asyncio.run(keeping.restore(settings, folder))
    except MiStudioError as error:
        # Whoever runs this reads it there, whatever else was printed.
        (folder / "error.json").write_text(error.body().model_dump_json(), "utf-8")
        sys.exit(f"{error.message} {error.details.get('remedy', '')}".strip())


if __name__ == "__main__":
    main()
