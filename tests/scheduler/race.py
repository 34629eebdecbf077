"""Announces a day by Airflow's own code: two sources at once, the others after them.

``python -m tests.scheduler.race KEY together|in-a-row``, in the environment of Airflow's processes.
Prints nothing.
"""

from __future__ import annotations

import sys
from threading import Thread

from airflow import settings
from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.sources import SOURCES

# A transaction that waits for the other one's lock goes on as soon as that has committed.
SECONDS_FOR_BOTH_TO_LOOK = 5.0


def open_session() -> Session:
    """A session of its own, as each request to the API server has."""
    assert settings.NonScopedSession
    session: Session = settings.NonScopedSession()
    return session


def announce(session: Session, uri: str, key: str) -> None:
    """What Airflow's API server does within the transaction that marks a task as succeeded."""
    asset = session.scalars(select(AssetModel).where(AssetModel.uri == uri)).one()
    asset_manager.register_asset_change(asset=asset, session=session, partition_key=key)
    session.flush()


def announce_and_commit(uri: str, key: str) -> None:
    with open_session() as session:
        announce(session, uri, key)
        session.commit()


def main(key: str, how: str) -> None:
    uris = [source.dataset_uri for source in SOURCES]
    if how == "together":
        with open_session() as first:
            announce(first, uris[0], key)
            second = Thread(target=announce_and_commit, args=(uris[1], key))
            second.start()
            second.join(SECONDS_FOR_BOTH_TO_LOOK)
            first.commit()
        second.join()
        uris = uris[2:]
    for uri in uris:
        announce_and_commit(uri, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
