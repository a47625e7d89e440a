# Short names for what CI runs too.

default: check

# format, lints, house rules
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask tidy

test:
    cargo test --workspace

demo:
    cargo run --release -- demo

# the web app: checked, tested, built into dashboards/serve/dist
web:
    cd dashboards/web && npm install --no-save && npm run check && npm test && npm run build

ci:
    bash .ci/run
