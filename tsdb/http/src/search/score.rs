//! How well a name answers a search: between 0 and 1, as Prometheus 3.14 counts (`web/api/v1/search_filters.go`,
//! `util/strutil`). `strsim` gives the same similarity but for names of one letter, and its crate has no subsequences.

/// How a name that does not begin with the term may still answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// All letters of the term in their order, with gaps.
    Subsequence,
    /// The term somewhere in the name, or a similar name (Jaro and Winkler).
    JaroWinkler,
}

/// Names of algorithms, the one that counts unless told first.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 2] =
    [("subsequence", Algorithm::Subsequence), ("jarowinkler", Algorithm::JaroWinkler)];

/// What names are searched for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// A name that answers one of them is found; all names when there are none.
    terms: Vec<Vec<char>>,
    algorithm: Algorithm,
    /// Score from which on a name is found, in hundredths.
    threshold: u32,
    case_sensitive: bool,
}

impl Search {
    pub(crate) fn new(
        terms: &[String],
        algorithm: Algorithm,
        threshold: u32,
        case_sensitive: bool,
    ) -> Self {
        let terms = terms.iter().map(|term| letters(term, case_sensitive)).collect();
        Self { terms, algorithm, threshold, case_sensitive }
    }

    /// The best score of a name over all terms; `None` when it answers none of them.
    pub(crate) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let name = letters(name, self.case_sensitive);
        self.terms.iter().filter_map(|term| self.score_of(term, &name)).max_by(f64::total_cmp)
    }

    fn score_of(&self, term: &[char], name: &[char]) -> Option<f64> {
        if name.starts_with(term) {
            return Some(1.0);
        }
        let threshold = f64::from(self.threshold) / 100.0;
        let reaches = |score: f64| (score > 0.0 && score >= threshold).then_some(score);
        match self.algorithm {
            Algorithm::Subsequence => reaches(subsequence(term, name)),
            Algorithm::JaroWinkler if name.windows(term.len()).any(|part| part == term) => {
                Some(0.9)
            }
            Algorithm::JaroWinkler if self.threshold > 0 => reaches(jaro_winkler(term, name)),
            Algorithm::JaroWinkler => None,
        }
    }
}

fn letters(text: &str, case_sensitive: bool) -> Vec<char> {
    if case_sensitive {
        text.chars().collect()
    } else {
        text.chars().flat_map(char::to_lowercase).collect()
    }
}

/// The squares of the runs in which the term's letters stand, less what the gaps take of the name (half as much behind
/// the last run), over the square of the term: the best of all places to begin, each letter being taken where it comes
/// first. 0 when the letters are not there in this order.
#[expect(clippy::cast_precision_loss, reason = "lengths of names")]
fn subsequence(term: &[char], name: &[char]) -> f64 {
    let (Some(first), true) = (term.first(), term.len() <= name.len()) else { return 0.0 };
    let name_len = name.len() as f64;
    let mut best: f64 = 0.0;
    for start in 0..=name.len() - term.len() {
        if name[start] != *first {
            continue;
        }
        // What cannot be completed from here cannot be from further on.
        let Some(runs) = runs(term, name, start) else { break };
        let mut score = 0.0;
        let mut end = 0;
        for (from, to) in runs {
            score += ((to - from) * (to - from)) as f64 - (from - end) as f64 / name_len;
            end = to;
        }
        score -= (name.len() - end) as f64 / name_len * 0.5;
        best = best.max(score);
    }
    best / (term.len() * term.len()) as f64
}

/// Where the letters of the term stand in the name, from `start` on, joined to half-open runs.
fn runs(term: &[char], name: &[char], start: usize) -> Option<Vec<(usize, usize)>> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut at = start;
    for letter in term {
        at += name[at..].iter().position(|other| other == letter)?;
        match runs.last_mut() {
            Some(run) if run.1 == at => run.1 += 1,
            _ => runs.push((at, at + 1)),
        }
        at += 1;
    }
    Some(runs)
}

