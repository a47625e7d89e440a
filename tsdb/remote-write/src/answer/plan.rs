//! What to make of an answer (the specifications of remote write 1.0 and 2.0, and Prometheus' `storage/remote/client.go`).

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use swell_model::TimestampMs;
use swell_wire::remote_write::Message;

use crate::point::Counts;

/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(900);

/// An answer as far as it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// The header `Retry-After`.
    pub(crate) retry_after: Option<&'a str>,
    /// The headers of 2.0 that say how many samples, histograms and exemplars were written.
    pub(crate) written: [Option<u64>; 3],
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not sent again.
    Settled(Settled),
    /// It is sent again, at the earliest after the time that the receiver asks for.
    Retry(Option<Duration>),
}

/// A batch that is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// What the receiver has.
    pub(crate) written: Counts,
    /// What it has not, and does not get.
    pub(crate) failed: Counts,
    /// Why not.
    pub(crate) refusal: Option<Refusal>,
}

/// Why something is not sent again although the receiver does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The receiver says no.
    Status(u16),
    /// It says yes, but not as a receiver of 2.0 does: it may have read nothing.
    Unspoken,
    /// It says yes to a part.
    Partly,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the receiver answers {status}"),
            Self::Unspoken => f.write_str(
                "the receiver says yes without the headers of remote write 2.0 and may have read nothing: \
                 set protobuf_message to prometheus.WriteRequest if it speaks 1.0 only",
            ),
            Self::Partly => f.write_str("the receiver wrote a part"),
        }
    }
}

/// What to make of the answer to a request of `sent`.
pub(crate) fn judge(
    answer: &Answer<'_>,
    message: Message,
    sent: Counts,
    retry_on_429: bool,
    now: TimestampMs,
) -> Verdict {
    let nothing = Counts::default();
    let is_good = (200..300).contains(&answer.status);
    if answer.status >= 500 || (answer.status == 429 && retry_on_429) {
        return Verdict::Retry(answer.retry_after.and_then(|text| retry_after(text, now)));
    }
    let written = match (message, is_good) {
        (Message::V1, true) => sent,
        (Message::V1, false) => nothing,
        (Message::V2, _) => {
            let [samples, histograms, exemplars] = answer.written.map(Option::unwrap_or_default);
            Counts { samples, histograms, exemplars }.zip(sent, u64::min)
        }
    };
    let failed = sent.zip(written, |sent, written| sent - written);
    let says_counts = answer.written.iter().any(Option::is_some);
    let refusal = match is_good {
        false => Some(Refusal::Status(answer.status)),
        true if failed == nothing => None,
        true if !says_counts => Some(Refusal::Unspoken),
        true => Some(Refusal::Partly),
    };
    Verdict::Settled(Settled { written, failed, refusal })
}

/// Seconds, or a date; `None` for what is neither, or has passed.
fn retry_after(text: &str, now: TimestampMs) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
            let wait_ms = at.as_millisecond().saturating_sub(now.0);
            Duration::from_millis(u64::try_from(wait_ms).ok()?)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Counts = Counts { samples: 10, histograms: 3, exemplars: 2 };
    const NONE: Counts = Counts { samples: 0, histograms: 0, exemplars: 0 };
    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: TimestampMs = TimestampMs(784_111_777_000);

    #[track_caller]
    fn check(answer: Answer<'_>, message: Message, expected: Verdict) {
        assert_eq!(judge(&answer, message, SENT, false, NOW), expected);
    }

    fn status(status: u16) -> Answer<'static> {
        Answer { status, ..Answer::default() }
    }

    fn settled(written: Counts, failed: Counts, refusal: Option<Refusal>) -> Verdict {
        Verdict::Settled(Settled { written, failed, refusal })
    }

    #[test]
    fn a_yes_is_a_yes_in_1_0() {
        for code in [200, 202, 204] {
            check(status(code), Message::V1, settled(SENT, NONE, None));
        }
    }

    #[test]
    fn in_2_0_the_headers_say_what_was_written() {
        let all = Answer { written: [Some(10), Some(3), Some(2)], ..status(204) };
        check(all, Message::V2, settled(SENT, NONE, None));
        let part = Answer { written: [Some(7), Some(0), None], ..status(400) };
        let written = Counts { samples: 7, histograms: 0, exemplars: 0 };
        let failed = Counts { samples: 3, histograms: 3, exemplars: 2 };
        check(part, Message::V2, settled(written, failed, Some(Refusal::Status(400))));
        let said_yes = Answer { status: 204, ..part };
        check(said_yes, Message::V2, settled(written, failed, Some(Refusal::Partly)));
        check(status(204), Message::V2, settled(NONE, SENT, Some(Refusal::Unspoken)));
        let more = Answer { written: [Some(99), Some(3), Some(2)], ..status(204) };
        check(more, Message::V2, settled(SENT, NONE, None));
    }

    #[test]
    fn a_no_is_not_asked_again_and_a_fault_of_the_receiver_is() {
        for code in [300, 400, 404, 413, 415, 429] {
            let refusal = Some(Refusal::Status(code));
            check(status(code), Message::V1, settled(NONE, SENT, refusal));
        }
        for code in [500, 502, 503, 504] {
            check(status(code), Message::V1, Verdict::Retry(None));
            check(status(code), Message::V2, Verdict::Retry(None));
        }
        let busy = judge(&status(429), Message::V1, SENT, true, NOW);
        assert_eq!(busy, Verdict::Retry(None));
    }

    #[test]
    fn the_receiver_may_say_when() {
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", None),
            ("999999", Some(900)),
            ("Sun, 06 Nov 1994 08:49:42 GMT", Some(5)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let answer = Answer { retry_after: Some(text), ..status(503) };
            let expected = Verdict::Retry(seconds.map(Duration::from_secs));
            check(answer, Message::V1, expected);
        }
    }
}
