#!/usr/bin/env bash
# The Windows build, run on Linux: the program and the agreement tests on DX12 and on Vulkan, under Wine in a Debian 13
# folder of its own, from nothing on a machine with Debian's package tools. DX12 is vkd3d over Mesa's software Vulkan
# driver there, and HLSL is compiled by Microsoft's FXC. Ends with an error if anything fails.
#
#     scripts/windows-under-wine.sh [TEST ...]
#
# TEST is a file's name in tests/, or `program` for those in cli/tests/; the agreement tests unless told otherwise. On DX12
# each takes many minutes, nearly all of them in the shader compiler.
#
# Everything lies in target/windows. Mounts are made in a mount namespace of this script's own, and end with it: no
# other process sees them, so that whatever deletes target/ finds plain files alone.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/target/windows
root=$folder/trixie
stage=$folder/stage
dawn=$PWD/target/dawn
triple=x86_64-pc-windows-gnu
release=target/$triple/release
linker=x86_64-w64-mingw32-gcc-posix
tests=("${@:-agreement}")

step() { printf '\n== %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
install() {
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

step "tools"
wanted=()
command -v $linker >/dev/null || wanted+=(gcc-mingw-w64-x86-64-posix binutils-mingw-w64-x86-64)
command -v debootstrap >/dev/null || [ -x "$root/usr/bin/wine" ] || wanted+=(debootstrap debian-archive-keyring)
command -v npm >/dev/null || wanted+=(npm)
[ ${#wanted[@]} = 0 ] || install "${wanted[@]}"
# Where there is no rustup, the standard library for Windows comes with the toolchain or not at all.
if command -v rustup >/dev/null; then rustup target add $triple; fi
$linker --version | head -n 1

step "Microsoft's shader compiler, which is fetched and never committed"
if [ ! -e "$dawn/node_modules/webgpu" ]; then
  mkdir -p "$dawn"
  echo '{ "private": true }' >"$dawn/package.json"
  (cd "$dawn" && npm install --no-package-lock --ignore-scripts webgpu@0.6.2)
fi
ls -l "$dawn/node_modules/webgpu/dist/win32-x64/d3dcompiler_47.dll"

step "Debian 13 with Wine, in $root"
packages=wine,wine64,libvkd3d1,mesa-vulkan-drivers,xvfb,xauth,libgl1-mesa-dri,libglx-mesa0
if [ ! -e "$root/.complete" ]; then
  # What an interrupted run has left is no good. It has no mounts, but deleting is no place for belief.
  if grep -q " $root/" /proc/mounts; then
    echo "something is mounted under $root: unmount it first" >&2
    exit 1
  fi
  as_root rm -rf --one-file-system "$root"
  mkdir -p "$folder"
  as_root debootstrap --variant=minbase --include=$packages trixie "$root"
  as_root touch "$root/.complete"
fi
as_root chroot "$root" dpkg-query -W wine libvkd3d1 mesa-vulkan-drivers

step "the Windows build"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$linker
cargo build --release --locked --target $triple --package wgpu-softmax-cli
cargo test --release --locked --target $triple --workspace --no-run "${tests[@]/#/--test=}" 2>&1 |
  tee "$folder/tests.log"
cargo build --release --locked --package wgpu-softmax-cli

step "what runs there"
# An earlier run has left files of root's there.
as_root rm -rf --one-file-system "$stage"
mkdir -p "$stage/data"
cp $release/wgpu-softmax.exe "$stage/"
for name in "${tests[@]}"; do
  executable=$(sed -n "s|.*(\(target/.*/$name-[0-9a-f]*\.exe\)).*|\1|p" "$folder/tests.log" | tail -n 1)
  cp "$executable" "$stage/test-$name.exe"
done
cp examples/data/digits_logits.npy "$stage/data/"
# No dxcompiler.dll beside it, which wgpu would choose: DX12 here is Shader Model 5.1.
cp "$dawn/node_modules/webgpu/dist/win32-x64/d3dcompiler_47.dll" "$stage/"
target/release/wgpu-softmax run examples/data/digits_logits.npy --device cpu -o "$stage/data/native.npy"
cp scripts/windows-under-wine-inside.sh "$stage/inside.sh"
ls "$stage"

step "under Wine"
as_root mkdir -p "$root/stage"
# Processes are of a namespace, too: Wine's server and the X server end with it. Its first process is bash and stays so, by
# the `exit`: xvfb-run waits for a signal that first processes do not get.
as_root unshare --mount --propagation private --pid --fork --kill-child bash -euo pipefail -c '
  root=$1 stage=$2
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --make-rslave "$root/dev"
  mount --bind "$stage" "$root/stage"
  # Tests know their data and the program by where they were built.
  mkdir -p "$root$PWD"
  mount --bind -o ro "$PWD" "$root$PWD"
  chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 \
    xvfb-run --auto-servernum sh /stage/inside.sh
  exit $?
' - "$root" "$stage"
