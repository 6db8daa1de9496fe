"""Makes an OCI image layout of an unpacked bundle: oci.py FOLDER OUTPUT.tar. The image is FROM scratch: the program, its licences,
a folder for data and one for what is temporary; the same bytes each time. `docker load` reads it too.

It runs as 65532:65532, keeps its data in /var/lib/resoftai and answers on port 8443.
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import time

OWNER = 65532
DATA = "var/lib/resoftai"


def archive(entries, built):
    """A tar of (path, mode, owner, content) in that order; content None is a folder."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, mode, owner, content in entries:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.gid, entry.mtime = mode, owner, owner, built
            if content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content or b""))
    return made.getvalue()


def layer(folder, built):
    folders = ["tmp", "usr", "usr/bin", "usr/share", "usr/share/resoftai", "var", "var/lib", DATA]
    modes = {"tmp": (0o1777, 0), DATA: (0o700, OWNER)}
    entries = [(path, *modes.get(path, (0o755, 0)), None) for path in folders]
    entries.append(("usr/bin/resoftai", 0o755, 0, (folder / "resoftai").read_bytes()))
    told = [folder / "LICENSE", folder / "sbom.cdx.json", folder / "LICENSES", *(folder / "LICENSES").rglob("*")]
    for file in told:
        content = None if file.is_dir() else file.read_bytes()
        entries.append((f"usr/share/resoftai/{file.relative_to(folder)}", 0o755 if content is None else 0o644, 0, content))
    return archive(sorted(entries), built)


def main(folder, output):
    folder = pathlib.Path(folder)
    version, built = (folder / "VERSION").read_text().strip(), int((folder / "BUILT").read_text())
    blobs = {}

    def blob(content, media):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(content)}

    def text(value):
        return json.dumps(value, indent=1, sort_keys=True).encode()

    plain = layer(folder, built)
    packed = blob(gzip.compress(plain, 6, mtime=0), "layer.v1.tar+gzip")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(built))
    labels = {"org.opencontainers.image.title": "ResoftAI", "org.opencontainers.image.version": version,
              "org.opencontainers.image.licenses": "Apache-2.0"}
    config = blob(text({
        "architecture": "amd64", "os": "linux", "created": created,
        "config": {
            "User": f"{OWNER}:{OWNER}", "Entrypoint": ["/usr/bin/resoftai"], "Cmd": ["serve"], "WorkingDir": f"/{DATA}",
            "Env": ["PATH=/usr/bin", f"RESOFTAI_DATA_DIR=/{DATA}", "RESOFTAI_SERVER_LISTEN=0.0.0.0:8443"],
            "ExposedPorts": {"8443/tcp": {}}, "Volumes": {f"/{DATA}": {}}, "Labels": labels, "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        "history": [{"created": created, "created_by": "packaging/oci.py"}],
    }), "config.v1+json")
    manifest = blob(text({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                          "layers": [packed], "annotations": labels}), "manifest.v1+json")
    manifest |= {"annotations": {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"docker.io/library/resoftai:{version}"}}
    place = {part: f"blobs/sha256/{part_of['digest'].removeprefix('sha256:')}" for part, part_of in [("config", config), ("layer", packed)]}
    files = blobs | {
        "index.json": text({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}),
        "oci-layout": text({"imageLayoutVersion": "1.0.0"}),
        # What Docker read before it knew layouts.
        "manifest.json": text([{"Config": place["config"], "RepoTags": [f"resoftai:{version}"], "Layers": [place["layer"]]}]),
    }
    entries = [("blobs", 0o755, 0, None), ("blobs/sha256", 0o755, 0, None)]
    entries += [(path, 0o644, 0, content) for path, content in files.items()]
    pathlib.Path(output).write_bytes(archive(sorted(entries), built))
    print(output)


main(*sys.argv[1:])
