#!/bin/sh
# Builds the service images from a release with whatever engine the docker command speaks to:
#
#     npm run release && infra/images/build.sh [--build-arg BASE=debian:bookworm-slim …]
#
# GANTRY_IMAGES (default gantry) is what their names begin with, GANTRY_VERSION (default latest) their tag, RELEASE the release.
set -eu
release=${RELEASE:-$(dirname "$0")/../../build/release}
for service in node-agent build image-store scheduler api; do
  docker build --quiet --target "$service" --tag "${GANTRY_IMAGES:-gantry}/$service:${GANTRY_VERSION:-latest}" "$@" "$release"
done
