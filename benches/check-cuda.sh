#!/usr/bin/env bash
# CUDA and Metal without a GPU: what a machine that has neither can still prove.
#
#   types    our code and candle's type-check with the cuda feature; a stand-in nvcc makes empty files
#   kernels  rows.cu agrees with plain f64 loops on the host, under sanitisers; nvcc and ptxas take it
#   ptx      as types, but candle's own PTX kernels are compiled by the real nvcc
#   metal    our code and candle's type-check with the metal feature, on any system
#   build    everything compiled and linked against a stand-in driver; `upnext doctor` starts, NVRTC compiles rows.cu
#
# Everything is kept under target/check-cuda (or CHECK_CUDA_DIR); running again is cheap. Needs cargo, g++ 11 or later
# and ar; all but `types` and `metal` also python3 with pip, which fetches NVIDIA's compiler as wheels. Nothing is
# installed. Proven is what is said above, and nothing about a driver or a GPU.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mode=${1:-}
mkdir -p "${CHECK_CUDA_DIR:=$root/target/check-cuda}"
dir=$(cd "$CHECK_CUDA_DIR" && pwd)
cuda=$dir/cuda
sources=$root/crates/upnext-model/cuda
cd "$root"
# The stand-in driver and toolkit must not meet real ones.
unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR NVCC_CCBIN
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CUDARC_CUDA_VERSION=13020
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)} # half the cores otherwise

note() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

# toolkit PACKAGE…: NVIDIA's wheels, unpacked into one tree as an installation would look.
toolkit() {
  local package wanted=()
  for package in "$@"; do [ -e "$dir/have/$package" ] || wanted+=("$package"); done
  [ ${#wanted[@]} -gt 0 ] || return 0
  mkdir -p "$dir/have" "$dir/wheels" "$cuda"
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$dir/wheels" "${wanted[@]}"
  python3 - "$dir/wheels" "$cuda" <<'PY'
import pathlib, sys, zipfile

wheels, tree = map(pathlib.Path, sys.argv[1:])
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("nvidia/cu13/") and not name.endswith("/"):
                path = tree / name.removeprefix("nvidia/cu13/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
                if "bin" in path.parts:
                    path.chmod(0o755)
    wheel.unlink()
PY
  ln -sfn lib "$cuda/lib64"
  for library in "$cuda"/lib/lib*.so.*; do
    [ -e "$library" ] && ln -sf "$(basename "$library")" "${library%%.so.*}.so"
  done
  for package in "${wanted[@]}"; do touch "$dir/have/$package"; done
  note "toolkit: ${wanted[*]}"
}
compiler() { toolkit nvidia-cuda-nvcc==13.2.86 nvidia-cuda-crt==13.2.86 nvidia-nvvm==13.2.86 nvidia-cuda-runtime==13.2.86; }
headers() { toolkit nvidia-cuda-cccl==13.2.86 nvidia-curand==10.4.5.25; }
libraries() { toolkit nvidia-cuda-nvrtc==13.2.86 nvidia-cublas==13.3.0.5; }

# An nvcc that makes empty files; where REAL_NVCC is set, --ptx is passed on to it. What it makes must not be linked.
stand_in() {
  mkdir -p "$dir/stand-in"
  cat >"$dir/stand-in/nvcc" <<'SH'
#!/usr/bin/env bash
all=("$@") out= folder=. what= last=
while [ $# -gt 0 ]; do
  case $1 in
    --version) printf 'stand-in nvcc\n-\n-\nCuda compilation tools, release 13.2, V13.2.0\n'; exit ;;
    -o) out=$2; shift ;;
    --output-directory) folder=$2; shift ;;
    -c | --ptx | --lib) what=$1 ;;
  esac
  last=$1
  shift
done
case $what in
  --ptx)
    [ -z "${REAL_NVCC:-}" ] || exec "$REAL_NVCC" "${all[@]}"
    echo '// stand-in' >"$folder/$(basename "$last" .cu).ptx" ;;
  -c) : >"$out" ;;
  --lib) rm -f "$out"; ar crs "$out" ;;
  *) echo "stand-in nvcc: unknown call: ${all[*]}" >&2; exit 1 ;;
esac
SH
  chmod +x "$dir/stand-in/nvcc"
  export NVCC=$dir/stand-in/nvcc
}

