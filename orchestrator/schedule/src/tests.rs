use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    Effect, HostPort, NodeFacts, NodeSelectorTerm, Operator, PodNeeds, Problem, Protocol,
    Requirement, Resources, Taint, Toleration, solve,
};

fn node(name: &str, cpu_milli: i64) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        ready: true,
        allocatable: Resources { cpu_milli, memory_bytes: 8 << 30, other: BTreeMap::new() },
        pod_count_max: 110,
        ..NodeFacts::default()
    }
}

fn pod(name: &str, cpu_milli: i64) -> PodNeeds {
    PodNeeds {
        name: name.to_owned(),
        requests: Resources { cpu_milli, ..Resources::default() },
        owner: Some("web".to_owned()),
        ..PodNeeds::default()
    }
}

fn taint(key: &str, effect: Effect) -> Taint {
    Taint { key: key.to_owned(), value: String::new(), effect }
}

/// Places one pod; answers the node or the explanation.
fn place(pod: PodNeeds, nodes: &[NodeFacts]) -> String {
    let assignment = solve(&Problem { nodes: nodes.to_vec(), pods: vec![pod] });
    let placed = assignment.placed.first().map(|placement| placement.node.clone());
    placed.unwrap_or_else(|| assignment.unplaced.values().map(ToString::to_string).collect())
}

#[test]
fn explanations_are_in_kubernetes_words() {
    let mut cordoned = node("c", 4000);
    cordoned.unschedulable = true;
    let mut tainted = node("t", 4000);
    tainted.taints.push(taint("node.kubernetes.io/not-ready", Effect::NoSchedule));
    let small = node("s", 100);
    let mut full = node("f", 4000);
    full.pod_count = 110;
    let mut unready = node("u", 4000);
    unready.ready = false;
    assert_eq!(place(pod("p", 500), &[]), "no nodes available to schedule pods");
    assert_eq!(
        place(
            pod("p", 500),
            &[
                cordoned.clone(),
                tainted.clone(),
                small.clone(),
                small.clone(),
                full.clone(),
                unready
            ]
        ),
        "0/6 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, \
         1 node(s) were not ready, 1 node(s) were unschedulable, 2 Insufficient cpu."
    );
    let mut picky = pod("p", 1);
    picky.node_selector.insert("zone".to_owned(), "a".to_owned());
    assert_eq!(
        place(picky, std::slice::from_ref(&small)),
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    );
    let mut ports = pod("p", 1);
    let http = HostPort { address: String::new(), protocol: Protocol::Tcp, port: 80 };
    ports.host_ports.push(http.clone());
    let mut taken = node("n", 4000);
    taken.host_ports.push(HostPort { address: "127.0.0.1".to_owned(), ..http });
    assert_eq!(
        place(ports, &[taken]),
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    );
    let mut classy = pod("p", 1);
    classy.runtime_class = Some("process".to_owned());
    let mut oci = node("n", 4000);
    oci.runtime_classes.insert("runc".to_owned());
    assert_eq!(
        place(classy.clone(), std::slice::from_ref(&oci)),
        "0/1 nodes are available: 1 node(s) didn't support the runtime class process."
    );
    oci.runtime_classes.insert("process".to_owned());
    assert_eq!(place(classy, &[oci]), "n");
}

#[test]
fn tolerations_selectors_and_affinity_open_nodes() {
    let mut special = node("special", 4000);
    special.taints.push(taint("gpu", Effect::NoSchedule));
    special.labels.insert("size".to_owned(), "12".to_owned());
    let mut tolerant = pod("p", 1);
    tolerant.tolerations.push(Toleration {
        key: "gpu".to_owned(),
        value: None,
        effect: Some(Effect::NoSchedule),
    });
    assert_eq!(place(tolerant.clone(), std::slice::from_ref(&special)), "special");
    let mut check = |operator, values: &[&str], fits: bool| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let requirement = Requirement { key: "size".to_owned(), operator, values };
        tolerant.node_affinity = Some(vec![
            NodeSelectorTerm::default(),
            NodeSelectorTerm { expressions: vec![requirement], names: Vec::new() },
        ]);
        assert_eq!(
            place(tolerant.clone(), std::slice::from_ref(&special)) == "special",
            fits,
            "{operator:?}"
        );
    };
    check(Operator::In, &["12", "13"], true);
    check(Operator::NotIn, &["12"], false);
    check(Operator::Exists, &[], true);
    check(Operator::DoesNotExist, &[], false);
    check(Operator::Gt, &["9"], true);
    check(Operator::Lt, &["9"], false);
}

