//! What the server does with the bytes of an agent's messages, without a connection: for the fuzz targets.

use prost::Message as _;
use swell_model::SampleSink;

use crate::session::Session;
use crate::wire::{AgentKind, AgentMessage};

/// Applies messages, each behind its length in two bytes, to a new session, until one is refused. Gives how many were
/// taken.
pub fn apply_messages(mut bytes: &[u8], sink: &dyn SampleSink) -> usize {
    let mut session = Session::default();
    let mut taken = 0;
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*len))));
        bytes = rest;
        let Ok(AgentMessage { kind }) = AgentMessage::decode(message) else { break };
        let before = session.acknowledged();
        let is_taken = match kind {
            Some(AgentKind::Announce(announce)) => session.announce(&announce.series).is_ok(),
            Some(AgentKind::Batch(batch)) => session.apply(&batch, sink).is_ok(),
            Some(AgentKind::Hello(_)) | None => true,
        };
        assert!(session.acknowledged() >= before, "what is acknowledged stays so");
        if !is_taken {
            break;
        }
        taken += 1;
    }
    taken
}
