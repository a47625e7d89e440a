//! What the agent's tests run: a shim, and a program for pods that serves HTTP.
//!
//! `__shim …` is the shim; `serve ADDRESS [FILE]` answers every request with 200, or with 503 while FILE exists.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(mode) if mode == swell_runtime::SHIM_ARG => swell_runtime::shim_main(args),
        Some(mode) if mode == "serve" => {
            let words: Vec<String> = args.filter_map(|arg| arg.into_string().ok()).collect();
            match serve(&words) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("serve {words:?}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("expected __shim or serve");
            ExitCode::from(2)
        }
    }
}

fn serve(words: &[String]) -> std::io::Result<()> {
    let address = words.first().map_or("", String::as_str);
    let listener = TcpListener::bind(address)?;
    println!("listening on {address}");
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = [0_u8; 4096];
        // A connection without a request is a TCP probe.
        if stream.read(&mut request)? == 0 {
            continue;
        }
        let busy = words.get(1).is_some_and(|file| Path::new(file).exists());
        let status = if busy { "503 Service Unavailable" } else { "200 OK" };
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
