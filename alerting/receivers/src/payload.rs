//! Payloads of the user's own: JSON whose texts and keys are templates.

use serde_json::{Map, Value as Json};

use crate::request::RenderError;
use crate::texts::Texts;

/// Renders every text and key. A text that comes out as YAML of another type than text becomes that.
pub(crate) fn render_payload(
    texts: &Texts<'_>,
    key: &'static str,
    payload: &Json,
) -> Result<Json, RenderError> {
    Ok(match payload {
        Json::String(template) => typed(texts.exact(key, template)?),
        Json::Array(items) => Json::Array(
            items.iter().map(|item| render_payload(texts, key, item)).collect::<Result<_, _>>()?,
        ),
        Json::Object(entries) => {
            let mut rendered = Map::new();
            for (name, value) in entries {
                rendered.insert(texts.exact(key, name)?, render_payload(texts, key, value)?);
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
