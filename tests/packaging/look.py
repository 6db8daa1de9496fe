"""Looks at what is packed with schemas of others: look.py image IMAGE.tar | sbom FILE | compose FILE SCHEMA | kubernetes FILE."""

import gzip
import hashlib
import json
import sys
import tarfile

import yaml


def image(path):
    """Every digest and size in the layout is that of its content, and what is said of the image fits it."""
    with tarfile.open(path) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}

    def blob(descriptor):
        content = files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest(), descriptor
        assert descriptor["size"] == len(content), descriptor
        return content

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    manifest = json.loads(blob(json.loads(files["index.json"])["manifests"][0]))
    config, layers = json.loads(blob(manifest["config"])), [gzip.decompress(blob(layer)) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    assert config["config"]["User"] == "65532:65532" and config["config"]["Entrypoint"] == ["/usr/bin/resoftai"]
    assert len([name for name in files if name.startswith("blobs/")]) == 2 + len(layers), "a blob is of no use"


def sbom(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = open(path).read()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert wrong is None, wrong
    names = {part["name"] for part in json.loads(text)["components"]}
    assert {"tokio", "wasmtime", "candle-core", "yjs", "cpython"} <= names and "serde_derive" not in names


def compose(path, schema):
    import jsonschema

    jsonschema.validate(yaml.safe_load(open(path)), json.load(open(schema)))


def kubernetes(path):
    """What the restricted pod security standard asks for, and a refusal of all other ways out."""
    kinds = {document["kind"]: document for document in yaml.safe_load_all(open(path)) if document}
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]
    own = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["readOnlyRootFilesystem"] and own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
    assert all(f"{name}Probe" in pod["containers"][0] for name in ("startup", "readiness", "liveness"))
    assert kinds["StatefulSet"]["spec"]["replicas"] == 2 and kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    policy = kinds["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and all(rule["to"] and rule["ports"] for rule in policy["egress"])


{"image": image, "sbom": sbom, "compose": compose, "kubernetes": kubernetes}[sys.argv[1]](*sys.argv[2:])