#[test]
fn one_owners_pods_spread_and_avoided_nodes_come_last() {
    let mut avoided = node("a", 64_000);
    avoided.taints.push(taint("old", Effect::PreferNoSchedule));
    let nodes = vec![avoided, node("b", 4000), node("c", 4000)];
    let pods = (0..4).map(|idx| pod(&format!("p{idx}"), 100)).collect();
    let assignment = solve(&Problem { nodes, pods });
    let count = |name: &str| assignment.placed.iter().filter(|placed| placed.node == name).count();
    assert_eq!((count("b"), count("c")), (2, 2));
}

#[test]
fn the_important_and_the_old_go_first() {
    let mut pods = vec![pod("young", 600), pod("old", 600), pod("vip", 600)];
    pods[0].created_ms = 2;
    pods[1].created_ms = 1;
    pods[2].created_ms = 3;
    pods[2].priority = 10;
    let assignment = solve(&Problem { nodes: vec![node("n", 1200)], pods });
    let names: Vec<&str> = assignment.placed.iter().map(|placed| placed.pod.as_str()).collect();
    assert_eq!(names, ["vip", "old"]);
    assert!(assignment.unplaced.contains_key("young"));
}

fn any_problem() -> impl Strategy<Value = Problem> {
    let nodes =
        proptest::collection::vec((0_i64..4000, 0_usize..6, any::<bool>(), any::<bool>()), 0..6);
    let pods = proptest::collection::vec(
        (0_i64..2000, 0_i32..3, 0_i64..5, proptest::option::of(1_u16..4)),
        0..12,
    );
    (nodes, pods).prop_map(|(nodes, pods)| Problem {
        nodes: nodes
            .into_iter()
            .enumerate()
            .map(|(idx, (cpu_milli, pod_count_max, ready, unschedulable))| NodeFacts {
                pod_count_max,
                ready,
                unschedulable,
                ..node(&format!("n{idx}"), cpu_milli)
            })
            .collect(),
        pods: pods
            .into_iter()
            .enumerate()
            .map(|(idx, (cpu_milli, priority, created_ms, port))| PodNeeds {
                priority,
                created_ms,
                host_ports: port
                    .map(|port| HostPort { address: String::new(), protocol: Protocol::Tcp, port })
                    .into_iter()
                    .collect(),
                ..pod(&format!("p{idx:02}"), cpu_milli)
            })
            .collect(),
    })
}

fn carried_out(problem: &Problem) -> Problem {
    let mut after = problem.clone();
    for placed in solve(problem).placed {
        let idx = after.pods.iter().position(|pod| pod.name == placed.pod).expect("a waiting pod");
        let pod = after.pods.remove(idx);
        let node = after.nodes.iter_mut().find(|node| node.name == placed.node).expect("a node");
        node.take(&pod);
    }
    after
}

proptest! {
    #[test]
    fn no_node_takes_more_than_it_has(problem in any_problem()) {
        let assignment = solve(&problem);
        prop_assert_eq!(assignment.placed.len() + assignment.unplaced.len(), problem.pods.len());
        for node in carried_out(&problem).nodes {
            prop_assert!(node.requested.cpu_milli <= node.allocatable.cpu_milli);
            prop_assert!(node.pod_count <= node.pod_count_max);
            prop_assert!(node.pod_count == 0 || (node.ready && !node.unschedulable));
            let mut ports = node.host_ports.clone();
            ports.sort();
            ports.dedup();
            prop_assert_eq!(ports.len(), node.host_ports.len());
        }
    }

    #[test]
    fn solving_again_places_nothing_more(problem in any_problem()) {
        prop_assert!(solve(&carried_out(&problem)).placed.is_empty());
    }

    #[test]
    fn the_order_does_not_matter(problem in any_problem()) {
        let mut turned = problem.clone();
        turned.nodes.reverse();
        turned.pods.reverse();
        prop_assert_eq!(solve(&problem), solve(&turned));
    }
}
