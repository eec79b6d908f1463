# What the programs of this folder share: paths and ports, the gateway that is measured, and one row of a table. Sourced.
root=$(cd "$here/../.." && pwd)
export LAB_RUN=${LAB_RUN:-$root/target/lab}
load=$root/tests/interop/lab/load out=${BENCH_OUT:-$root/target/bench}
base=${LAB_BASE:-25000}
admin=$((base + 80)) sip=$((base + 60)) stub=$((base + 400)) users=$((base + 90))
mkdir -p "$LAB_RUN" "$out"
if [ -z "${INTERLINGUA:-}" ]; then
  (cd "$root" && cargo build -q --release -p interlingua)
  INTERLINGUA=${CARGO_TARGET_DIR:-$root/target}/release/interlingua
fi

gateway= far=
finish() { [ -z "$gateway" ] || { kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; }; gateway=; }
trap finish EXIT
start() { "$@" > "$out/gateway.log" 2>&1 & gateway=$!; }

one() { # one LABEL DIR ARGS...: a fresh process for each row, so that memory is its own
  local label=$1 dir=$2; shift 2
  # RFC 3428 section 8 allows one pending MESSAGE a URI, so a rate needs as many receivers as answers are under way
  [ "$dir" != x2s ] || set -- --nusers 100 "$@"
  "$load/bench" --dir "$dir" --sip-dst "127.0.0.1:$sip" --sip-listen "$users" --xmpp "stub:$stub" --drain 3 --label "$label" \
    --pids "gw=$("$load/pids" "$gateway")" "$@" 2>> "$out/bench.log"
}
ready() { :; } # the generator waits for a gateway by itself
row() { # row LABEL DIR COMMAND -- ARGS...: the generator's ids are the same in each row, so none may find another's data: they would be repeats
  local label=$1 dir=$2 command=$3; shift 3
  rm -rf "$out/data"
  # shellcheck disable=SC2086
  start $command
  ready
  one "$label" "$dir" "$@" || { finish; return 1; }
  finish
}
machine() { printf '%s, %s cores, commit %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(git -C "$root" rev-parse --short HEAD)"; }
