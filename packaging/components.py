"""Says what the program is made of: components.py VERSION FOLDER writes FOLDER/sbom.cdx.json (CycloneDX 1.6) and
FOLDER/LICENSES. Needs no network: sources of crates are where cargo keeps them, those of npm packages in node_modules.

Counted is what runs at a site: the crates linked into the server and the model engine that it carries, the npm packages in its
pages, and CPython for plugins with what is built around it. Compilers, macros and tests are not. The same sources give the
same bytes.
"""

import base64
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
TEXT = re.compile(r"(un)?li[cs]en[cs]e|copying|copyright|notice", re.IGNORECASE)


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked", "--offline"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def texts(folder):
    """The files of a package that say under which licence it is."""
    found = [file for file in folder.iterdir() if TEXT.match(file.name)] if folder.is_dir() else []
    found += [file for place in found if place.is_dir() for file in place.rglob("*")]
    return sorted(file for file in found if file.is_file())


def expression(licence):
    """Cargo took a slash for OR once."""
    return re.sub(r"\s*/\s*", " OR ", licence) if licence else None


def crates():
    """The components of each root by (name, version), and which of them need which."""
    described = json.loads(cargo("metadata", "--format-version=1", f"--filter-platform={TARGET}"))
    packages = {package["id"]: package for package in described["packages"]}
    by_name = {(package["name"], package["version"]): package for package in packages.values()}
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    linked = set()
    for root in ("resoftai", "resoftai-engine"):
        tree = cargo("tree", f"--package={root}", f"--target={TARGET}", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}")
        linked |= {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line}
    parts = []
    for name, version in sorted(key for key in linked if key[0] != "resoftai"):
        package = by_name[name, version]
        parts.append({
            "name": name, "version": version, "purl": f"pkg:cargo/{name}@{urllib.parse.quote(version, safe='.-')}",
            "licence": expression(package["license"]), "sha256": sums.get((name, version)),
            "texts": texts(pathlib.Path(package["manifest_path"]).parent), "source": package["repository"],
        })
    needs = {}
    for node in described["resolve"]["nodes"]:
        key = (packages[node["id"]]["name"], packages[node["id"]]["version"])
        normal = [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        below = {(packages[dep]["name"], packages[dep]["version"]) for dep in normal}
        if key in linked:
            needs[key] = sorted(below & linked)
    return parts, needs


def npm():
    """What the pages are made of: dependencies, and Svelte, whose runtime the build puts in."""
    lock = json.loads((ROOT / "embedded-ui/package-lock.json").read_text())["packages"]
    parts = []
    for path, package in sorted(lock.items()):
        if not path or (package.get("dev") and path != "node_modules/svelte"):
            continue
        name, version = path.rpartition("node_modules/")[2], package["version"]
        algorithm, _, digest = package.get("integrity", "").partition("-")
        parts.append({
            "name": name, "version": version, "purl": f"pkg:npm/{urllib.parse.quote(name, safe='/')}@{version}",
            "licence": package.get("license"), "sha512": base64.b64decode(digest).hex() if algorithm == "sha512" else None,
            "texts": texts(ROOT / "embedded-ui" / path), "source": None,
        })
    return parts


def python():
    """CPython and what carries it, by the versions that their build pins."""
    build = (ROOT / "plugin-sdk/python-runtime/build.sh").read_text()
    pinned = dict(re.findall(r"^(COMPONENTIZE_PY|TZDATA)=(\S+)$", build, re.MULTILINE))
    rest = {"texts": [], "source": None}
    return [
        # Which one componentize-py brings, as it says of itself there.
        {"name": "cpython", "version": "3.14.0", "purl": "pkg:generic/cpython@3.14.0", "licence": "PSF-2.0", **rest},
        {"name": "componentize-py", "version": pinned["COMPONENTIZE_PY"],
         "purl": f"pkg:pypi/componentize-py@{pinned['COMPONENTIZE_PY']}", "licence": "Apache-2.0 WITH LLVM-exception", **rest},
        {"name": "tzdata", "version": pinned["TZDATA"], "purl": f"pkg:pypi/tzdata@{pinned['TZDATA']}", "licence": "Apache-2.0", **rest},
    ]


def component(part):
    made = {"type": "library", "bom-ref": part["purl"], "name": part["name"], "version": part["version"]}
    sums = [("SHA-256", part.get("sha256")), ("SHA-512", part.get("sha512"))]
    if any(content for _, content in sums):
        made["hashes"] = [{"alg": name, "content": content} for name, content in sums if content]
    if part["licence"]:
        made["licenses"] = [{"expression": part["licence"]}]
    return made | {"purl": part["purl"]}


def sbom(version, parts, needs):
    product = {"type": "application", "bom-ref": f"pkg:generic/resoftai@{version}", "name": "resoftai", "version": version,
               "licenses": [{"expression": "Apache-2.0"}], "purl": f"pkg:generic/resoftai@{version}"}
    refs = {(part["name"], part["version"]): part["purl"] for part in parts if part["purl"].startswith("pkg:cargo/")}
    root = next(key for key in needs if key[0] == "resoftai")
    others = [part["purl"] for part in parts if not part["purl"].startswith("pkg:cargo/") or part["name"] == "resoftai-engine"]
    graph = {product["bom-ref"]: sorted({refs[key] for key in needs[root]} | set(others))}
    graph |= {refs[key]: [refs[below] for below in needs[key]] for key in needs if key != root}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": product}, "components": [component(part) for part in parts],
        "dependencies": [{"ref": ref, "dependsOn": graph[ref]} for ref in sorted(graph)],
    }


def licences(parts, folder):
    """Every distinct text once, and a list of who is under which. A package without a text gets the common one."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "texts").mkdir(parents=True)
    listed = ["What ResoftAI is made of, under which licence, and where its text is.\n"]
    for part in parts:
        own = part["texts"]
        for identifier in [] if own else re.split(r" OR | AND ", (part["licence"] or "").strip("()")):
            own = own or [file for file in [ROOT / "packaging/licences" / f"{identifier}.txt"] if file.exists()]
        if not own:
            sys.exit(f"{part['name']} {part['version']} has no text of its licence, {part['licence']}: put one into packaging/licences.")
        names = []
        for file in own:
            content = file.read_bytes()
            names.append(f"texts/{hashlib.sha256(content).hexdigest()[:16]}.txt")
            (folder / names[-1]).write_bytes(content)
        common = "" if part["texts"] else "  (the common text; the package has none)"
        source = f"  source: {part['source']}" if part["source"] else ""
        listed.append(f"{part['name']} {part['version']}: {part['licence'] or 'see its text'}{source}")
        listed += [f"  {name}{common}" for name in dict.fromkeys(names)]
    (folder / "INDEX.txt").write_text("\n".join(listed) + "\n")


def main(version, folder):
    linked, needs = crates()
    parts = sorted(linked + npm() + python(), key=lambda part: part["purl"])
    folder = pathlib.Path(folder)
    (folder / "sbom.cdx.json").write_text(json.dumps(sbom(version, parts, needs), indent=1) + "\n")
    licences(parts, folder / "LICENSES")


main(*sys.argv[1:])
