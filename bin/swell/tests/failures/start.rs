//! A server that cannot start says what is in the way, and where, and how to go on.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Folder, Server, has, run, swell, texts};

const ANY: &str = "127.0.0.1:0";
const LISTENERS: [&str; 3] = ["--listen-http", "--listen-grpc", "--listen-kube"];

#[test]
fn a_second_server_on_the_same_directory_is_told_who_holds_it() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), &[]);
    let dir = folder.path().display().to_string();
    let (code, _, stderr) = run(&["server", "--data-dir", &dir, "--listen-http", ANY]);
    assert_eq!(code, 1);
    has(&stderr, &[&server.process.pid().to_string(), "--data-dir"]);
    assert_eq!(server.get("/-/ready").0, 200, "the first server does not mind");
    assert_eq!(server.stop(), 0);
}

#[test]
fn every_port_in_use_is_named_with_its_flag_and_holder() {
    let taken = TcpListener::bind(ANY).expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let folder = Folder::new();
    let dir = folder.join("data").display().to_string();
    for flag in LISTENERS {
        let mut args = vec!["server", "--data-dir", &dir, flag, &address];
        for other in LISTENERS.into_iter().filter(|other| *other != flag) {
            args.extend([other, ANY]);
        }
        let (code, _, stderr) = run(&args);
        assert_eq!(code, 1, "{flag}: {stderr}");
        has(&stderr, &[&address, flag, &format!("(pid {})", std::process::id())]);
    }
    // Nothing was begun that a later start would stumble over.
    let server = Server::start(Path::new(&dir), &[]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn wrong_configurations_start_nothing_and_name_the_place() {
    let folder = Folder::new();
    let data = folder.join("data");
    for (text, parts) in [
        ("global:\n  scrape_intervall: 5s\n", vec!["scrape_intervall", "2"]),
        ("swell: {wal_sync: sometimes}\n", vec!["wal_sync", "sometimes", "always"]),
        ("global: {scrape_interval: [}\n", vec!["swell.yaml"]),
        ("rule_files: ['[.yaml']\n", vec!["[.yaml"]),
        ("\u{0}\u{1}\u{2}", vec!["swell.yaml"]),
    ] {
        let shown = folder.file("swell.yaml", text);
        let dir = data.display().to_string();
        let (code, _, stderr) = run(&["server", "--config", &shown, "--data-dir", &dir]);
        assert_eq!(code, 1, "{text}");
        has(&stderr, &parts);
        assert!(!data.exists(), "nothing was made for {text}");
        assert_eq!(run(&["check", "config", &shown]).0, 1);
    }
    let (code, _, stderr) = run(&["server", "--listen-http", "nonsense"]);
    assert_eq!(code, 2, "{stderr}");
    let missing = folder.join("nowhere.yaml").display().to_string();
    let (code, _, stderr) = run(&["server", "--config", &missing]);
    assert_eq!(code, 1);
    has(&stderr, &["nowhere.yaml"]);
}

#[test]
fn a_file_in_the_place_of_the_data_directory_is_named() {
    let folder = Folder::new();
    let dir = folder.file("a-file", "in the way");
    let (code, _, stderr) = run(&["server", "--data-dir", &dir, "--listen-http", ANY]);
    assert_eq!(code, 1);
    has(&stderr, &["a-file"]);
}

/// Runs `server` as somebody who may not; what it says.
fn refused(folder: &Folder, dir: &Path) -> String {
    let output = folder
        .swell_without_privileges()
        .args(["server", "--listen-http", ANY, "--listen-grpc", ANY, "--listen-kube", ANY])
        .arg("--data-dir")
        .arg(dir)
        .output()
        .expect("the binary runs");
    let (code, _, stderr) = texts(&output);
    assert_eq!(code, 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

#[test]
fn a_data_directory_that_the_user_may_not_use_is_named() {
    let folder = Folder::new();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    };
    let dir = folder.join("data");
    std::fs::create_dir(&dir).expect("made");
    for (rights, may) in [(0o000, "neither read nor written"), (0o555, "only read")] {
        mode(&dir, rights);
        let stderr = refused(&folder, &dir);
        has(&stderr, &[&dir.display().to_string(), "writable for this user"]);
        assert_eq!(stderr.lines().count(), 1, "{may}: one line: {stderr}");
    }
    let stderr = refused(&folder, &dir.join("inside"));
    has(&stderr, &["create the data directory", &dir.join("inside").display().to_string()]);
    mode(&dir, 0o755);
}

#[test]
fn a_part_of_the_data_directory_that_cannot_be_read_is_named_and_kept() {
    let folder = Folder::new();
    let dir = folder.join("data");
    assert_eq!(Server::start(&dir, &[]).stop(), 0);
    for (part, content) in [("addresses", "none"), ("tokens/admin", ""), ("objects.redb", "x")] {
        let path = dir.join(part);
        let before = std::fs::read(&path).expect("it is there");
        std::fs::write(&path, content).expect("written");
        let shown = dir.display().to_string();
        let (code, _, stderr) = run(&[
            "server",
            "--data-dir",
            &shown,
            "--listen-http",
            ANY,
            "--listen-grpc",
            ANY,
            "--listen-kube",
            ANY,
        ]);
        assert_eq!(code, 1, "{part}: {stderr}");
        has(&stderr, &[&path.display().to_string()]);
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(std::fs::read(&path).expect("there"), content.as_bytes(), "{part} is kept");
        std::fs::write(&path, before).expect("written");
    }
    assert_eq!(Server::start(&dir, &[]).stop(), 0, "all is well again");
}

#[test]
fn a_client_without_a_server_is_told_what_to_start() {
    let folder = Folder::new();
    let output = swell()
        .args(["get", "pods", "--kubeconfig"])
        .arg(folder.join("kubeconfig"))
        .output()
        .expect("the binary runs");
    let (code, _, stderr) = texts(&output);
    assert_ne!(code, 0);
    has(&stderr, &["swell server"]);
    let (code, _, stderr) = run(&["query", "up", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    has(&stderr, &["127.0.0.1:1", "--server"]);
}
