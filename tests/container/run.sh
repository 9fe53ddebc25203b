#!/usr/bin/env bash
# Builds the image of Dockerfile.worker for real, without a container engine and without a registry
# of images: buildah, with a Debian root file system that has Python for a base. Installs what it
# needs, and runs image_checks.py on the image. What it makes lies in build/container, and is used
# again. Arguments are pytest's.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=build/container
if [ "$(id -u)" != 0 ]; then
    echo "tests/container/run.sh mounts file systems and starts containers: run it as root" >&2
    exit 2
fi
mkdir -p "$work"

missing=()
for tool in buildah debootstrap runc; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        "${missing[@]}"
fi

# Overlay copies nothing; a kernel without it takes minutes more.
driver=vfs
grep --quiet overlay /proc/filesystems && driver=overlay
build() {
    buildah --root "$PWD/$work/storage" --runroot "$PWD/$work/run" --storage-driver "$driver" "$@"
}

if ! build inspect --type image localhost/base >/dev/null 2>&1; then
    echo "Making a base: Debian bookworm with Python"
    rm -rf "$work/debian"
    debootstrap --variant=minbase \
        --include=ca-certificates,python-is-python3,python3,python3-pip,python3-venv \
        bookworm "$work/debian" >"$work/debootstrap.log"
    rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
    base=$(build from scratch)
    cp --archive "$work/debian/." "$(build mount "$base")/"
    build config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
    build commit --quiet --rm "$base" localhost/base >/dev/null
    rm -rf "$work/debian"
fi

echo "Building"
settings=()
[ -f /etc/pip.conf ] && settings+=(--secret id=pip.conf,src=/etc/pip.conf)
[ -d /etc/ssl/certs ] && settings+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
build bud --isolation chroot --format docker --layers --file Dockerfile.worker \
    --build-arg BASE=localhost/base --tag localhost/brain-worker "${settings[@]}" . \
    >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; exit 1; }

build inspect --type image localhost/brain-worker >"$work/image.json"
build inspect --type image localhost/base >"$work/base.json"
trap 'build rm --all >/dev/null' EXIT
build mount "$(build from localhost/brain-worker)" >"$work/rootfs"

.venv/bin/python -m pytest tests/container/image_checks.py "$@"
