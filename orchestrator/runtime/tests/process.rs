//! The process backend with real processes.

mod subject;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use futures::StreamExt;
use subject::{Mounted, Node, eventually, is_alive, shell};
use swell_runtime::contract::check;
use swell_runtime::{
    CgroupUse, ContainerConfig, ContainerRuntime, ContainerState, ContainerStatus, ExitReason,
    LogOptions, OpenRuntimeError, Resources, Rlimit, RlimitKind, RunAs, RuntimeError, read_log,
};

const GRACE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_keep_the_contract() {
    let node = Node::open().await;
    check(&node).await;
}

#[tokio::test]
async fn the_whole_tree_is_gone_after_a_stop_whatever_it_does_about_it() {
    let node = Node::open().await;
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo inner $$; sleep 1000; sleep 1000' & \
                  (sh -c 'echo orphan $$; exec sleep 1000' &) ; sleep 0.01; echo ready; \
                  while :; do sleep 1000; done";
    let container = node.run("tree", shell(script)).await;
    let log = eventually("three lines", || {
        let log = node.log(&container);
        (log.lines().count() == 3).then_some(log)
    })
    .await;
    let pid_of = |name: &str| -> i32 {
        let line = log.lines().find(|line| line.contains(name)).expect("its line");
        line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")
    };
    let (inner, orphan) = (pid_of("inner"), pid_of("orphan"));
    assert!(is_alive(inner) && is_alive(orphan));
    node.runtime.stop_container(&container.id, Duration::from_millis(200)).await.unwrap();
    assert!(!is_alive(inner) && !is_alive(orphan));
    assert_eq!(node.exit(&container).code, 137);
}

#[tokio::test]
async fn what_the_program_leaves_behind_goes_with_it() {
    let node = Node::open().await;
    let container = node.run("left", shell("sleep 1000 & echo child $!; exit 4")).await;
    let exit = node.exited(&container).await;
    assert_eq!((exit.code, exit.reason), (4, ExitReason::Error));
    let log = node.log(&container);
    let child = log.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(!is_alive(child), "{log}");
}

#[tokio::test]
async fn children_get_the_rest_of_the_grace_once_the_program_is_gone() {
    let node = Node::open().await;
    // The parent dies of SIGTERM at once, the child cleans up first.
    let script = "sh -c 'trap \"echo cleaned up; exit\" TERM; echo ready; while :; do sleep 0.01; done' & wait";
    let container = node.run("orderly", shell(script)).await;
    eventually("the child is ready", || node.log(&container).contains("ready").then_some(())).await;
    node.runtime.stop_container(&container.id, GRACE).await.unwrap();
    assert!(node.log(&container).contains("cleaned up"), "{}", node.log(&container));
}

#[tokio::test]
async fn containers_outlive_the_agent_and_are_adopted_once() {
    let mut node = Node::open().await;
    let running = node.run("survivor", shell("echo started; exec sleep 1000")).await;
    let ending = node.run("ending", shell("while [ ! -e go ]; do sleep 0.01; done; exit 5")).await;
    let second = node.try_open().await;
    assert!(matches!(second, Err(OpenRuntimeError::Locked { .. })), "{second:?}");
    node.drop_runtime();

    fs::write(node.dir.path().join("go"), "").unwrap();
    let ending_pid = i32::try_from(ending.root_pids[0]).unwrap();
    eventually("it ends while no agent runs", || (!is_alive(ending_pid)).then_some(())).await;
    assert!(is_alive(i32::try_from(running.root_pids[0]).unwrap()));

    node.reopen().await;
    let adopted = node.runtime.container_status(&running.id).unwrap();
    assert_eq!(adopted, running, "same id, pid, start time");
    let again = node.runtime.start_container(&running.id).await;
    assert!(matches!(again, Err(RuntimeError::WrongState { .. })), "{again:?}");
    assert_eq!(node.exited(&ending).await.code, 5, "its code was kept");
    assert_eq!(node.runtime.sandboxes().len(), 2);

    node.runtime.stop_container(&running.id, GRACE).await.unwrap();
    assert_eq!(node.exited(&running).await.code, 143);
    assert_eq!(node.log(&running).matches("started").count(), 1);
}

