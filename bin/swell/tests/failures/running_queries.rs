//! A server that is killed while a query runs.

use std::io::Write as _;
use std::net::TcpStream;

use crate::harness::{Folder, Server, has, wait_for};

/// Sorts a window of 360,000 values at each of 11,000 steps.
const LONG: &str = "/api/v1/query_range?query=quantile_over_time(0.5,vector(time()*7)[1h:10ms])&start=1700000000&end=1700010999&step=1";

#[test]
fn what_ran_at_a_kill_is_told_at_the_next_start() {
    let folder = Folder::new();
    let data = folder.join("data");
    let server = Server::start(&data, &[]);
    let mut stream = TcpStream::connect(server.http).expect("it listens");
    write!(stream, "GET {LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    wait_for("the query", || {
        let queries = server.data("/api/swell/v1/queries")["queries"].clone();
        queries.as_array()?.iter().find(|it| it["query"].to_string().contains("quantile")).map(drop)
    });
    server.kill();
    drop(stream);
    let server = Server::start(&data, &[]);
    has(&server.process.log(), &["was running when the server ended", "quantile_over_time(0.5"]);
    // Told once; and a server that stops by itself leaves nothing.
    assert_eq!(server.stop(), 0);
    let server = Server::start(&data, &[]);
    assert!(!server.process.log().contains("quantile_over_time"), "{}", server.process.log());
    assert_eq!(server.stop(), 0);
}
