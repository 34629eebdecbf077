"""The CSV inbox in a bucket: pods have no folder that anybody could put a file into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingestion.csv_uploads.inbox import Inbox
from pipeline.errors import MissingInputError

if TYPE_CHECKING:
    from tests.builders.object_store import S3Double


def test_files_of_a_bucket_are_found_and_copied(s3: S3Double, tmp_path: Path) -> None:
    s3.write("marketing/marketing_spend.csv", b"date,channel\n")
    s3.write("marketing/older/marketing_spend.csv", b"not in the inbox itself")
    inbox = Inbox(f"s3://{s3.bucket}/marketing")
    (found,) = inbox.listing().files
    assert (found.name, found.size) == ("marketing_spend.csv", 13)
    inbox.copy(found, tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == b"date,channel\n"

    s3.write("marketing/marketing_spend_2.csv", b"date,channel\n")
    assert len(inbox.listing().files) == 2, "what came later is seen"


def test_an_inbox_that_is_not_there_is_a_sentence(s3: S3Double) -> None:
    with pytest.raises(MissingInputError, match=r"The CSV inbox s3://shop/absent does not exist"):
        Inbox(f"s3://{s3.bucket}/absent").listing()