#[tokio::test]
async fn an_exit_after_adoption_is_announced() {
    let mut node = Node::open().await;
    let container = node.run("late", shell("while [ ! -e go ]; do sleep 0.01; done; exit 6")).await;
    node.reopen().await;
    let mut events = node.runtime.events();
    fs::write(node.dir.path().join("go"), "").unwrap();
    let event = tokio::time::timeout(GRACE, events.recv()).await.unwrap().unwrap();
    assert_eq!(event.container, container.id);
    assert_eq!(node.exit(&container).code, 6);
}

#[tokio::test]
async fn a_killed_shim_takes_its_container_along_and_says_so() {
    let node = Node::open().await;
    let script = "setsid sh -c 'echo inner $$; exec sleep 1000' & echo ready; sleep 1000";
    let container = node.run("orphaned", shell(script)).await;
    let log = eventually("both lines", || {
        let log = node.log(&container);
        (log.lines().count() == 2).then_some(log)
    })
    .await;
    let line = log.lines().find(|line| line.contains("inner")).unwrap();
    let inner = line.rsplit(' ').next().unwrap().parse().unwrap();
    let root = i32::try_from(container.root_pids[0]).unwrap();
    subject::kill_shim_of(root);
    let exit = node.exited(&container).await;
    assert_eq!(exit.reason, ExitReason::Lost);
    assert!(exit.message.contains("shim"), "{}", exit.message);
    assert!(!is_alive(root) && !is_alive(inner));
}

#[tokio::test]
async fn with_die_with_parent_nothing_outlives_the_agent() {
    let mut node = Node::open_with(|config| config.die_with_parent = true).await;
    let container =
        node.run("leaky", shell("trap '' TERM; sleep 1000 & echo child $!; wait")).await;
    let log = eventually("its line", || {
        let log = node.log(&container);
        log.contains("child").then_some(log)
    })
    .await;
    let child = log.trim().rsplit(' ').next().unwrap().parse().unwrap();
    node.drop_runtime();
    let root = i32::try_from(container.root_pids[0]).unwrap();
    eventually("all gone", || (!is_alive(root) && !is_alive(child)).then_some(())).await;
}

#[tokio::test]
async fn wrong_programs_are_refused_with_the_way_out() {
    let node = Node::open().await;
    let sandbox = node.sandbox("wrong").await;
    let created = node
        .runtime
        .create_container(&sandbox.id, node.config(vec!["/no/such/server".to_owned()]))
        .await;
    let Err(RuntimeError::Unrunnable { message }) = created else { panic!("{created:?}") };
    assert!(message.contains("/no/such/server") && message.contains("install"), "{message}");
    assert!(node.runtime.list().is_empty(), "a refused container leaves nothing");
    let good = node.config(shell("exit 0"));
    node.runtime.create_container(&sandbox.id, good).await.expect("the name is free again");
}

#[tokio::test]
async fn environment_directory_user_and_limits_arrive() {
    let node = Node::open().await;
    let sandbox = node.sandbox("setup").await;
    let root = nix::unistd::Uid::effective().is_root();
    let script = "echo id=$(id -u) env=$GREETING dir=$(pwd) files=$(ulimit -n) \
                  home=${HOME:-none} mark=$SWELL_CONTAINER_ID";
    let config = ContainerConfig {
        env: vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("GREETING".to_owned(), "hello".to_owned()),
        ],
        working_dir: Some("/usr".into()),
        run_as: root.then(|| RunAs { uid: 65534, gid: 65534, supplementary_gids: Vec::new() }),
        rlimits: vec![Rlimit { kind: RlimitKind::OpenFiles, soft: 77, hard: 88 }],
        ..node.config(shell(script))
    };
    let created = node.runtime.create_container(&sandbox.id, config).await.unwrap();
    let started = node.runtime.start_container(&created.id).await.unwrap();
    assert_eq!(node.exited(&started).await.code, 0, "{}", node.log(&started));
    let uid = if root { 65534 } else { nix::unistd::Uid::effective().as_raw() };
    let expected = format!("id={uid} env=hello dir=/usr files=77 home=none mark={}", started.id);
    assert!(node.log(&started).contains(&expected), "{}", node.log(&started));
}

