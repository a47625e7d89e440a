//! A shim and nothing else, so that tests need no other binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|arg| arg != swell_runtime::SHIM_ARG) {
        eprintln!("expected {} as first argument", swell_runtime::SHIM_ARG);
        return ExitCode::from(2);
    }
    swell_runtime::shim_main(args)
}
