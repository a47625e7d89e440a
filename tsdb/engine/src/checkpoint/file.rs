//! The file of a checkpoint: frames, each under a checksum. `docs/format/checkpoint.md` has the layout.

use std::io;
use std::sync::Arc;

use swell_env::{AppendFile, Dir, ReadFile};

use crate::head::{Given, HeadPart, SealedSegments};

/// Name of the file in the data directory.
pub(crate) const NAME: &str = "checkpoint";
/// The file while it is written.
pub(crate) const NAME_UNFINISHED: &str = "checkpoint.tmp";

/// What a file of frames is.
#[derive(Debug)]
pub(super) struct Format {
    magic: &'static [u8; 8],
    /// The newest version; older ones are read.
    pub(super) version: u32,
}

/// A checkpoint. In version 1 the label index stood in it.
pub(super) const CHECKPOINT: Format = Format { magic: b"SWELLCKP", version: 2 };
/// Labels of the series that a checkpoint has.
pub(super) const LABELS: Format = Format { magic: b"SWELLLBL", version: 1 };

const HEADER_LEN: usize = 16;
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
    /// Which file has the labels of the series.
    Labels,
    /// Labels of the series that came since that file was written.
    LabelsSince,
    /// In that file: a part of the table of labels.
    Table,
}

/// Kinds in the order of their numbers.
const KINDS: [Kind; 14] = [
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
    Kind::Labels,
    Kind::LabelsSince,
    Kind::Table,
];

impl Kind {
    fn number(self) -> u8 {
        let number = KINDS.iter().position(|kind| *kind == self);
        u8::try_from(number.expect("all kinds are listed")).expect("few kinds")
    }
}

/// The content of a file: copies of what changes, and what is shared with the head.
#[derive(Debug, Default)]
pub(super) struct Image {
    frames: Vec<Frame>,
}

#[derive(Debug)]
enum Frame {
    /// Kind and content.
    Bytes(Vec<u8>),
    /// As many frames as they need.
    Segments(SealedSegments),
}

impl Image {
    pub(super) fn push(&mut self, kind: Kind, content: &[u8]) {
        let mut frame = Vec::with_capacity(content.len() + 1);
        frame.push(kind.number());
        frame.extend_from_slice(content);
        self.frames.push(Frame::Bytes(frame));
    }

    /// Takes what the head gives of itself.
    pub(super) fn push_head(&mut self, given: Given<'_>) {
        match given {
            Given::Bytes(part, bytes) => self.push(Kind::Head(part), bytes),
            Given::Segments(segments) => self.frames.push(Frame::Segments(segments)),
        }
    }

    /// Writes the file under its unfinished name and syncs it; `pause` is told of the bytes of each frame. Gives the
    /// bytes written.
    pub(super) fn write(self, dir: &dyn Dir, pause: &mut dyn FnMut(u64)) -> io::Result<u64> {
        remove(dir, NAME_UNFINISHED)?;
        let mut file = FrameWriter::create(dir, NAME_UNFINISHED, &CHECKPOINT)?;
        for frame in self.frames {
            match frame {
                Frame::Bytes(frame) => {
                    let written = file.put(&frame)?;
                    drop(frame);
                    pause(written);
                }
                Frame::Segments(segments) => segments.write(&mut |content| {
                    pause(file.put_content(Kind::Head(HeadPart::Segments), content)?);
                    Ok(())
                })?,
            }
        }
        Ok(file.end()?.bytes)
    }
}

/// Writes a file frame by frame.
#[derive(Debug)]
pub(super) struct FrameWriter {
    file: Arc<dyn AppendFile>,
    next_nr: u32,
    bytes: u64,
    digest: crc32fast::Hasher,
}

/// Tells a file from others that were written under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) bytes: u64,
    /// Checksum of the checksums of all frames.
    pub(super) digest: u32,
}

impl FrameWriter {
    /// Makes the file.
    pub(super) fn create(dir: &dyn Dir, name: &str, format: &Format) -> io::Result<Self> {
        let file = dir.create(name)?;
        file.append(&header(format, format.version))?;
        let digest = crc32fast::Hasher::new();
        Ok(Self { file, next_nr: 0, bytes: HEADER_LEN as u64, digest })
    }

    /// Appends a frame: a byte for the kind, and the content. Gives the bytes it took.
    fn put(&mut self, frame: &[u8]) -> io::Result<u64> {
        let len = u32::try_from(frame.len())
            .map_err(|_| io::Error::other("a part of the head has more than 4 GiB"))?;
        let mut header = [0; FRAME_HEADER_LEN];
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[4..].copy_from_slice(&checksum(self.next_nr, len, frame).to_le_bytes());
        self.digest.update(&header[4..]);
        self.file.append(&header)?;
        self.file.append(frame)?;
        self.next_nr += 1;
        let written = (FRAME_HEADER_LEN + frame.len()) as u64;
        self.bytes += written;
        Ok(written)
    }

    /// Appends a frame with this content; gives the bytes it took.
    pub(super) fn put_content(&mut self, kind: Kind, content: &[u8]) -> io::Result<u64> {
        let mut frame = Vec::with_capacity(content.len() + 1);
        frame.push(kind.number());
        frame.extend_from_slice(content);
        self.put(&frame)
    }

    /// Appends the last frame and syncs the file.
    pub(super) fn end(mut self) -> io::Result<Seal> {
        self.put_content(Kind::End, &[])?;
        self.file.sync()?;
        Ok(Seal { bytes: self.bytes, digest: self.digest.finalize() })
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(dir: &dyn Dir, name: &str) -> io::Result<()> {
    match dir.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn header(format: &Format, version: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(format.magic);
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
    digest: crc32fast::Hasher,
}

impl Frames {
    /// Opens the file.
    pub(super) fn open(dir: &dyn Dir, name: &str, format: &Format) -> Result<Self, Fault> {
        let file = dir.open(name)?;
        let file_len = file.len()?;
        let mut found = [0; HEADER_LEN];
        if file_len < HEADER_LEN as u64 {
            return Err(Fault::Damaged { offset: 0, what: "the file ends early" });
        }
        file.read_at(0, &mut found)?;
        let version = u32::from_le_bytes(found[8..12].try_into().expect("four bytes"));
        if found != header(format, version) {
            return Err(Fault::Damaged { offset: 0, what: "the checksum of the header differs" });
        }
        if !(1..=format.version).contains(&version) {
            return Err(Fault::Newer(version));
        }
        let digest = crc32fast::Hasher::new();
        Ok(Self { file, file_len, at: HEADER_LEN as u64, next_nr: 0, frame: Vec::new(), digest })
    }

    pub(super) const fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Of the file, behind its last frame.
    pub(super) fn seal(self) -> Seal {
        Seal { bytes: self.at, digest: self.digest.finalize() }
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
        self.digest.update(&header[4..]);
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
