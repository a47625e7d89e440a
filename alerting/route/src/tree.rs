//! The route tree: which routes an alert takes.

use std::collections::{BTreeMap, BTreeSet};

use swell_model::{DurationMs, Labels, Matcher};

use crate::matchers::{canonical, matches_all};

/// A node of the tree, by position; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);

/// By what alerts are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Each label set is a group of its own (`...`).
    All,
    /// Alerts with the same values of these labels.
    Labels(BTreeSet<String>),
}

/// A node with all it inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Receiver's name.
    pub receiver: String,
    /// Grouping.
    pub group_by: GroupBy,
    /// From a group's first alert to its first notification.
    pub group_wait: DurationMs,
    /// Between looks at a group. More than zero.
    pub group_interval: DurationMs,
    /// Until an unchanged group is told again. More than zero.
    pub repeat_interval: DurationMs,
    /// Labels for templates; the values are templates.
    pub labels: BTreeMap<String, String>,
    /// Conditions; all must hold.
    pub matchers: Vec<Matcher>,
    /// Whether siblings that follow are tried after a match.
    pub continues: bool,
    /// Names of time intervals in which nobody is told.
    pub muted_in: Vec<String>,
    /// Names of time intervals outside of which nobody is told; empty for always.
    pub active_in: Vec<String>,
    /// Matchers from the root to here: first part of group keys.
    pub key: String,
    /// Nodes below.
    pub children: Vec<RouteId>,
}

/// All routes; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTree {
    routes: Vec<Route>,
}

impl RouteTree {
    /// A tree out of its nodes, the root first, children after their parents.
    ///
    /// # Panics
    /// Without nodes, or when a child does not come after its parent (which would be a cycle).
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        assert!(!routes.is_empty(), "a route tree has a root");
        for (idx, route) in routes.iter().enumerate() {
            assert!(
                route.children.iter().all(|child| child.0 > idx && child.0 < routes.len()),
                "children follow parents"
            );
        }
        Self { routes }
    }

    /// A node.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.0]
    }

    /// All nodes with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Route)> {
        self.routes.iter().enumerate().map(|(idx, route)| (RouteId(idx), route))
    }

    /// The routes an alert takes, in order, at least one.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> Vec<RouteId> {
        let mut found = Vec::new();
        self.collect(RouteId(0), labels, &mut found);
        found
    }

    fn collect(&self, id: RouteId, labels: &Labels, found: &mut Vec<RouteId>) -> bool {
        let route = self.route(id);
        if id.0 != 0 && !matches_all(&route.matchers, labels) {
            return false;
        }
        let before = found.len();
        for child in &route.children {
            if self.collect(*child, labels, found) && !self.route(*child).continues {
                break;
            }
        }
        if found.len() == before {
            found.push(id);
        }
        true
    }
}

impl Route {
    /// The labels by which an alert is grouped here.
    #[must_use]
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.filtered(|name| names.contains(name)),
        }
    }

    /// The group's key: stable across versions, since paging systems deduplicate by its hash.
    #[must_use]
    pub fn group_key(&self, group_labels: &Labels) -> String {
        let pairs: Vec<String> = group_labels
            .iter()
            .map(|(name, value)| format!("{name}={}", swell_model::quote(value)))
            .collect();
        format!("{}:{{{}}}", self.key, pairs.join(", "))
    }
}

/// The key of a node below `parent` (`None` for the root).
pub(crate) fn route_key(parent: Option<&str>, matchers: &[Matcher]) -> String {
    let mut texts: Vec<String> = matchers.iter().map(canonical).collect();
    texts.sort_unstable();
    let own = format!("{{{}}}", texts.join(","));
    match parent {
        Some(parent) => format!("{parent}/{own}"),
        None => own,
    }
}
