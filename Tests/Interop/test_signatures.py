"""The vectors that the Swift signer is held against are what botocore signs today."""

import signatures


def test_vectors_are_botocores():
    assert signatures.FILE.read_text() == signatures.rendered(), "run Tests/Interop/signatures.py and look at the difference"
