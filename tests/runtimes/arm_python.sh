#!/usr/bin/env bash
# Put a Python for aarch64 with NumPy and ONNX Runtime below FOLDER, to be run by qemu-aarch64: bash arm_python.sh FOLDER PYTHON
# Debian's packages by apt-get download, wheels by the pip of PYTHON; nothing is installed. Done again, it does nothing.
set -euo pipefail
folder=$1 python=$2
[ ! -e "$folder/ready" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder"/{lists/partial,debs,wheels,root,site}

apt=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1)
apt-get "${apt[@]}" update -qq
version=$(apt-cache "${apt[@]}" depends python3 | sed -n 's/^ *Depends: python\(3\.[0-9]*\)$/\1/p' | head -n 1)
cd "$folder/debs"
apt-get "${apt[@]}" download -qq libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 \
    "python$version-minimal" "python$version" "libpython$version-minimal" "libpython$version-stdlib"
for package in *.deb; do dpkg -x "$package" "$folder/root"; done

# 1.28 and 1.32 crash under qemu when they are imported
"$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version "$version" --implementation cp \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    --dest "$folder/wheels" numpy==2.4.6 onnxruntime==1.23.2
for wheel in "$folder"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$folder/site"; done

printf '#!/bin/sh\nPYTHONHOME=%s/root/usr PYTHONPATH=%s/site exec qemu-aarch64 -cpu cortex-a72 -L %s/root %s/root/usr/bin/python%s "$@"\n' \
    "$folder" "$folder" "$folder" "$folder" "$version" >"$folder/python"
chmod +x "$folder/python"
touch "$folder/ready"