#[tokio::test]
async fn logs_are_in_cri_format_and_bounded() {
    let node = Node::open_with(|config| {
        config.log_file_bytes_max = 4096;
        config.log_file_count_max = 3;
    })
    .await;
    let script =
        "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; printf tail";
    let container = node.run("chatty", shell(script)).await;
    node.exited(&container).await;
    let log = node.log(&container);
    let last: Vec<&str> = log.lines().rev().take(1).collect();
    assert!(last[0].ends_with(" F tail") || last[0].ends_with(" stderr F oops"), "{last:?}");
    for line in log.lines() {
        let mut words = line.splitn(4, ' ');
        let stamp = words.next().unwrap();
        assert_eq!((stamp.len(), stamp.ends_with('Z')), (30, true), "{line}");
        assert!(matches!(words.next(), Some("stdout" | "stderr")), "{line}");
        assert_eq!(words.next(), Some("F"), "{line}");
    }
    let dir = container.log_path.parent().unwrap();
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() <= 3, "{files:?}");
    for file in files {
        assert!(file.metadata().unwrap().len() <= 4096);
    }
}

#[tokio::test]
async fn a_shim_is_small() {
    let node = Node::open().await;
    let container = node.run("small", shell("exec sleep 1000")).await;
    let shim = subject::parent_of(i32::try_from(container.root_pids[0]).unwrap());
    let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    let rollup = fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    let private_kb: u64 = rollup
        .lines()
        .filter(|line| line.starts_with("Private_Dirty:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(private_kb < 2048, "{rollup}");
}

#[tokio::test]
async fn groups_hold_the_limits_where_they_may_be_made() {
    let node = Node::open_with(|config| config.cgroups = CgroupUse::Auto).await;
    let sandbox = node.sandbox("grouped").await;
    let config = ContainerConfig {
        resources: Resources { memory_limit_bytes: Some(256 << 20), ..Resources::default() },
        ..node.config(shell("exec sleep 1000"))
    };
    let created = node.runtime.create_container(&sandbox.id, config).await.unwrap();
    let container = node.runtime.start_container(&created.id).await.unwrap();
    let message = node.runtime.version().isolation.message;
    let directories: Vec<_> = container.cgroups.directories().cloned().collect();
    if directories.is_empty() {
        assert!(message.contains("not enforced"), "{message}");
    }
    for dir in &directories {
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(members.trim(), container.root_pids[0].to_string(), "{}", dir.display());
    }
    if let Some(dir) = container.cgroups.v1.get("memory") {
        let limit = fs::read_to_string(dir.join("memory.limit_in_bytes")).unwrap();
        assert_eq!(limit.trim(), (256_u64 << 20).to_string());
    }
    node.runtime.stop_container(&container.id, GRACE).await.unwrap();
    for dir in directories {
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}

#[tokio::test]
async fn a_container_over_its_memory_is_reported_as_oom_killed() {
    let node = Node::open_with(|config| config.cgroups = CgroupUse::Auto).await;
    let sandbox = node.sandbox("hungry").await;
    let config = ContainerConfig {
        resources: Resources { memory_limit_bytes: Some(16 << 20), ..Resources::default() },
        ..node.config(shell("x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}"))
    };
    let created = node.runtime.create_container(&sandbox.id, config).await.unwrap();
    let container = node.runtime.start_container(&created.id).await.unwrap();
    let exit = node.exited(&container).await;
    let limited = container.cgroups.v1.contains_key("memory")
        || container.cgroups.unified.as_ref().is_some_and(|dir| dir.join("memory.max").exists());
    // Where no group may be made the program simply ends.
    assert_eq!(exit.reason == ExitReason::OomKilled, limited && exit.code != 0, "{exit:?}");
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "CI tells by the environment that nothing may be skipped"
)]
async fn a_container_that_cannot_be_prepared_leaves_no_group() {
    let node = Node::open_with(|config| config.cgroups = CgroupUse::Auto).await;
    let sandbox = node.sandbox("cramped").await;
    let first = node.config(shell("true"));
    let first = node.runtime.create_container(&sandbox.id, first).await.unwrap();
    // A file system with room for one more name: the container's folder, and nothing in it.
    let containers = node.config.state_dir.join("containers");
    let Some(mounted) = Mounted::tmpfs(&containers, "nr_inodes=2") else {
        let in_ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(!in_ci, "no file system can be mounted, and CI skips nothing");
        eprintln!("SKIPPED: no file system can be mounted, which takes root");
        return;
    };
    let second = ContainerConfig { name: "second".to_owned(), ..node.config(shell("true")) };
    let error = node.runtime.create_container(&sandbox.id, second).await.unwrap_err();
    assert!(error.to_string().contains("control pipe"), "{error}");
    for group in first.cgroups.directories() {
        let left: Vec<_> = fs::read_dir(group.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("second"))
            .collect();
        assert_eq!(left, [""; 0], "beside {}", group.display());
    }
    drop(mounted);
    node.runtime.remove_container(&first.id).await.unwrap();
}

#[tokio::test]
async fn labels_come_back_after_a_restart() {
    let mut node = Node::open().await;
    let sandbox = node.sandbox("labelled").await;
    let config = ContainerConfig {
        labels: BTreeMap::from([("attempts".to_owned(), "3".to_owned())]),
        ..node.config(shell("exec sleep 1000"))
    };
    let created = node.runtime.create_container(&sandbox.id, config).await.unwrap();
    let never_started = ContainerConfig { name: "other".to_owned(), ..node.config(shell("true")) };
    node.runtime.create_container(&sandbox.id, never_started).await.unwrap();
    node.runtime.start_container(&created.id).await.unwrap();
    node.reopen().await;
    let found: Vec<ContainerStatus> = node.runtime.list();
    assert_eq!(found.len(), 1, "what never ran is not adopted");
    assert_eq!(found[0].config.labels["attempts"], "3");
    assert!(matches!(found[0].state, ContainerState::Running { .. }));
}

#[tokio::test]
async fn a_followed_log_comes_as_it_is_written_and_ends_with_the_container() {
    let node = Node::open_with(|config| config.log_file_bytes_max = 2048).await;
    let script = "echo first; while [ ! -e go ]; do sleep 0.01; done; \
                  i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; echo last";
    let container = node.run("followed", shell(script)).await;
    let runtime = node.runtime.clone();
    let id = container.id.clone();
    let mut events = runtime.events();
    let ended = async move {
        while runtime.container_status(&id).is_ok_and(|status| status.state.is_running()) {
            drop(events.recv().await);
        }
    };
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = read_log(container.log_path.clone(), options, ended).await.unwrap();
    let first = tokio::time::timeout(GRACE, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first, b"first\n");
    fs::write(node.dir.path().join("go"), "").unwrap();
    let rest = async {
        let mut text = Vec::new();
        while let Some(piece) = stream.next().await {
            text.extend(piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    };
    let rest = tokio::time::timeout(GRACE, rest).await.unwrap();
    assert!(rest.ends_with("last\n"), "{rest}");
    assert!(rest.contains("line 99\n"), "{rest}");
}
