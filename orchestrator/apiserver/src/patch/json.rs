//! JSON patches (RFC 6902) within bounds: thirty `copy` operations could double a document until memory is
//! out, or nest it until the stack is.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::body::BODY_BYTES_MAX;
use crate::failure::Failure;
use crate::object::{NESTING_MAX, is_deeper_than};

/// Operations of one patch, as in Kubernetes.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes that the `copy` and `move` operations of one patch may handle together, as in Kubernetes.
const COPIED_BYTES_MAX: usize = BODY_BYTES_MAX;

/// Applies `patch`; after an error `document` is as far as the patch came.
pub(crate) fn apply(document: &mut Value, patch: &[PatchOperation]) -> Result<(), Failure> {
    if patch.len() > OPERATIONS_MAX {
        return Err(Failure::patch_too_large(format!(
            "a JSON patch may have {OPERATIONS_MAX} operations, this one has {}",
            patch.len()
        )));
    }
    let mut copied_bytes = 0;
    for (idx, operation) in patch.iter().enumerate() {
        check(document, operation, &mut copied_bytes)?;
        json_patch::patch_unsafe(document, std::slice::from_ref(operation)).map_err(|error| {
            let mut failure = Failure::bad_request(format!(
                "the server rejected our request due to an error in our request: operation {idx} at {}: {}",
                error.path, error.kind
            ));
            failure.code = http::StatusCode::UNPROCESSABLE_ENTITY;
            failure.reason = "Invalid";
            failure
        })?;
    }
    Ok(())
}

fn check(
    document: &Value,
    operation: &PatchOperation,
    copied_bytes: &mut usize,
) -> Result<(), Failure> {
    let (path, value, is_copied) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value), false),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value), false),
        PatchOperation::Move(moves) => (&moves.path, document.pointer(moves.from.as_str()), true),
        PatchOperation::Copy(copy) => (&copy.path, document.pointer(copy.from.as_str()), true),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    let Some(value) = value else { return Ok(()) };
    let levels_above = path.as_str().matches('/').count();
    let levels_left = NESTING_MAX.checked_sub(levels_above);
    if levels_left.is_none_or(|levels| is_deeper_than(value, levels)) {
        return Err(Failure::patch_too_large(format!(
            "the patch nests the object deeper than {NESTING_MAX} levels"
        )));
    }
    if is_copied {
        *copied_bytes += value.to_string().len();
        if *copied_bytes > COPIED_BYTES_MAX {
            return Err(Failure::patch_too_large(format!(
                "the copy and move operations of a patch may handle {COPIED_BYTES_MAX} bytes together"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    fn check(document: Value, patch: Value, expected: Result<Value, StatusCode>) {
        let patch: json_patch::Patch = serde_json::from_value(patch).expect("a patch");
        let mut patched = document;
        let outcome = apply(&mut patched, &patch).map(|()| patched);
        let outcome = outcome.map_err(|failure| failure.code);
        assert!(outcome == expected, "expected {expected:?}, not {:?}", outcome.err());
    }

    #[test]
    fn operations_follow_each_other() {
        check(
            json!({"a": 1}),
            json!([
                {"op": "test", "path": "/a", "value": 1},
                {"op": "copy", "from": "/a", "path": "/b"},
                {"op": "move", "from": "/a", "path": "/c"},
                {"op": "add", "path": "/d", "value": [2]},
                {"op": "remove", "path": "/b"}
            ]),
            Ok(json!({"c": 1, "d": [2]})),
        );
        check(
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 2}]),
            Err(StatusCode::UNPROCESSABLE_ENTITY),
        );
        check(
            json!({}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            Err(StatusCode::UNPROCESSABLE_ENTITY),
        );
    }

    #[test]
    fn a_patch_cannot_double_nest_or_go_on_without_end() {
        let doubling: Vec<_> = (0..40)
            .map(|round| json!({"op": "copy", "from": "/a", "path": format!("/a/{round}")}))
            .collect();
        check(json!({"a": {"x": "y"}}), json!(doubling), Err(StatusCode::PAYLOAD_TOO_LARGE));
        let nesting: Vec<_> = (0..200)
            .map(|round| {
                let path = "/a".repeat(round + 1);
                json!({"op": "add", "path": path, "value": {}})
            })
            .collect();
        check(json!({}), json!(nesting), Err(StatusCode::PAYLOAD_TOO_LARGE));
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); OPERATIONS_MAX + 1];
        check(json!({"a": 1}), json!(many), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
