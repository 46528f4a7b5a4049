"""The vectors that the Swift signers are held against are what botocore and oss2 sign today."""

import oss_signatures
import pytest
import signatures


@pytest.mark.parametrize("source", [signatures, oss_signatures], ids=["botocore", "oss2"])
def test_vectors_are_the_librarys(source):
    assert source.FILE.read_text() == source.rendered(), f"run Tests/Interop/{source.__name__}.py and look at the difference"
