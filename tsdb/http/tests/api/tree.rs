//! `/parse_query`: the tree as Prometheus' front end reads it.

use serde_json::{Value, json};

use crate::lab::Lab;

async fn tree(query: &str) -> Value {
    Lab::new().post("/api/v1/parse_query", &[("query", query)]).await.data()
}

fn selector(kind: &str, name: &str) -> Value {
    json!({
        "type": kind, "name": name, "offset": 0, "timestamp": null, "startOrEnd": null,
        "matchers": [{"name": "__name__", "value": name, "type": "="}],
        "anchored": false, "smoothed": false,
    })
}

#[tokio::test]
async fn every_kind_of_node_has_its_shape() {
    assert_eq!(tree("1e3").await, json!({"type": "numberLiteral", "val": "1000"}));
    assert_eq!(tree("-Inf").await, json!({"type": "numberLiteral", "val": "-Inf"}));
    assert_eq!(tree("'a'").await, json!({"type": "stringLiteral", "val": "a"}));
    assert_eq!(tree("up").await, selector("vectorSelector", "up"));
    let paren = json!({"type": "parenExpr", "expr": selector("vectorSelector", "up")});
    assert_eq!(tree("(up)").await, paren);
    assert_eq!(tree("-(up)").await, json!({"type": "unaryExpr", "op": "-", "expr": paren}));

    let mut matrix = selector("matrixSelector", "up");
    matrix["range"] = json!(300_000);
    matrix["offset"] = json!(-60_000);
    matrix["timestamp"] = json!(1_500);
    let rate = tree("rate(up[5m] offset -1m @ 1.5)").await;
    assert_eq!(
        rate,
        json!({
            "type": "call",
            "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
            "args": [matrix],
        })
    );
    assert_eq!(tree("round(up)").await["func"]["variadic"], json!(1));
    assert_eq!(tree("label_join(up, 'a', 'b')").await["func"]["variadic"], json!(-1));

    let subquery = tree("max_over_time(up[1h:5m] @ end())").await["args"][0].clone();
    assert_eq!(
        subquery,
        json!({
            "type": "subquery", "expr": selector("vectorSelector", "up"), "range": 3_600_000,
            "offset": 0, "step": 300_000, "timestamp": null, "startOrEnd": "end",
        })
    );
    assert_eq!(
        tree("topk by (job) (2, up)").await,
        json!({
            "type": "aggregation", "op": "topk", "expr": selector("vectorSelector", "up"),
            "param": {"type": "numberLiteral", "val": "2"}, "grouping": ["job"], "without": false,
        })
    );
    let joined = tree("up > bool on (job) group_left (team) down").await;
    assert_eq!(
        joined,
        json!({
            "type": "binaryExpr", "op": ">", "bool": true,
            "lhs": selector("vectorSelector", "up"), "rhs": selector("vectorSelector", "down"),
            "matching": {
                "card": "many-to-one", "labels": ["job"], "on": true, "include": ["team"],
                "fillValues": {"lhs": null, "rhs": null},
            },
        })
    );
    assert_eq!(tree("1 + 2").await["matching"], Value::Null);
}

#[tokio::test]
async fn what_is_no_query_is_told_with_its_place() {
    let lab = Lab::new();
    let answer = lab.get("/api/v1/parse_query", &[("query", "sum(up")]).await;
    answer.is_error(400, "bad_data", "1:7: parse error");
}
