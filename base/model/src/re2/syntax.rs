//! A pattern read as Go's package `regexp/syntax` reads it, with the extensions of Perl: refused in its words, or written anew
//! in the syntax of the regex crate.

use super::error::{PatternError, PatternFault};

/// Copies that repetitions within each other may make of what is innermost.
const COPIES_MAX: u32 = 1000;

/// Names of classes, as in `[[:alpha:]]`.
const CLASS_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Characters with a meaning of their own in the regex crate.
const SPECIAL: &str = r"\.+*?()|[]{}^$";
/// Within a class; of these some only where they stand twice, for operations between classes.
const SPECIAL_IN_CLASS: &str = r"\[]&~-^";

const DIGITS: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = r"\t\n\f\r ";

/// The same pattern in the syntax of the regex crate.
pub(super) fn translated(pattern: &str) -> Result<String, PatternError> {
    let out = String::with_capacity(pattern.len() + 8);
    let reader = Reader {
        whole: pattern,
        rest: pattern,
        out,
        level: Level::new(),
        outer: Vec::new(),
        may_name_classes: true,
    };
    reader.read_all()
}

struct Reader<'p> {
    whole: &'p str,
    /// What is not read yet.
    rest: &'p str,
    out: String,
    /// The group that is being read, or the pattern itself.
    level: Level,
    /// The groups around it, innermost last.
    outer: Vec<Level>,
    /// Whether the `:]` that a class by name needs may still follow: it is looked for in vain once.
    may_name_classes: bool,
}

/// A group that is being read: how many copies the repetitions in it make of what is innermost, at most.
struct Level {
    /// In all pieces but the last.
    done: u32,
    /// In the last piece; none where there is nothing to repeat.
    last: Option<u32>,
}

impl Level {
    const fn new() -> Self {
        Self { done: 1, last: None }
    }

    fn copies(&self) -> u32 {
        self.done.max(self.last.unwrap_or(1))
    }

    /// Something that can be repeated was read.
    fn add(&mut self, copies: u32) {
        self.done = self.copies();
        self.last = Some(copies);
    }

    /// Another alternative begins.
    fn part(&mut self) {
        self.done = self.copies();
        self.last = None;
    }
}

/// `{n}`, `{n,}` or `{n,m}`; numbers beyond all limits are the largest.
struct Counts {
    least: u32,
    most: Option<u32>,
}

impl Counts {
    /// What stands behind a `{`, and behind all of it; none where the brace stands for itself.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (least, rest) = whole_number(text)?;
        let (most, rest) = match rest.strip_prefix(',') {
            None => (Some(least), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => whole_number(rest).map(|(most, rest)| (Some(most), rest))?,
        };
        Some((Self { least, most }, rest.strip_prefix('}')?))
    }

    fn are_valid(&self) -> bool {
        let most = self.most.unwrap_or(self.least);
        self.least <= most && most <= COPIES_MAX
    }

    /// Whether something is copied at all.
    fn copy(&self) -> bool {
        self.most.unwrap_or(self.least) >= 2
    }

    /// Copies of what is innermost in a piece that has so many of it already. What is repeated no times is gone.
    fn copies(&self, of: u32) -> u32 {
        match self.most {
            Some(0) => 1,
            most => most.unwrap_or(self.least).max(1).saturating_mul(of),
        }
    }
}

/// A number at the start of a text, without superfluous zeros, and what stands behind it.
fn whole_number(text: &str) -> Option<(u32, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(len);
    let is_number = len > 0 && (len == 1 || !digits.starts_with('0'));
    is_number.then(|| (digits.parse().unwrap_or(u32::MAX), rest))
}

/// What was read of a text, of which there is a rest.
fn read<'p>(text: &'p str, rest: &str) -> &'p str {
    text.get(..text.len() - rest.len()).unwrap_or(text)
}

fn fault(fault: PatternFault, part: &str) -> PatternError {
    PatternError::Syntax { fault, part: part.to_owned() }
}

