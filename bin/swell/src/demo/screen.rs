//! Draws a [`Frame`] as lines of text. Pure: the terminal is the caller's.

use super::frame::{
    AlertLine, DecisionLine, Direction, Frame, PhaseProgress, PodLine, PodState, Track, TrackRole,
    clock, clock_tenths,
};
use super::sparkline::{Charset, sparkline};

/// How the terminal wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Whether escape sequences for colour may be used.
    pub(crate) colour: bool,
    /// Characters at hand.
    pub(crate) charset: Charset,
}

/// Decisions on the screen at most.
const DECISION_LINES_MAX: usize = 6;
/// Pods on the screen at most: the demo's HPA allows six, and one may be stopping.
const POD_LINES_MAX: usize = 8;

#[derive(Clone, Copy)]
enum Ink {
    Plain,
    Dim,
    Bold,
    Blue,
    Magenta,
    Yellow,
    Cyan,
}

impl Look {
    fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Blue => "34",
            Ink::Magenta => "35",
            Ink::Yellow => "33",
            Ink::Cyan => "36",
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn shape(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.charset == Charset::Unicode { unicode } else { ascii }
    }

    fn direction(self, direction: Direction) -> &'static str {
        match direction {
            Direction::Up => self.shape("▲", "^"),
            Direction::Down => self.shape("▼", "v"),
            Direction::Held => "=",
        }
    }

    fn sparkline_width(self) -> usize {
        match self.width {
            100.. => 48,
            84..=99 => 36,
            _ => 24,
        }
    }
}

/// The frame as lines, none wider than the terminal.
pub(crate) fn draw(frame: &Frame, look: Look) -> Vec<String> {
    let mut lines =
        vec![head(frame, look), String::new(), phases(&frame.phases, look), String::new()];
    lines.extend(frame.tracks.iter().map(|line| track(line, look)));
    lines.push(time_axis(look));
    lines.push(String::new());
    lines.push(format!("  {}", clip(&frame.next_decision, look.width.saturating_sub(2))));
    if !frame.decisions.is_empty() {
        lines.push(String::new());
        lines.push("  Decisions".to_owned());
        let first = frame.decisions.len().saturating_sub(DECISION_LINES_MAX);
        lines.extend(frame.decisions[first..].iter().map(|line| decision(line, look)));
    }
    let footer = [
        String::new(),
        format!("  {}", look.paint(Ink::Dim, &clip(&frame.footer, look.width - 2))),
    ];
    let mut tail = Vec::new();
    if look.width >= 72 && !frame.pods.is_empty() {
        tail.push(String::new());
        tail.push(pod_head(look));
        tail.extend(frame.pods.iter().take(POD_LINES_MAX).map(|line| pod(line, look)));
    }
    if !frame.alerts.is_empty() {
        tail.push(String::new());
        tail.push("  Alerts".to_owned());
        tail.extend(frame.alerts.iter().map(|line| alert(line, look)));
    }
    let room = look.height.saturating_sub(lines.len() + footer.len() + 1);
    if tail.len() <= room {
        lines.extend(tail);
    } else {
        lines.extend(tail.into_iter().take(room));
    }
    lines.extend(footer);
    lines
}

fn head(frame: &Frame, look: Look) -> String {
    let total = frame.phases.iter().map(|phase| phase.length).sum();
    let left = format!("swell demo        {} of about {}", clock(frame.elapsed), clock(total));
    let gap = look.width.saturating_sub(left.chars().count() + frame.url.chars().count()).max(2);
    format!("{left}{}{}", " ".repeat(gap), look.paint(Ink::Cyan, &frame.url))
}

fn phases(phases: &[PhaseProgress], look: Look) -> String {
    let mut parts = Vec::new();
    for phase in phases {
        let (passed, length) = (phase.passed.as_secs(), phase.length.as_secs());
        parts.push(if phase.passed >= phase.length {
            look.paint(Ink::Cyan, &format!("{} {} {length} s", look.shape("✓", "x"), phase.name))
        } else if passed > 0 || phase.passed.subsec_millis() > 0 {
            let mark = look.shape("▶", ">");
            look.paint(Ink::Bold, &format!("{mark} {} {passed} of {length} s", phase.name))
        } else {
            look.paint(Ink::Dim, &format!("{} {} {length} s", look.shape("·", "."), phase.name))
        });
    }
    parts.push(look.paint(Ink::Dim, &format!("{} summary", look.shape("·", "."))));
    format!("  {}", parts.join("        "))
}

fn track(track: &Track, look: Look) -> String {
    let width = look.sparkline_width();
    let bars = sparkline(&track.history, width, look.charset);
    let painted = match track.role {
        TrackRole::Load => look.paint(Ink::Blue, &bars.iter().collect::<String>()),
        TrackRole::Latency => look.paint(Ink::Magenta, &bars.iter().collect::<String>()),
        TrackRole::Replicas => look.paint(Ink::Cyan, &bars.iter().collect::<String>()),
        TrackRole::Cpu { tolerated_max } => {
            let shown = &track.history[track.history.len().saturating_sub(width)..];
            let pad = width - shown.len();
            let ink = |idx: usize| match idx.checked_sub(pad).and_then(|idx| shown[idx]) {
                Some(value) if value > tolerated_max => Ink::Yellow,
                _ => Ink::Plain,
            };
            bars.iter()
                .enumerate()
                .map(|(idx, bar)| look.paint(ink(idx), &bar.to_string()))
                .collect()
        }
    };
    let value = format!("{:>10}", track.value);
    let used = 2 + 9 + 11 + 3 + width + 2;
    let note = clip(&track.note, look.width.saturating_sub(used));
    format!(
        "  {:<9}{} {painted}  {}",
        track.name,
        look.paint(Ink::Bold, &format!("{value:<12}")),
        look.paint(Ink::Dim, &note)
    )
}

