"""Makes a repository with python-tuf: make.py FOLDER consistent|plain|stolen|shadowed.

Its root changed once, and it delegates. In `stolen` who signs advisories also lists a plugin; in `shadowed` a role that
was asked before lists an advisory of other bytes, which is not for it to list.
"""

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

folder, layout = Path(sys.argv[1]), sys.argv[2]
consistent = layout != "plain"
(folder / "metadata").mkdir(parents=True)
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
signers = {role: CryptoSigner.generate_ed25519() for role in ["root", "targets", "snapshot", "timestamp", "advisories", "first"]}
pretty = JSONSerializer(compact=False)


def listed(name: str, content: bytes) -> TargetFile:
    target = TargetFile.from_data(name, content, ["sha256"])
    head, _, tail = name.rpartition("/")
    prefix = f"{hashlib.sha256(content).hexdigest()}." if consistent else ""
    path = folder / "targets" / head / f"{prefix}{tail}"
    path.parent.mkdir(parents=True, exist_ok=True)
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
keys = {name: signers[name].public_key for name in ["first", "advisories"]}
roles = {
    "first": DelegatedRole("first", [keys["first"].keyid], 1, False, paths=["first/*"]),
    "advisories": DelegatedRole("advisories", [keys["advisories"].keyid], 1, True, paths=["advisories/*"]),
}
top = Targets(expires=expires, delegations=Delegations({key.keyid: key for key in keys.values()}, roles))
top.targets["models/tiny.gguf"] = listed("models/tiny.gguf", b"GGUF and so on")
write(top, f"{number}targets.json", "targets")
first, below = Targets(expires=expires), Targets(expires=expires)
below.targets["advisories/PYSEC-1.json"] = listed("advisories/PYSEC-1.json", b"{}")
if layout == "shadowed":
    first.targets["advisories/PYSEC-1.json"] = listed("advisories/PYSEC-1.json", b'{"of": "somebody else"}')
if layout == "stolen":
    below.targets["plugins/a/9.0.0.rplugin"] = listed("plugins/a/9.0.0.rplugin", b"taken over")
write(first, f"{number}first.json", "first")
write(below, f"{number}advisories.json", "advisories")
meta = {name: MetaFile(1) for name in ["targets.json", "first.json", "advisories.json"]}
write(Snapshot(expires=expires, meta=meta), f"{number}snapshot.json", "snapshot")
write(Timestamp(expires=expires, snapshot_meta=MetaFile(1)), "timestamp.json", "timestamp")