impl<'p> Reader<'p> {
    fn read_all(mut self) -> Result<String, PatternError> {
        let mut repetition = None;
        while !self.rest.is_empty() {
            repetition = self.piece(repetition)?;
        }
        if !self.outer.is_empty() {
            return Err(fault(PatternFault::OpenGroup, self.whole));
        }
        Ok(self.out)
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }

    /// Reads a text, if it is the next.
    fn take(&mut self, text: &str) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Reads the next piece. `repetition` is the pattern from the repetition on that stands right before it, if one does;
    /// gives the same for the piece after this one.
    fn piece(&mut self, repetition: Option<&'p str>) -> Result<Option<&'p str>, PatternError> {
        let start = self.rest;
        let Some(c) = self.next() else { return Ok(None) };
        match c {
            '*' | '+' | '?' => {
                self.repeat(start, repetition, None)?;
                return Ok(Some(start));
            }
            '{' => {
                if let Some((counts, behind)) = Counts::read(self.rest) {
                    self.rest = behind;
                    self.repeat(start, repetition, Some(&counts))?;
                    return Ok(Some(start));
                }
                self.character(c.into(), SPECIAL);
                self.level.add(1);
            }
            '(' if self.rest.starts_with('?') => self.extension(start)?,
            '(' => self.open("("),
            ')' => {
                let Some(outer) = self.outer.pop() else {
                    return Err(fault(PatternFault::UnexpectedParen, self.whole));
                };
                let copies = self.level.copies();
                self.level = outer;
                self.level.add(copies);
                self.out.push(')');
            }
            '|' => {
                self.level.part();
                self.out.push('|');
            }
            '[' => self.class(start)?,
            '\\' => self.escape(start)?,
            '^' | '$' | '.' => {
                self.out.push(c);
                self.level.add(1);
            }
            _ => {
                self.character(c.into(), SPECIAL);
                self.level.add(1);
            }
        }
        Ok(None)
    }

    /// A repetition whose operator was read, and which may be lazy.
    fn repeat(
        &mut self,
        start: &'p str,
        before: Option<&'p str>,
        counts: Option<&Counts>,
    ) -> Result<(), PatternError> {
        if counts.is_some_and(|counts| !counts.are_valid()) {
            return Err(fault(PatternFault::RepeatCount, read(start, self.rest)));
        }
        self.take("?");
        if let Some(before) = before {
            return Err(fault(PatternFault::NestedRepetition, read(before, self.rest)));
        }
        let operator = read(start, self.rest);
        let Some(last) = self.level.last else {
            return Err(fault(PatternFault::NothingToRepeat, operator));
        };
        if let Some(counts) = counts {
            let copies = counts.copies(last);
            if counts.copy() && copies > COPIES_MAX {
                return Err(fault(PatternFault::RepeatCount, operator));
            }
            self.level.last = Some(copies);
        }
        self.out.push_str(operator);
        Ok(())
    }

    /// Begins a group.
    fn open(&mut self, text: &str) {
        self.out.push_str(text);
        let outer = std::mem::replace(&mut self.level, Level::new());
        self.outer.push(outer);
    }

    /// What begins with `(?`: a group with a name, or flags for a group or for the rest of one.
    fn extension(&mut self, start: &'p str) -> Result<(), PatternError> {
        let named = start.strip_prefix("(?P<").or_else(|| start.strip_prefix("(?<"));
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let Some((name, behind)) = named.split_once('>') else {
                return Err(fault(PatternFault::NamedCapture, start));
            };
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_part) {
                return Err(fault(PatternFault::NamedCapture, read(start, behind)));
            }
            self.rest = behind;
            self.open(&format!("(?P<{name}>"));
            return Ok(());
        }
        self.take("?");
        // The regex crate takes none twice.
        let mut flags = [('i', None), ('m', None), ('s', None), ('U', None)];
        let (mut is_on, mut is_told) = (true, false);
        while let Some(c) = self.next() {
            if let Some((_, state)) = flags.iter_mut().find(|(flag, _)| *flag == c) {
                *state = Some(is_on);
                is_told = true;
                continue;
            }
            match c {
                '-' if is_on => (is_on, is_told) = (false, false),
                ':' | ')' if is_on || is_told => {
                    let those = |wanted: bool| {
                        let chosen = flags.iter().filter(move |(_, state)| *state == Some(wanted));
                        chosen.map(|(flag, _)| *flag).collect::<String>()
                    };
                    let (on, off) = (those(true), those(false));
                    let minus = if off.is_empty() { "" } else { "-" };
                    let text = format!("(?{on}{minus}{off}{c}");
                    if c == ':' {
                        self.open(&text);
                    } else if !(on.is_empty() && off.is_empty()) {
                        self.out.push_str(&text);
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(fault(PatternFault::PerlSyntax, read(start, self.rest)))
    }

    /// What stands behind `[`, with the `]`.
    fn class(&mut self, start: &'p str) -> Result<(), PatternError> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || !self.take("]") {
            is_first = false;
            if self.class_by_name()? || self.set(self.rest, true)? {
                continue;
            }
            let range = self.rest;
            let low = self.class_character(start)?;
            self.character(low, SPECIAL_IN_CLASS);
            // A range, unless the dash is the last of the class.
            let behind = self.rest.strip_prefix('-');
            let goes_on = |rest: &&str| !rest.is_empty() && !rest.starts_with(']');
            if let Some(behind) = behind.filter(goes_on) {
                self.rest = behind;
                let high = self.class_character(start)?;
                if high < low {
                    return Err(fault(PatternFault::CharRange, read(range, self.rest)));
                }
                self.out.push('-');
                self.character(high, SPECIAL_IN_CLASS);
            }
        }
        self.out.push(']');
        self.level.add(1);
        Ok(())
    }

    /// Reads a class by its name, as `[:alpha:]` or `[:^alpha:]`, if one comes next.
    fn class_by_name(&mut self) -> Result<bool, PatternError> {
        let start = self.rest;
        let Some(inside) = start.strip_prefix("[:").filter(|_| self.may_name_classes) else {
            return Ok(false);
        };
        let Some((name, behind)) = inside.split_once(":]") else {
            self.may_name_classes = false;
            return Ok(false);
        };
        let text = read(start, behind);
        if !CLASS_NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(fault(PatternFault::CharRange, text));
        }
        self.out.push_str(text);
        self.rest = behind;
        Ok(true)
    }

    /// The code of a character of the class that begins at `class`.
    fn class_character(&mut self, class: &'p str) -> Result<u32, PatternError> {
        let start = self.rest;
        match self.next() {
            None => Err(fault(PatternFault::OpenClass, class)),
            Some('\\') => self.escaped(start),
            Some(c) => Ok(c.into()),
        }
    }

    /// What stands behind a backslash outside of classes.
    fn escape(&mut self, start: &'p str) -> Result<(), PatternError> {
        if let Some(c) = ['A', 'z', 'b', 'B'].into_iter().find(|c| self.rest.starts_with(*c)) {
            self.next();
            // Words are of ASCII.
            let is_word = matches!(c, 'b' | 'B');
            self.out.push_str(&if is_word { format!("(?-u:\\{c})") } else { format!("\\{c}") });
            self.level.add(1);
        } else if let Some(quoted) = self.rest.strip_prefix('Q') {
            let (literal, behind) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            self.rest = behind;
            for c in literal.chars() {
                self.character(c.into(), SPECIAL);
                self.level.add(1);
            }
        } else {
            if !self.set(start, false)? {
                let code = self.escaped(start)?;
                self.character(code, SPECIAL);
            }
            self.level.add(1);
        }
        Ok(())
    }

    /// Reads a set of characters by its escape, as `\d` or `\pN`, if `text`, which is not read beyond its backslash, begins
    /// with one.
    fn set(&mut self, text: &'p str, in_class: bool) -> Result<bool, PatternError> {
        let mut chars = text.chars();
        let (Some('\\'), Some(letter)) = (chars.next(), chars.next()) else { return Ok(false) };
        let (not, set) = match letter {
            'd' => ("", DIGITS),
            'w' => ("", WORD),
            's' => ("", SPACE),
            'D' => ("^", DIGITS),
            'W' => ("^", WORD),
            'S' => ("^", SPACE),
            'p' | 'P' => return self.unicode_class(text, chars.as_str(), letter == 'P'),
            _ => return Ok(false),
        };
        self.rest = chars.as_str();
        if in_class && not.is_empty() {
            self.out.push_str(set);
        } else {
            self.out.push_str(&format!("[{not}{set}]"));
        }
        Ok(true)
    }

    /// `\pN` or `\p{Greek}`, of which `name` stands behind the letter. Which names there are the regex crate knows.
    fn unicode_class(
        &mut self,
        text: &'p str,
        name: &'p str,
        is_negative: bool,
    ) -> Result<bool, PatternError> {
        let (name, behind) = if let Some(inside) = name.strip_prefix('{') {
            inside.split_once('}').ok_or_else(|| fault(PatternFault::CharRange, text))?
        } else {
            let len = name.chars().next().map_or(0, char::len_utf8);
            name.split_at(len)
        };
        let (is_negative, bare) =
            name.strip_prefix('^').map_or((is_negative, name), |bare| (!is_negative, bare));
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte);
        if bare.is_empty() || !bare.bytes().all(is_part) {
            return Err(fault(PatternFault::CharRange, read(text, behind)));
        }
        let letter = if is_negative { 'P' } else { 'p' };
        self.out.push_str(&format!("\\{letter}{{{bare}}}"));
        self.rest = behind;
        Ok(true)
    }

