//! Patterns of plain text with `.`, `.*` and `.+` between: most of what is asked for. They are matched as they stand;
//! compiling an expression costs as much as a small query.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `.`: one character, whichever.
    One,
    /// `.*`: any text.
    Any,
}

/// Longer patterns are left to the general engine, which does not go back.
const PIECES_MAX: usize = 32;

/// A pattern of this kind; it matches whole texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard(Vec<Piece>);

impl Wildcard {
    /// Reads a pattern; `None` for those of other kinds.
    pub(crate) fn read(pattern: &str) -> Option<Self> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if pieces.len() > PIECES_MAX {
                return None;
            }
            let plain = match c {
                '.' => {
                    let is_many = |c: &char| matches!(c, '*' | '+');
                    match chars.next_if(is_many) {
                        Some('*') => pieces.push(Piece::Any),
                        Some(_) => pieces.extend([Piece::One, Piece::Any]),
                        None => pieces.push(Piece::One),
                    }
                    continue;
                }
                '\\' => chars.next().filter(|c| matches!(c, '.' | '-' | '/'))?,
                c if is_plain(c) => c,
                _ => return None,
            };
            match pieces.last_mut() {
                Some(Piece::Text(text)) => text.push(plain),
                _ => pieces.push(Piece::Text(plain.to_string())),
            }
        }
        Some(Self(pieces))
    }

    /// The text, where that is all there is.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether a whole text matches. Where a piece does not fit, the last `.*` takes one character more.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (pieces, bytes) = (&self.0, text.as_bytes());
        // A text at the end fits there or nowhere.
        if let [.., Piece::Text(end)] = &pieces[..]
            && !text.ends_with(end.as_str())
        {
            return false;
        }
        let (mut piece, mut at) = (0, 0);
        // The piece behind the last `.*`, and where it was tried.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let fits = match pieces.get(piece) {
                None if at == bytes.len() => return true,
                None => None,
                Some(Piece::Any) => {
                    retry = Some((piece + 1, at));
                    Some(at)
                }
                Some(Piece::One) => char_end(bytes, at),
                Some(Piece::Text(part)) => {
                    bytes[at..].starts_with(part.as_bytes()).then(|| at + part.len())
                }
            };
            (piece, at) = match (fits, retry) {
                (Some(end), _) => (piece + 1, end),
                (None, Some((behind, from))) => {
                    let Some(mut next) = char_end(bytes, from) else { return false };
                    if let Some(Piece::Text(part)) = pieces.get(behind) {
                        let Some(found) = text[next..].find(part.as_str()) else { return false };
                        next += found;
                    }
                    retry = Some((behind, next));
                    (behind, next)
                }
                (None, None) => return false,
            };
        }
    }
}

/// Characters that mean themselves.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | ' ' | '=')
}

/// Where the character at a position ends; `None` at the end of the text.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let is_inside = |byte: &&u8| **byte & 0xc0 == 0x80;
    let rest = bytes.get(at + 1..)?;
    Some(at + 1 + rest.iter().take_while(is_inside).count())
}
