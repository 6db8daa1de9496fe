#!/bin/sh
# Prints the chart as plain manifests, for who has no Helm: packaging/kubernetes.sh VERSION [HELM]. They are kept in
# packaging/kubernetes/resoftai.yaml, since a release is made without Helm.
set -eu
version=$1 helm=${2:-helm}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$here/chart.py" "$version" 0 "$work/chart.tgz" >/dev/null
echo "# What the Helm chart makes of its defaults. Set the image, the storage classes and the network policy to the site's own."
"$helm" template resoftai "$work/chart.tgz" | grep -v '^# Source: '
