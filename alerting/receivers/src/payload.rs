//! Payloads of the user's own: JSON whose texts and keys are templates.

use serde_json::{Map, Value as Json};

use crate::request::{RenderError, text};
use crate::templates::Renderer;

/// Renders every text and key. A text that comes out as YAML of another type than text becomes that.
pub(crate) fn render_payload(
    renderer: &Renderer<'_>,
    key: &'static str,
    payload: &Json,
) -> Result<Json, RenderError> {
    Ok(match payload {
        Json::String(template) => typed(text(renderer, key, template)?),
        Json::Array(items) => Json::Array(
            items
                .iter()
                .map(|item| render_payload(renderer, key, item))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(entries) => {
            let mut rendered = Map::new();
            for (name, value) in entries {
                rendered.insert(text(renderer, key, name)?, render_payload(renderer, key, value)?);
            }
            Json::Object(rendered)
        }
        other => other.clone(),
    })
}

fn typed(text: String) -> Json {
    if text.trim().is_empty() {
        return Json::String(text);
    }
    match serde_saphyr::from_str::<Json>(&text) {
        Ok(Json::String(_) | Json::Null) | Err(_) => Json::String(text),
        Ok(value) => value,
    }
}