    /// The code of the character that stands behind a backslash, with which `start` begins.
    fn escaped(&mut self, start: &'p str) -> Result<u32, PatternError> {
        let Some(c) = self.next() else {
            return Err(fault(PatternFault::TrailingBackslash, ""));
        };
        let code = match c {
            'a' => Some(0x07),
            't' => Some(0x09),
            'n' => Some(0x0a),
            'v' => Some(0x0b),
            'f' => Some(0x0c),
            'r' => Some(0x0d),
            'x' => self.hexadecimal(),
            '0' => Some(self.octal(c)),
            // A single digit would mean a group that matched before, which there is not.
            '1'..='7' if self.rest.starts_with(|next: char| next.is_digit(8)) => {
                Some(self.octal(c))
            }
            _ => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(c.into()),
        };
        code.ok_or_else(|| fault(PatternFault::Escape, read(start, self.rest)))
    }

    /// Two digits, or as many as there are in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.take("{") {
            let (high, low) = (self.next()?, self.next()?);
            return Some(high.to_digit(16)? * 16 + low.to_digit(16)?);
        }
        let mut code = None;
        loop {
            let c = self.next()?;
            if c == '}' {
                return code;
            }
            let sum = code.unwrap_or(0) * 16 + c.to_digit(16)?;
            code = Some(sum).filter(|sum| *sum <= u32::from(char::MAX));
            code?;
        }
    }

    /// Up to three digits, of which the first was read.
    fn octal(&mut self, first: char) -> u32 {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let next = self.rest.chars().next().and_then(|next| next.to_digit(8));
            let Some(digit) = next else { break };
            self.next();
            code = code * 8 + digit;
        }
        code
    }

    /// Writes a character that stands for itself.
    fn character(&mut self, code: u32, special: &str) {
        match char::from_u32(code) {
            Some(c) => {
                if special.contains(c) {
                    self.out.push('\\');
                }
                self.out.push(c);
            }
            // A surrogate, which stands in no text; the engine refuses it.
            None => self.out.push_str(&format!("\\x{{{code:x}}}")),
        }
    }
}
