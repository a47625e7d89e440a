//! What alerting offers over HTTP, for the OpenAPI document.

use swell_http::openapi::{Answer, Kind, Operation, Parameter};

const FILTER: Parameter =
    Parameter::new("filter", Kind::Texts, "Matchers of labels, all of which have to hold");
const RECEIVER: Parameter =
    Parameter::new("receiver", Kind::Text, "Pattern of names of receivers; all unless told");
const ACTIVE: Parameter = Parameter::new("active", Kind::Truth, "Those that are not muted");
const SILENCED: Parameter = Parameter::new("silenced", Kind::Truth, "Those that are silenced");
const MUTED: Parameter =
    Parameter::new("muted", Kind::Truth, "Those whose routes are mute at this time");
const SILENCE: Parameter = Parameter::new("id", Kind::Text, "Its name").required();
const INHIBITED: Parameter = Parameter::new("inhibited", Kind::Truth, "Those that others inhibit");

const ALL: &[Operation] = &[
    Operation::new(
        "GET",
        "/api/v1/rules",
        "rules",
        "List groups of rules with their state",
        &[
            Parameter::new("type", Kind::OneOf(&["alert", "record"]), "Which rules"),
            Parameter::new("rule_name[]", Kind::Texts, "Names of rules"),
            Parameter::new("rule_group[]", Kind::Texts, "Names of groups"),
            Parameter::new("file[]", Kind::Texts, "Files of groups"),
            Parameter::new("match[]", Kind::Texts, "Selectors of the labels of rules"),
            Parameter::new("exclude_alerts", Kind::Truth, "Leave the alerts out"),
            Parameter::new("group_limit", Kind::Whole, "Groups in a page, above 0"),
            Parameter::new("group_next_token", Kind::Text, "Where the page begins"),
        ],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET",
        "/api/v1/alerts",
        "rules",
        "List alerts of rules",
        &[],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET",
        "/api/v1/alertmanagers",
        "rules",
        "List whom alerts are handed to",
        &[],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET",
        "/api/swell/v1/notifications",
        "notifications",
        "List the latest notifications and how they went",
        &[],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET",
        "/api/v2/status",
        "alertmanager",
        "Tell version and configuration",
        &[],
        Answer::Json("object"),
    ),
    Operation::new(
        "GET",
        "/api/v2/receivers",
        "alertmanager",
        "List receivers",
        &[],
        Answer::Json("array"),
    ),
    Operation::new(
        "GET",
        "/api/v2/alerts",
        "alertmanager",
        "List alerts",
        &[FILTER, RECEIVER, ACTIVE, SILENCED, INHIBITED, MUTED],
        Answer::Json("array"),
    ),
    Operation::new("POST", "/api/v2/alerts", "alertmanager", "Report alerts", &[], Answer::Nothing)
        .taking(&["application/json"]),
    Operation::new(
        "GET",
        "/api/v2/alerts/groups",
        "alertmanager",
        "List groups of alerts",
        &[FILTER, RECEIVER, ACTIVE, SILENCED, INHIBITED, MUTED],
        Answer::Json("array"),
    ),
    Operation::new(
        "GET",
        "/api/v2/silences",
        "alertmanager",
        "List silences",
        &[
            FILTER,
            Parameter::new("active", Kind::Truth, "Those that mute now"),
            Parameter::new("pending", Kind::Truth, "Those that will"),
            Parameter::new("expired", Kind::Truth, "Those that did"),
        ],
        Answer::Json("array"),
    ),
    Operation::new(
        "POST",
        "/api/v2/silences",
        "alertmanager",
        "Take a silence, or change one",
        &[],
        Answer::Json("object"),
    )
    .taking(&["application/json"]),
    Operation::new(
        "GET",
        "/api/v2/silence/{id}",
        "alertmanager",
        "Show a silence",
        &[SILENCE],
        Answer::Json("object"),
    ),
    Operation::new(
        "DELETE",
        "/api/v2/silence/{id}",
        "alertmanager",
        "End a silence",
        &[SILENCE],
        Answer::Nothing,
    ),
];

/// Operations of [`crate::AlertingHandle::router`].
#[must_use]
pub const fn operations() -> &'static [Operation] {
    ALL
}
