#!/bin/sh
# The half of windows-under-wine.sh that runs in the Debian 13 folder, where there is a display.
set -u
cd /stage
export XDG_RUNTIME_DIR=/tmp/runtime WINEPREFIX=/stage/wine WINEDEBUG=-all VKD3D_DEBUG=none REQUIRE_GPU=1
# Microsoft's shader compiler and not Wine's own; no .NET, no HTML.
export WINEDLLOVERRIDES="d3dcompiler_47=n;mscoree=;mshtml="
mkdir -p -m 700 "$XDG_RUNTIME_DIR"

failures=0
failed() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# Numbers of a .npy file of f32, whose header takes 128 bytes here, side by side with another's.
same() {
  od -An -v -w4 -tf4 -j128 "$1" >one
  od -An -v -w4 -tf4 -j128 "$2" >other
  paste one other | awk '
    function size(x) { return x < 0 ? -x : x }
    { numbers++; if (size($1 - $2) > 2e-6 * size($2) + 1e-37) different++ }
    END {
      printf "%d of %d numbers are those of the native CPU path\n", numbers - different, numbers
      exit different > 0 || numbers == 0
    }'
}

wine wineboot --init >/dev/null 2>&1
wine --version
for backend in dx12 vulkan; do
  export WGPU_BACKEND=$backend
  printf '\n-- %s: devices\n' $backend
  wine wgpu-softmax.exe devices >devices.txt || failed "$backend: devices"
  cat devices.txt
  grep -q " $backend " devices.txt || failed "$backend: no adapter"

  printf '\n-- %s: run\n' $backend
  rm -f result.npy
  wine wgpu-softmax.exe run data/digits_logits.npy --device gpu -o result.npy --json || failed "$backend: run"
  same result.npy data/native.npy || failed "$backend: run gives other numbers"

  printf '\n-- %s: bench\n' $backend
  wine wgpu-softmax.exe bench --devices gpu --ops softmax,log-softmax --shapes 4096x10,1024x1000,64x50257 \
    --seconds 0.2 || failed "$backend: bench"

  for executable in test-*.exe; do
    printf '\n-- %s: %s\n' $backend "$executable"
    wine "$executable" --nocapture || failed "$backend: $executable"
  done
done

printf '\n'
[ $failures = 0 ] || { echo "$failures failure(s)"; exit 1; }
echo "everything ran, on DX12 and on Vulkan"