fn time_axis(look: Look) -> String {
    let width = look.sparkline_width();
    let ago = format!("{width} s ago");
    let middle = format!("{} s", width / 2);
    let gap_left = width / 2 - ago.len();
    let gap_right = width - width / 2 - middle.len() - "now".len();
    let axis = format!("{ago}{}{middle}{}now", " ".repeat(gap_left), " ".repeat(gap_right));
    format!("{}{}", " ".repeat(24), look.paint(Ink::Dim, &axis))
}

fn decision(line: &DecisionLine, look: Look) -> String {
    let sentence = clip(&line.sentence, look.width.saturating_sub(24));
    format!(
        "  {}   {} {:<8}  {sentence}",
        look.paint(Ink::Dim, &clock_tenths(line.at)),
        look.paint(Ink::Cyan, look.direction(line.direction)),
        line.change,
    )
}

fn pod_head(look: Look) -> String {
    let head = format!("{:>9}{:>10}   {:<12}{:>8}", "CPU", "req/s", "state", "ready in");
    format!("  {:<24}{}", "Pods", look.paint(Ink::Dim, &head))
}

fn pod(line: &PodLine, look: Look) -> String {
    let cpu = line.cpu_percent.map_or_else(String::new, |value| format!("{value:.0} %"));
    let load = line.requests_per_s.map_or_else(String::new, |value| format!("{value:.0}"));
    let state = match line.state {
        PodState::Ready => format!("{} ready", look.shape("●", "o")),
        PodState::Starting => format!("{} starting", look.shape("◐", "?")),
        PodState::Stopping => format!("{} stopping", look.shape("◌", "-")),
    };
    let ready_in =
        line.ready_in.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()));
    format!("  {:<24}{cpu:>9}{load:>10}   {state:<12}{ready_in:>8}", line.name)
}

fn alert(line: &AlertLine, look: Look) -> String {
    let ink = if line.firing { Ink::Yellow } else { Ink::Plain };
    let text = clip(&line.text, look.width.saturating_sub(line.name.len() + 8));
    format!("  {} {}   {text}", look.paint(ink, look.shape("▲", "!")), line.name)
}

/// The text cut to `width` columns; a cut is marked.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame() -> Frame {
        let seconds = Duration::from_secs;
        Frame {
            elapsed: seconds(48),
            url: "http://127.0.0.1:9090".to_owned(),
            phases: vec![
                PhaseProgress { name: "calm", length: seconds(24), passed: seconds(24) },
                PhaseProgress { name: "surge", length: seconds(30), passed: seconds(24) },
                PhaseProgress { name: "calm", length: seconds(30), passed: seconds(0) },
            ],
            tracks: vec![Track {
                name: "CPU",
                role: TrackRole::Cpu { tolerated_max: 55.0 },
                value: "48 %".to_owned(),
                history: vec![Some(49.0), None, Some(188.0), Some(48.0)],
                note: "target 50 % (45 to 55)".to_owned(),
            }],
            next_decision: "Next decision in 0.6 s.".to_owned(),
            decisions: vec![DecisionLine {
                at: Duration::from_millis(24_210),
                direction: Direction::Up,
                change: "1 to 4".to_owned(),
                sentence: "CPU 188 % against 50 % asks for 4.".to_owned(),
            }],
            pods: vec![PodLine {
                name: "web-6f7c9-8rz7d".to_owned(),
                cpu_percent: Some(48.2),
                requests_per_s: Some(112.4),
                state: PodState::Ready,
                ready_in: Some(Duration::from_millis(940)),
            }],
            alerts: vec![AlertLine {
                name: "DemoBusy".to_owned(),
                firing: false,
                text: "resolved after 6 s".to_owned(),
            }],
            footer: "q quit   ? help".to_owned(),
        }
    }

    #[test]
    fn the_screen_says_what_the_frame_holds() {
        let look = Look { width: 100, height: 40, colour: false, charset: Charset::Unicode };
        let text = draw(&frame(), look).join("\n");
        for part in [
            "swell demo        00:48 of about 01:24",
            "✓ calm 24 s        ▶ surge 24 of 30 s        · calm 30 s        · summary",
            "▃ █▃  target 50 % (45 to 55)",
            "00:24.2   ▲ 1 to 4    CPU 188 % against 50 % asks for 4.",
            "web-6f7c9-8rz7d              48 %       112   ● ready       0.94 s",
            "▲ DemoBusy   resolved after 6 s",
            "q quit",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_colour_is_only_added() {
        for width in [60, 72, 84, 100, 160] {
            let plain = Look { width, height: 40, colour: false, charset: Charset::Ascii };
            for line in draw(&frame(), plain) {
                assert!(line.chars().count() <= width.max(92), "{width}: {line}");
            }
            let coloured = draw(&frame(), Look { colour: true, ..plain }).join("\n");
            assert!(coloured.contains("\x1b[33m"), "CPU above the tolerance is yellow");
        }
    }

    #[test]
    fn a_low_terminal_keeps_the_head_and_the_footer() {
        let look = Look { width: 100, height: 16, colour: false, charset: Charset::Unicode };
        let lines = draw(&frame(), look);
        assert!(lines.len() <= 16, "{}", lines.len());
        assert!(lines.last().expect("a footer").contains("q quit"));
    }
}
