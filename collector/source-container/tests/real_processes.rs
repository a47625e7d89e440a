//! Real processes of this machine, measured as containers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use swell_model::{Pass, TimestampMs};
use swell_source_container::{Config, ContainerInfo, ContainerInventory, ContainerSource};

struct Fixed(Arc<[ContainerInfo]>);

impl ContainerInventory for Fixed {
    fn containers(&self) -> Arc<[ContainerInfo]> {
        self.0.clone()
    }
}

/// A shell that does what it is told and says when it is done.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new() -> Self {
        let mut child = Command::new("sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn run(&mut self, script: &str) {
        self.tell(&format!("{script}; echo done"));
        self.wait_for("done");
    }

    fn tell(&mut self, script: &str) {
        writeln!(self.input, "{script}").expect("the shell listens");
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim_end() != word {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("the shell answers"), 0);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

#[test]
fn cpu_of_children_that_come_and_go_adds_up_as_in_the_shells_own_times() {
    let mut shell = Shell::new();
    let info = ContainerInfo {
        namespace: "n".to_owned(),
        pod: "p".to_owned(),
        container: "c".to_owned(),
        name: "c-0".to_owned(),
        root_pid: Some(shell.child.id()),
        ..ContainerInfo::default()
    };
    let inventory = Arc::new(Fixed(vec![info].into()));
    let config = Config::machine("n1", "n1:1");
    let mut source = ContainerSource::new(&config, inventory, Arc::new(|| Duration::ZERO));
    let mut pass = Pass::new();
    let mut at = 0;
    let mut usage = None;
    let mut tick = |pass: &mut Pass| {
        at += 1000;
        source.collect(TimestampMs(at), pass);
        let delta = pass.finish(TimestampMs(at));
        for (number, labels) in &delta.announced {
            if labels.metric_name() == Some("container_cpu_usage_seconds_total") {
                usage = Some(*number);
            }
        }
        let number = usage.expect("announced at the first tick");
        delta.samples.iter().find(|(of, _)| *of == number).expect("recorded each tick").1
    };
    let before = tick(&mut pass);
    // a child that is still there when its work is done
    shell.tell("(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo spun; exec sleep 1000) &");
    shell.wait_for("spun");
    let during = tick(&mut pass);
    assert!(during > before + 0.01, "{before} {during}");
    shell.run("kill $!; wait");
    // children that no tick sees
    shell.run("for n in 1 2 3; do sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'; done");
    let after = tick(&mut pass);
    assert!(after > during + 0.03, "{during} {after}");

    let times = {
        let pid = shell.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let fields: Vec<&str> =
            stat[stat.rfind(')').expect("the name ends") + 2..].split(' ').collect();
        let ticks: f64 =
            fields[11..15].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum();
        ticks / 100.0
    };
    // four figures are cut to ticks of 10 ms
    assert!((after - times).abs() < 0.06, "{after} instead of {times}");
}
