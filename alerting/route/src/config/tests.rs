use super::*;
use crate::tree::GroupBy;

fn faults(text: &str) -> Vec<String> {
    match parse_config(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn check(text: &str, part: &str) {
    let found = faults(text);
    assert!(found.iter().any(|fault| fault.contains(part)), "{text}: {part:?} is not in {found:?}");
}

const RECEIVERS: &str = "receivers: [{name: r}]\n";

#[test]
fn children_inherit_what_they_do_not_say() {
    let config = parse_config(
        "route:
  receiver: r
  group_by: [a]
  group_wait: 1s
  repeat_interval: 10m
  labels: {team: x, tier: '1'}
  routes:
  - matchers: ['k=v']
    group_by: []
    labels: {tier: '2'}
    routes: [{matchers: [z=y, 'b=~\"c\"'], continue: true}]
receivers: [{name: r}]
",
    )
    .expect("the configuration is valid");
    let routes: Vec<_> = config.route.iter().map(|(_, route)| route).collect();
    let leaf = routes[2];
    assert_eq!(leaf.receiver, "r");
    assert_eq!(leaf.group_by, GroupBy::Labels([].into()));
    assert_eq!(
        (leaf.group_wait.0, leaf.group_interval.0, leaf.repeat_interval.0),
        (1_000, 300_000, 600_000)
    );
    assert_eq!(
        leaf.labels,
        [("team".to_owned(), "x".to_owned()), ("tier".to_owned(), "2".to_owned())].into()
    );
    assert_eq!(leaf.key, r#"{}/{k="v"}/{b=~"c",z="y"}"#);
    let labels = swell_model::Labels::from_pairs([("a", "1"), ("q", "\"")]);
    assert_eq!(routes[0].group_key(&routes[0].group_labels(&labels)), r#"{}:{a="1"}"#);
    assert!(leaf.continues && !routes[1].continues);
}

#[test]
fn the_first_document_counts() {
    let text = format!("---\nroute: {{receiver: r}}\n{RECEIVERS}---\nroute: {{}}\n");
    assert_eq!(faults(&text), Vec::<String>::new());
}

#[test]
fn faults_name_the_key() {
    for (text, part) in [
        ("", "no route provided"),
        ("route: {}\n", "root route must specify a default receiver"),
        ("route: {receiver: x}\n", "route: undefined receiver \"x\""),
        (
            &format!("route: {{receiver: r, continue: true}}\n{RECEIVERS}"),
            "cannot have continue in root route",
        ),
        (
            &format!("route: {{receiver: r, group_by: ['...', a]}}\n{RECEIVERS}"),
            "wildcard group_by",
        ),
        (
            &format!("route: {{receiver: r, group_interval: 0s}}\n{RECEIVERS}"),
            "group_interval cannot be zero",
        ),
        (&format!("route: {{receiver: r, group_wait: 5}}\n{RECEIVERS}"), "line 1, column"),
        (
            &format!("route: {{receiver: r, routes: [{{matchers: ['a=~(']}}]}}\n{RECEIVERS}"),
            "route.routes[0].matchers",
        ),
        (
            &format!("route: {{receiver: r, routes: [{{mute_time_intervals: [x]}}]}}\n{RECEIVERS}"),
            "undefined time interval \"x\"",
        ),
        ("route: {receiver: r}\nreceivers: [{name: r, webhok_configs: []}]\n", "webhok_configs"),
        (
            "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{}]}]\n",
            "receiver \"r\": webhook_configs[0]: one of url or url_file",
        ),
        (
            "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: 'ftp://x'}]}]\n",
            "url must be an absolute URL",
        ),
        (
            "route: {receiver: r}\nreceivers: [{name: r, dingtalk_configs: [{secret: SECx}]}]\n",
            "one of webhook_url",
        ),
        ("route: {receiver: r}\nreceivers: [{name: r}, {name: r}]\n", "not unique"),
    ] {
        check(text, part);
    }
}

#[test]
fn what_is_known_and_not_supported_is_said() {
    let config = parse_config(
        "global: {smtp_from: a@b.example}
route: {receiver: r, routes: [{matchers: ['foo=a b']}]}
receivers: [{name: r, email_configs: [{to: x}], webhook_configs: [{url: 'http://h', http_config: {proxy_url: x}}]}]
",
    )
    .expect("the configuration is valid");
    assert_eq!(
        config.unsupported,
        [
            "global.smtp_from",
            "receiver \"r\": email_configs",
            "receiver \"r\": webhook_configs[0]: http_config.proxy_url",
        ]
    );
    assert_eq!(config.warnings, [r#"route.routes[0].matchers: write "foo=a b" as "foo=\"a b\"""#]);
}

#[test]
fn routes_name_their_times() {
    let config = parse_config(
        "route:
  receiver: r
  routes: [{mute_time_intervals: [night], active_time_intervals: [week], routes: [{}]}]
receivers: [{name: r}]
time_intervals:
- {name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]}
mute_time_intervals:
- {name: week, time_intervals: [{weekdays: ['monday:friday'], years: [2024], days_of_month: [1, '5:-1']}]}
",
    )
    .expect("the configuration is valid");
    assert_eq!(config.intervals.keys().collect::<Vec<_>>(), ["night", "week"]);
    let muted = |id: usize| {
        let route = config.route.route(crate::RouteId(id));
        (route.muted_in.join(" "), route.active_in.join(" "))
    };
    assert_eq!(muted(1), ("night".into(), "week".into()));
    assert_eq!(muted(2), (String::new(), String::new()), "not inherited");
    let refused = parse_config(
        "route: {receiver: r}\nreceivers: [{name: r}]\ntime_intervals: [{name: n, time_intervals: [{months: [13]}]}]\n",
    );
    let told = format!("{:?}", refused.expect_err("refused"));
    assert!(told.contains("time_intervals[0]: months: 13: month out of range"), "{told}");
}

#[test]
fn secrets_do_not_print() {
    let config = parse_config(
        "route: {receiver: r}
receivers:
- name: r
  webhook_configs: [{url: 'http://h/TOPSECRET', http_config: {authorization: {credentials: TOPSECRET}}}]
  pagerduty_configs: [{routing_key: TOPSECRET}]
  dingtalk_configs: [{webhook_url: 'http://h/TOPSECRET', secret: TOPSECRET}]
  slack_configs: [{api_url: 'http://h/TOPSECRET'}]
",
    )
    .expect("the configuration is valid");
    assert_eq!(config.receivers[0].integrations.len(), 4);
    assert!(!format!("{config:?}").contains("TOPSECRET"));
}
