//! The name of a pod template's content.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use sha2::{Digest as _, Sha256};

/// Letters and digits that form no words and are not mistaken for each other (Kubernetes `util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const LENGTH: usize = 10;

/// A short name for `template` (without its own `pod-template-hash` label). `collision_count` makes another name for
/// the same content.
///
/// Unlike Kubernetes' it is made from the JSON form, so it differs from what a Kubernetes cluster would choose.
///
/// # Errors
/// When the template cannot be written as JSON.
pub fn template_hash(
    template: &PodTemplateSpec,
    collision_count: i32,
) -> Result<String, serde_json::Error> {
    let mut hasher = Sha256::new();
    hasher.update(serde_json::to_vec(&without_hash(template))?);
    if collision_count > 0 {
        hasher.update(collision_count.to_le_bytes());
    }
    let digest = hasher.finalize();
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    Ok(digest.iter().take(LENGTH).map(letter).collect())
}

/// The label that tells the pods of one template from those of another.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

pub(crate) fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    template
}
