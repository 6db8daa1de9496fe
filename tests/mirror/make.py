"""Makes a repository with python-tuf: make.py FOLDER consistent|plain. Its root changed once, and it delegates."""

import hashlib
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

folder, consistent = Path(sys.argv[1]), sys.argv[2] == "consistent"
(folder / "metadata").mkdir(parents=True)
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
signers = {role: CryptoSigner.generate_ed25519() for role in ["root", "targets", "snapshot", "timestamp", "advisories"]}
pretty = JSONSerializer(compact=False)


def listed(name: str, content: bytes) -> TargetFile:
    target = TargetFile.from_data(name, content, ["sha256"])
    head, _, tail = name.rpartition("/")
    prefix = f"{hashlib.sha256(content).hexdigest()}." if consistent else ""
    path = folder / "targets" / head / f"{prefix}{tail}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return target


def write(role, name: str, *by: str) -> None:
    metadata = Metadata(role)
    for signer in by:
        metadata.sign(signers[signer], append=True)
    metadata.to_file(str(folder / "metadata" / name), pretty)


root = Root(version=1, expires=expires, consistent_snapshot=consistent)
for role in ["root", "targets", "snapshot", "timestamp"]:
    root.add_key(signers[role].public_key, role)
write(root, "1.root.json", "root")
signers["old"] = signers["root"]
signers["root"] = CryptoSigner.generate_ecdsa()
root.revoke_key(signers["old"].public_key.keyid, "root")
root.add_key(signers["root"].public_key, "root")
root.version = 2
write(root, "2.root.json", "old", "root")

number = "1." if consistent else ""
key = signers["advisories"].public_key
role = DelegatedRole("advisories", [key.keyid], 1, True, paths=["advisories/*"])
top = Targets(expires=expires, delegations=Delegations({key.keyid: key}, {"advisories": role}))
top.targets["models/tiny.gguf"] = listed("models/tiny.gguf", b"GGUF and so on")
write(top, f"{number}targets.json", "targets")
below = Targets(expires=expires)
below.targets["advisories/PYSEC-1.json"] = listed("advisories/PYSEC-1.json", b"{}")
write(below, f"{number}advisories.json", "advisories")
meta = {"targets.json": MetaFile(1), "advisories.json": MetaFile(1)}
write(Snapshot(expires=expires, meta=meta), f"{number}snapshot.json", "snapshot")
write(Timestamp(expires=expires, snapshot_meta=MetaFile(1)), "timestamp.json", "timestamp")