/// Letters common to both within half of the longer length, with half a point off for each that is out of order; up to
/// four common letters at the front count a tenth more each.
#[expect(clippy::cast_precision_loss, reason = "lengths of names")]
fn jaro_winkler(one: &[char], other: &[char]) -> f64 {
    if one == other {
        return 1.0;
    }
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut common = Vec::new();
    for (at, letter) in short.iter().enumerate() {
        let near = at.saturating_sub(reach)..(at + reach + 1).min(long.len());
        if let Some(found) = near.into_iter().find(|idx| !taken[*idx] && long[*idx] == *letter) {
            taken[found] = true;
            common.push(*letter);
        }
    }
    if common.is_empty() {
        return 0.0;
    }
    let in_long = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let moved = common.iter().zip(in_long).filter(|(one, other)| one != other).count() as f64;
    let count = common.len() as f64;
    let jaro =
        (count / short.len() as f64 + count / long.len() as f64 + (count - moved / 2.0) / count)
            / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(one, other)| one == other).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(algorithm: Algorithm, threshold: u32, term: &str, name: &str, expected: Option<f64>) {
        let search = Search::new(&[term.to_owned()], algorithm, threshold, true);
        let score = search.score(name);
        let close = match (score, expected) {
            (Some(score), Some(expected)) => (score - expected).abs() < 1e-9,
            (score, expected) => score == expected,
        };
        assert!(close, "{term} in {name}: {score:?}, not {expected:?}");
    }

    #[test]
    fn subsequences_are_scored_by_runs_and_gaps() {
        use Algorithm::Subsequence;
        check(Subsequence, 0, "prom", "prometheus", Some(1.0));
        check(Subsequence, 100, "prometheus", "prometheus", Some(1.0));
        check(Subsequence, 0, "xyz", "prometheus", None);
        check(Subsequence, 0, "Prom", "prometheus", None);
        // p, m and s alone: 3 runs of 1, gaps of 2 and 5 letters.
        check(Subsequence, 0, "pms", "prometheus", Some((3.0 - 0.2 - 0.5) / 9.0));
        check(Subsequence, 99, "pms", "prometheus", None);
        // One run in the middle: a gap of 3 in front, 3 behind at half the rate.
        check(Subsequence, 0, "meth", "prometheus", Some((16.0 - 0.3 - 0.15) / 16.0));
        // The second place to begin is the better one.
        check(Subsequence, 0, "ab", "a_ab", Some((4.0 - 0.5) / 4.0));
        check(Subsequence, 0, "longer", "long", None);
        check(Subsequence, 0, "ü", "größe_ü", Some((1.0 - 6.0 / 7.0) / 1.0));
    }

    #[test]
    fn similar_names_are_found_from_the_threshold_on() {
        use Algorithm::JaroWinkler;
        check(JaroWinkler, 0, "meth", "prometheus", Some(0.9));
        check(JaroWinkler, 0, "martha", "marhta", None);
        // The textbook's pairs.
        check(JaroWinkler, 80, "martha", "marhta", Some(0.961_111_111_1));
        check(JaroWinkler, 80, "dwayne", "duane", Some(0.84));
        check(JaroWinkler, 80, "dixon", "dicksonx", Some(0.813_333_333_3));
        check(JaroWinkler, 97, "martha", "marhta", None);
        check(JaroWinkler, 1, "abc", "xyz", None);
    }

    #[test]
    fn case_counts_if_wanted_and_the_best_term_counts() {
        let terms = ["HTTP".to_owned(), "total".to_owned()];
        let search = |sensitive| Search::new(&terms, Algorithm::JaroWinkler, 0, sensitive);
        assert_eq!(search(false).score("http_requests_total"), Some(1.0));
        assert_eq!(search(true).score("http_requests_total"), Some(0.9));
        assert_eq!(search(true).score("up"), None);
        assert_eq!(Search::new(&[], Algorithm::Subsequence, 100, true).score("up"), Some(1.0));
        let empty = [String::new()];
        assert_eq!(Search::new(&empty, Algorithm::JaroWinkler, 100, true).score("up"), Some(1.0));
    }

    proptest! {
        #[test]
        fn scores_are_between_0_and_1(term in "[ab_é]{0,6}", name in "[ab_é]{0,9}", threshold in 0_u32..=100) {
            for (_, algorithm) in ALGORITHMS {
                let search = Search::new(std::slice::from_ref(&term), algorithm, threshold, true);
                if let Some(score) = search.score(&name) {
                    prop_assert!((0.0..=1.0).contains(&score) && score * 100.0 + 1e-9 >= f64::from(threshold).min(90.0));
                }
            }
        }
    }
}
