# Recipes for people who have `just`; each is a thin wrapper. `just` alone lists them.

[private]
default:
    @just --list --unsorted

# Run a whole payment: every server its own process, every step shown
e2e *ARGS:
    cargo run -q -p merchant-sim -- e2e {{ARGS}}

# Start the servers with sample data and keep them up until Ctrl-C
sandbox DIR="sandbox" *ARGS:
    cargo run -q -p merchant-sim -- sandbox --dir {{DIR}} {{ARGS}}

# Measure payments per second, latency and CPU per payment (release build)
bench *ARGS:
    cargo run -q --release -p merchant-sim -- bench {{ARGS}}

# Measure sign-ins per second with each credential, and the bank's CPU for each (release build)
bench-sign-in *ARGS:
    cargo run -q --release -p merchant-sim -- bench --sign-in {{ARGS}}

# Time the answers to wrong proofs and see that nobody can tell which was wrong (release build)
timing *ARGS:
    cargo run -q --release -p merchant-sim -- timing {{ARGS}}

# Measure the platform's relay beside HAProxy and Envoy (release build; needs .ci/install bench)
bench-relay *ARGS:
    cargo build -q --release -p platform -p merchant-sim
    target/release/merchant-sim bench-relay {{ARGS}}

# Measure the bank directory with 10,000 banks and 100,000 BIN ranges (release build)
bench-directory:
    cargo run -q --release -p platform --example directory_scale

# Make and inspect certificates, signing keys, revocation lists and directory files
certs *ARGS:
    cargo run -q -p certs -- {{ARGS}}

# Run every test
test *ARGS:
    cargo test --workspace {{ARGS}}
    @echo "test: all passed"

# Check the format and lint the code, warnings denied
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    @echo "lint: clean"

# Lint the contracts and check that they break no client (needs buf)
contracts:
    .ci/contracts

# Plant card data and passwords, pay, then look for them in every file, log and message
canary *ARGS:
    cargo run -q -p merchant-sim -- canary {{ARGS}}

# Kill servers at random moments of a payment and see that each payment ends
crash *ARGS:
    cargo run -q -p merchant-sim -- crash {{ARGS}}

# Torment a whole network for SECONDS, then audit every store and log to the last unit
torture SECONDS="120" *ARGS:
    cargo run -q -p merchant-sim -- torture --seconds {{SECONDS}} {{ARGS}}

# Send up to ten times the load that is carried; fails where a promise is broken (release build)
overload *ARGS:
    cargo run -q --release -p merchant-sim -- overload {{ARGS}}

# Check the protocol's model exhaustively, and that it finds every seeded mistake
model *ARGS:
    cargo run -q -p protocol-model -- {{ARGS}}

# Play the real code of every role under one seeded scheduler, with every fault there is
sim SEEDS="2000" *ARGS:
    cargo run -q -p simulation -- --seeds {{SEEDS}} {{ARGS}}

# Cut the power of a real file system under the store, again and again (needs root)
power-loss TRIALS="20":
    cargo run -q -p mesh --example power_loss -- --trials {{TRIALS}}

# Open what a power cut could have left of the store, cut at every write (needs strace)
crash-images IMAGES="10000":
    cargo run -q -p mesh --example power_loss -- --images {{IMAGES}}

# Measure how long the store takes to open, and how much memory
store-recovery RECORDS="1000000":
    cargo run -q -p mesh --example store_recovery -- --records {{RECORDS}}

# Show that retention bounds the stores' size over a week of traffic (release build)
retention PER_DAY="20000":
    cargo run -q --release -p issuer --example charge_scale week {{PER_DAY}}
    cargo run -q --release -p acquirer --example order_scale week {{PER_DAY}}

# Measure a start over so many finished orders and charges: seconds and memory (release build)
restart +COUNTS="0 100000 1000000":
    cargo run -q --release -p issuer --example charge_scale restart {{COUNTS}}
    cargo run -q --release -p acquirer --example order_scale restart {{COUNTS}}

# Feed hostile bytes to every decoder and every RPC
fuzz SECONDS="60" *ARGS:
    cargo run -q -p fuzz -- --seconds {{SECONDS}} {{ARGS}}

# Watch with strace that a result reaches the disk before it is sent (needs strace)
durability:
    CI=true cargo test -q -p merchant-sim --test durability
    @echo "durability: every result was synced before it was sent"

# Play every table of attacks (hostile platforms, members and customers) against the real servers
attacks:
    cargo run -q -p tests --bin attacks

# Pay in a real browser, every way and every language, with what can go wrong (needs .ci/install)
browser *ARGS:
    cargo build -q -p merchant-sim
    python3 tests/browser/run.py {{ARGS}}

# Take the README's pictures of the pages, from a sandbox of their own (needs .ci/install)
screenshots:
    cargo build -q -p merchant-sim
    python3 tests/browser/run.py --screenshots tests/browser/screenshots

# Let buf, a client that is none of ours, list, describe and call (needs buf)
reflection:
    CI=true cargo test -q -p merchant-sim --test reflection
    @echo "reflection: found, described and called"

# Build the documentation of the code
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    @echo "docs: target/doc/mesh/index.html"

# Install what the whole gate needs beyond Rust: buf, strace, Chromium with its suite
install:
    .ci/install

# Run the whole gate, as the project's CI does
ci:
    .ci/run
