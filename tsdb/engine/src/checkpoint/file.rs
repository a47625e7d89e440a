//! The file of a checkpoint: frames, each under a checksum. `docs/format/checkpoint.md` has the layout.

use std::io;
use std::sync::Arc;

use swell_env::{Dir, ReadFile};

use crate::head::HeadPart;

/// Name of the file in the data directory.
pub(crate) const NAME: &str = "checkpoint";
/// The file while it is written.
pub(crate) const NAME_UNFINISHED: &str = "checkpoint.tmp";

const MAGIC: &[u8; 8] = b"SWELLCKP";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 16;
const FRAME_HEADER_LEN: usize = 8;

/// What a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head(HeadPart),
    /// Where the log goes on, and damage met in it.
    Log,
    /// Series that the log's segment defines.
    LogSeries,
    Exemplars,
    Descriptions,
    /// The last frame, without content.
    End,
}

/// Kinds in the order of their numbers.
const KINDS: [Kind; 11] = [
    Kind::Head(HeadPart::Scalars),
    Kind::Head(HeadPart::Index),
    Kind::Head(HeadPart::Groups),
    Kind::Head(HeadPart::Segments),
    Kind::Head(HeadPart::Series),
    Kind::Head(HeadPart::Extras),
    Kind::Log,
    Kind::LogSeries,
    Kind::Exemplars,
    Kind::Descriptions,
    Kind::End,
];

impl Kind {
    fn number(self) -> u8 {
        let number = KINDS.iter().position(|kind| *kind == self);
        u8::try_from(number.expect("all kinds are listed")).expect("few kinds")
    }
}

/// The content of a file, in memory.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// Kind and content.
    frames: Vec<Vec<u8>>,
}

impl Image {
    pub(super) fn push(&mut self, kind: Kind, content: &[u8]) {
        let mut frame = Vec::with_capacity(content.len() + 1);
        frame.push(kind.number());
        frame.extend_from_slice(content);
        self.frames.push(frame);
    }

    /// Writes the file under its unfinished name and syncs it; `pause` is told of the bytes of each frame. Gives the
    /// bytes written.
    pub(super) fn write(mut self, dir: &dyn Dir, pause: &mut dyn FnMut(u64)) -> io::Result<u64> {
        self.push(Kind::End, &[]);
        remove(dir, NAME_UNFINISHED)?;
        let file = dir.create(NAME_UNFINISHED)?;
        file.append(&header(VERSION))?;
        let mut bytes = HEADER_LEN as u64;
        for (nr, frame) in (0u32..).zip(self.frames) {
            let len = u32::try_from(frame.len())
                .map_err(|_| io::Error::other("a part of the head has more than 4 GiB"))?;
            let mut header = [0; FRAME_HEADER_LEN];
            header[..4].copy_from_slice(&len.to_le_bytes());
            header[4..].copy_from_slice(&checksum(nr, len, &frame).to_le_bytes());
            file.append(&header)?;
            file.append(&frame)?;
            let written = (FRAME_HEADER_LEN + frame.len()) as u64;
            bytes += written;
            drop(frame);
            pause(written);
        }
        file.sync()?;
        Ok(bytes)
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(dir: &dyn Dir, name: &str) -> io::Result<()> {
    match dir.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn header(version: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn checksum(frame_nr: u32, len: u32, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame_nr.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// What is wrong with a file, and where.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Damaged {
        offset: u64,
        what: &'static str,
    },
    /// Written by a newer version of this program.
    Newer(u32),
}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

/// Reads a file frame by frame.
#[derive(Debug)]
pub(super) struct Frames {
    file: Arc<dyn ReadFile>,
    file_len: u64,
    at: u64,
    next_nr: u32,
    frame: Vec<u8>,
}

impl Frames {
    /// Opens the file.
    pub(super) fn open(dir: &dyn Dir) -> Result<Self, Fault> {
        let file = dir.open(NAME)?;
        let file_len = file.len()?;
        let mut found = [0; HEADER_LEN];
        if file_len < HEADER_LEN as u64 {
            return Err(Fault::Damaged { offset: 0, what: "the file ends early" });
        }
        file.read_at(0, &mut found)?;
        let version = u32::from_le_bytes(found[8..12].try_into().expect("four bytes"));
        if found != header(version) {
            return Err(Fault::Damaged { offset: 0, what: "the checksum of the header differs" });
        }
        if version != VERSION {
            return Err(Fault::Newer(version));
        }
        Ok(Self { file, file_len, at: HEADER_LEN as u64, next_nr: 0, frame: Vec::new() })
    }

    pub(super) const fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Where the frame at hand starts.
    pub(super) fn frame_start(&self) -> u64 {
        self.at - (FRAME_HEADER_LEN + self.frame.len()) as u64
    }

    /// The next frame; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, &[u8])>, Fault> {
        let offset = self.at;
        let fault = |what| Fault::Damaged { offset, what };
        let left = self.file_len - self.at;
        if left < FRAME_HEADER_LEN as u64 {
            return Err(fault("the file ends early"));
        }
        let mut header = [0; FRAME_HEADER_LEN];
        self.file.read_at(self.at, &mut header)?;
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
        let (len, expected) = (word(0), word(4));
        if u64::from(len) > left - FRAME_HEADER_LEN as u64 {
            return Err(fault("a frame is longer than the file"));
        }
        self.frame.resize(usize::try_from(len).expect("32 bits"), 0);
        self.file.read_at(self.at + FRAME_HEADER_LEN as u64, &mut self.frame)?;
        if checksum(self.next_nr, len, &self.frame) != expected {
            return Err(fault("the checksum differs"));
        }
        self.at += FRAME_HEADER_LEN as u64 + u64::from(len);
        self.next_nr += 1;
        let kind = self.frame.first().and_then(|number| KINDS.get(usize::from(*number)));
        match kind {
            None => Err(fault("the kind of a frame is unknown")),
            Some(Kind::End) if self.at != self.file_len => {
                Err(fault("there is more behind the end"))
            }
            Some(Kind::End) => Ok(None),
            Some(kind) => Ok(Some((*kind, &self.frame[1..]))),
        }
    }
}
