//! The terminal of the demo: redrawn in place where that is possible, else one line an event.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, terminal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frame::Frame;
use super::screen::{Look, draw};
use super::sparkline::Charset;

/// Narrower terminals get event lines.
const SCREEN_WIDTH_MIN: u16 = 60;
/// Keys waiting to be handled; more are forgotten, a person types slower.
const KEYS_MAX: usize = 16;
/// How long a look for keys may last, so that the reader ends soon after the demo.
const KEY_PATIENCE: Duration = Duration::from_millis(200);

/// What a person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Quit,
    Explain,
    Pause,
    OpenPage,
    Help,
}

/// Where the demo shows itself.
pub(crate) enum Display {
    /// Redrawn in place.
    Screen { look: Look, raw: bool },
    /// One line an event, on standard error.
    Lines,
}

impl Display {
    /// A screen where standard output is a terminal that is wide enough and free for it.
    pub(crate) fn open(plain: bool) -> Self {
        if plain || !io::stdout().is_terminal() {
            return Self::Lines;
        }
        let Ok((width, height)) = terminal::size() else { return Self::Lines };
        if width < SCREEN_WIDTH_MIN || environment("TERM").as_deref() == Some("dumb") {
            return Self::Lines;
        }
        let raw = io::stdin().is_terminal() && terminal::enable_raw_mode().is_ok();
        let shown = execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide);
        if shown.is_err() {
            if raw {
                report(terminal::disable_raw_mode());
            }
            return Self::Lines;
        }
        let look = Look {
            width: usize::from(width),
            height: usize::from(height),
            colour: environment("NO_COLOR").is_none_or(|value| value.is_empty()),
            charset: charset(),
        };
        Self::Screen { look, raw }
    }

    /// Draws the frame, where there is a screen.
    pub(crate) fn show(&mut self, frame: &Frame) {
        let Self::Screen { look, .. } = self else { return };
        if let Ok((width, height)) = terminal::size() {
            look.width = usize::from(width);
            look.height = usize::from(height);
        }
        let mut text = String::from("\x1b[H");
        for line in draw(frame, *look) {
            text.push_str(&line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        let mut out = io::stdout().lock();
        report(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// Says what happened, where there is no screen.
    pub(crate) fn event(&self, at: Duration, text: &str) {
        if matches!(self, Self::Lines) {
            eprintln!("{}  {text}", super::frame::clock_tenths(at));
        }
    }

    /// Whether a person can press keys.
    pub(crate) fn takes_keys(&self) -> bool {
        matches!(self, Self::Screen { raw: true, .. })
    }

    /// Gives the terminal back as it was.
    pub(crate) fn close(self) {
        if let Self::Screen { raw, .. } = self {
            if raw {
                report(terminal::disable_raw_mode());
            }
            report(execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen));
        }
    }
}

/// A terminal that is gone cannot be told anything more; the log can.
fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the terminal does not answer");
    }
}

/// Reads keys on a thread of their own until `stop`.
pub(crate) fn read_keys(stop: &CancellationToken) -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    let stop = stop.clone();
    tokio::task::spawn_blocking(move || {
        while !stop.is_cancelled() {
            let key = match event::poll(KEY_PATIENCE) {
                Ok(true) => event::read().ok().and_then(|event| key_of(&event)),
                Ok(false) => None,
                Err(_) => return,
            };
            if let Some(key) = key
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn key_of(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind != KeyEventKind::Press {
        return None;
    }
    match key.code {
        // In raw mode Ctrl-C is a key and no signal.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('e') => Some(Key::Explain),
        KeyCode::Char(' ') => Some(Key::Pause),
        KeyCode::Char('o') => Some(Key::OpenPage),
        KeyCode::Char('?') => Some(Key::Help),
        _ => None,
    }
}

/// Block characters where the locale has them.
fn charset() -> Charset {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| environment(name).filter(|value| !value.is_empty()));
    match locale {
        Some(locale) if locale.to_ascii_uppercase().contains("UTF") => Charset::Unicode,
        _ => Charset::Ascii,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the terminal can show is told by the environment"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_mean_what_the_footer_says() {
        let press = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        for (event, expected) in [
            (press(KeyCode::Char('q'), none), Some(Key::Quit)),
            (press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit)),
            (press(KeyCode::Char('c'), none), None),
            (press(KeyCode::Char(' '), none), Some(Key::Pause)),
            (press(KeyCode::Char('?'), none), Some(Key::Help)),
        ] {
            assert_eq!(key_of(&event), expected);
        }
    }
}