# A stand-in libcuda: every function of the driver's header, answering "stub library".
driver() {
  [ ! -e "$dir/driver/libcuda.so" ] || return 0
  mkdir -p "$dir/driver"
  {
    echo 'int cuGetErrorName(int e, const char **s) { (void)e; *s = "CUDA_ERROR_STUB_LIBRARY"; return 0; }'
    echo 'int cuGetErrorString(int e, const char **s) { (void)e; *s = "no CUDA driver on this machine"; return 0; }'
    echo '#include <cuda.h>' | cpp -I"$cuda/include" -D__CUDA_API_VERSION_INTERNAL - |
      grep -oE '\bcu[A-Z][A-Za-z0-9_]* *\(' | tr -d ' (' | sort -u | grep -vE '^cuGetError(Name|String)$' |
      sed 's/.*/int &(void) { return 34; }/'
  } >"$dir/driver/stub.c"
  gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$dir/driver/libcuda.so.1" "$dir/driver/stub.c"
  ln -sf libcuda.so.1 "$dir/driver/libcuda.so"
}

# A target folder a mode: candle-kernels does not notice that nvcc is another one.
check() {
  CARGO_TARGET_DIR=$dir/target-$mode cargo clippy --quiet --locked --package upnext --features "$1" --all-targets -- -D warnings
}

case $mode in
  types)
    stand_in
    check cuda ;;
  ptx)
    compiler
    headers
    stand_in
    export REAL_NVCC=$cuda/bin/nvcc
    check cuda ;;
  kernels)
    for sanitiser in none address,undefined thread; do
      flags=(-O1 -g "-fsanitize=$sanitiser" -fno-sanitize-recover=all)
      [ $sanitiser != none ] || flags=(-O2)
      g++ -std=c++20 -Wall -Wextra "${flags[@]}" "$sources/test_rows.cpp" -o "$dir/test_rows" -pthread
      "$dir/test_rows"
      note "on the host, sanitiser: $sanitiser"
    done
    compiler
    for arch in 80 90; do
      "$cuda/bin/nvcc" -arch=compute_$arch -O3 --ptx -o "$dir/rows_$arch.ptx" "$sources/rows.cu"
      "$cuda/bin/ptxas" -arch=sm_$arch -O3 -v -o "$dir/rows_$arch.cubin" "$dir/rows_$arch.ptx" 2>"$dir/ptxas.txt" ||
        { cat "$dir/ptxas.txt" >&2; exit 1; }
      note "sm_$arch: PTX and machine code, $(grep -c 'Compiling entry' "$dir/ptxas.txt") kernels, $(grep -oE '[0-9]+ bytes spill stores' "$dir/ptxas.txt" | sort -rn | head -n 1)"
    done ;;
  metal)
    cargo fetch --quiet --locked
    if [ ! -e "$dir/objc2-metal" ]; then # a copy that links no framework
      from=$(cargo metadata --format-version 1 --locked --all-features | grep -oE '"manifest_path":"[^"]*/objc2-metal-[^"]*/Cargo.toml"' | cut -d'"' -f4)
      rm -rf "$dir/objc2-metal.new"
      cp -R "$(dirname "$from")" "$dir/objc2-metal.new"
      sed -i.orig '/^#\[link(name = "Metal", kind = "framework")\]/d' "$dir/objc2-metal.new/src/generated/mod.rs"
      mv "$dir/objc2-metal.new" "$dir/objc2-metal"
    fi
    # A copy of the workspace, where two features let the Objective-C crates compile off macOS.
    rm -rf "$dir/metal"
    mkdir -p "$dir/metal"
    cp -R Cargo.toml Cargo.lock crates benches examples tests models configs README.md "$dir/metal/"
    cat >>"$dir/metal/crates/upnext-model/Cargo.toml" <<'TOML'

[dependencies.objc2]
version = "0.6"
features = ["gnustep-2-1"]

[dependencies.block2]
version = "0.6"
features = ["gnustep-2-1"]
TOML
    cd "$dir/metal"
    RUSTFLAGS=-Dwarnings CARGO_TARGET_DIR=$dir/target-metal cargo check --quiet --package upnext --features metal --all-targets \
      --config "patch.crates-io.objc2-metal.path=\"$dir/objc2-metal\"" ;;
  build)
    compiler
    headers
    libraries
    driver
    export CUDA_HOME=$cuda NVCC=$cuda/bin/nvcc
    export LIBRARY_PATH=$cuda/lib:$dir/driver LD_LIBRARY_PATH=$cuda/lib:$dir/driver
    CARGO_TARGET_DIR=$dir/target-build cargo build --locked --package upnext --features cuda
    note "built and linked"
    "$dir/target-build/debug/upnext" doctor | tee "$dir/doctor.txt"
    grep -q 'kernels compile' "$dir/doctor.txt" ;;
  *)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2 ;;
esac
note "$mode: passed"
