//! A pattern as an automaton over sorted texts: a text that starts as the one before continues where the shared
//! start ended, so that of a long list of similar values only the ends are read.

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::start::Config;
use swell_model::Matcher;

/// Tells of one text after another whether a matcher is satisfied; fast when the texts are sorted.
#[derive(Debug)]
pub(crate) struct SortedTexts<'m> {
    matcher: &'m Matcher,
    walk: Option<Walk>,
    /// Whether the matcher wants what the pattern does not match.
    is_negative: bool,
}

#[derive(Debug)]
struct Walk {
    dfa: DFA,
    cache: Cache,
    /// The last text, as far as it was read.
    text: Vec<u8>,
    /// The state before each byte of `text`, and the one behind the last.
    states: Vec<LazyStateID>,
}

impl<'m> SortedTexts<'m> {
    pub(crate) fn new(matcher: &'m Matcher) -> Self {
        use swell_model::MatchOp;
        let is_negative = matches!(matcher.op, MatchOp::NotRegex);
        let walk = matcher.pattern().and_then(|pattern| Walk::new(pattern.as_str()));
        Self { matcher, walk, is_negative }
    }

    /// Whether the matcher is satisfied by the text.
    pub(crate) fn matches(&mut self, text: &str) -> bool {
        if let Some(walk) = &mut self.walk {
            if let Some(matched) = walk.matches(text.as_bytes()) {
                return matched != self.is_negative;
            }
            // A pattern that the automaton has no room or no way for is left to the general engine.
            self.walk = None;
        }
        self.matcher.matches(text)
    }
}

impl Walk {
    /// `None` when the pattern needs more than an automaton.
    fn new(pattern: &str) -> Option<Self> {
        let dfa = DFA::new(pattern).ok()?;
        let mut cache = dfa.create_cache();
        let config = Config::new().anchored(Anchored::Yes);
        let start = dfa.start_state(&mut cache, &config).ok()?;
        Some(Self { dfa, cache, text: Vec::new(), states: vec![start] })
    }

    /// `None` when the automaton gave up, after which it must not be asked again.
    fn matches(&mut self, text: &[u8]) -> Option<bool> {
        let shared = self.text.iter().zip(text).take_while(|(a, b)| a == b).count();
        self.text.truncate(shared);
        self.states.truncate(shared + 1);
        let clears = self.cache.clear_count();
        let mut state = *self.states.last()?;
        for byte in &text[shared..] {
            if state.is_dead() {
                return Some(false);
            }
            state = self.dfa.next_state(&mut self.cache, state, *byte).ok()?;
            if state.is_quit() {
                return None;
            }
            self.text.push(*byte);
            self.states.push(state);
        }
        if state.is_dead() {
            return Some(false);
        }
        let end = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        // States from before a cleared cache mean nothing any more.
        (self.cache.clear_count() == clears && !end.is_quit()).then(|| end.is_match())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::MatchOp;

    use super::*;

    fn check(pattern: &str, texts: &[String]) {
        for op in [MatchOp::Regex, MatchOp::NotRegex] {
            let Ok(matcher) = Matcher::new("l", op, pattern) else { return };
            let mut sorted = SortedTexts::new(&matcher);
            for text in texts {
                assert_eq!(sorted.matches(text), matcher.matches(text), "{pattern} on {text:?}");
            }
        }
    }

    #[test]
    fn patterns_over_similar_texts() {
        let pods: Vec<String> =
            (0..2000).map(|i| format!("app-{:03}-{:05x}", i / 20, i * 7919 % 99991)).collect();
        for pattern in [
            "",
            ".*",
            ".+",
            "app-01.*",
            ".*f$",
            ".*-0[0-9a-f]+",
            "app-(001|013)-.*",
            "(?i)APP-1.*",
            r".*\b00.*",
            r"\p{Greek}+",
            "x.*",
            ".*5",
            "app-.*-.*(a|b)",
        ] {
            check(pattern, &pods);
        }
        check(")|](", &pods);
        check(".*", &["a\nb".to_owned(), "a\nb\n".to_owned(), "é".to_owned()]);
    }

    proptest! {
        #[test]
        fn any_pattern_over_any_texts(pattern in r"[ab.|()*+?\[\]^$é-]{0,10}", texts in prop::collection::vec("[abé\n-]{0,6}", 0..30), sorts in any::<bool>()) {
            let mut texts = texts;
            if sorts {
                texts.sort();
            }
            check(&pattern, &texts);
        }
    }
}
