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

# Watch with strace that a result reaches the disk before it is sent (needs strace)
durability:
    CI=true cargo test -q -p merchant-sim --test durability
    @echo "durability: every result was synced before it was sent"

# Play hostile platforms and members against the real servers
hostile:
    cargo test -q -p tests --test hostile_platform --test hostile_members
    @echo "hostile: nothing was learned and no money moved"

# Let buf, a client that is none of ours, list, describe and call (needs buf)
reflection:
    CI=true cargo test -q -p merchant-sim --test reflection
    @echo "reflection: found, described and called"

# Build the documentation of the code
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    @echo "docs: target/doc/mesh/index.html"

# Install what the whole gate needs beyond Rust: buf, strace
install:
    .ci/install

# Run the whole gate, as the project's CI does
ci:
    .ci/run
