//! Files of others, and of an archive's store.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use sha2::{Digest as _, Sha256};
use swell_archive::{Archive, Store, parquet_files, prometheus_blocks};
use swell_env::ManualClock;
use swell_model::{METRIC_NAME, Matcher, SelectHints, SeriesSource, TimeRange, TimestampMs};

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> =
        RefCell::new(tempfile::tempdir().expect("a folder for files"));
}

/// Reads all that there is. A fault is an answer; what comes is of equal length and its times rise.
fn read_all(source: &dyn SeriesSource) -> bool {
    let Ok(found) = source.select(&[], &SelectHints::range(TimeRange::ALL)) else { return false };
    let mut sample_count = 0;
    for series in found.flatten() {
        for times in [&series.floats.timestamps[..], &series.histograms.timestamps[..]] {
            assert!(times.is_sorted_by(|a, b| a < b), "times rise");
        }
        assert_eq!(series.floats.timestamps.len(), series.floats.values.len());
        assert_eq!(series.histograms.timestamps.len(), series.histograms.values.len());
        sample_count += series.floats.timestamps.len() + series.histograms.timestamps.len();
    }
    let one = [Matcher::equal(METRIC_NAME, "up")];
    drop(source.label_values("job", &one, TimeRange::ALL));
    sample_count > 0
}

/// Any bytes as a Parquet file with samples.
pub(crate) fn parquet(bytes: &[u8]) -> bool {
    FOLDER.with_borrow(|folder| {
        let path = folder.path().join("samples.parquet");
        fs::write(&path, bytes).expect("written");
        parquet_files(&path).is_ok_and(|files| {
            let _rows = files.sample_count();
            let _range = files.range();
            read_all(&files)
        })
    })
}

/// Two lengths of two bytes, then an index, tombstones and chunks of a block of Prometheus. Their checksums are made right.
pub(crate) fn prometheus_block(bytes: &[u8]) -> bool {
    let Some((lengths, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let len = |at: usize| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
    let (index, rest) = rest.split_at(len(0).min(rest.len()));
    let (tombstones, chunks) = rest.split_at(len(2).min(rest.len()));
    let (mut index, mut tombstones, mut chunks) =
        (index.to_vec(), tombstones.to_vec(), chunks.to_vec());
    repair::index(&mut index);
    repair::tombstones(&mut tombstones);
    repair::chunks(&mut chunks);
    FOLDER.with_borrow(|folder| {
        let write = |path: &Path| -> std::io::Result<()> {
            fs::create_dir_all(path.join("chunks"))?;
            fs::write(path.join("meta.json"), br#"{"version":1,"minTime":0,"maxTime":9000000}"#)?;
            fs::write(path.join("index"), &index)?;
            fs::write(path.join("tombstones"), &tombstones)?;
            fs::write(path.join("chunks/000001"), &chunks)
        };
        let path = folder.path().join("block");
        write(&path).expect("written");
        let blocks = prometheus_blocks(&path).unwrap_or_default();
        blocks.iter().all(|block| read_all(block)) && !blocks.is_empty()
    })
}

/// Any bytes as the list of an upload: an archive that has it answers.
pub(crate) fn archive_list(bytes: &[u8]) -> bool {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("_swell/uploads/20261121T000000Z-20261122T000000Z-{}.json", &digest[..32]);
    let objects = Arc::new(InMemory::new());
    thread_local! {
        static CLOCK: Arc<ManualClock> = Arc::new(ManualClock::new(TimestampMs(0)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let name = name.into();
    let put = objects.put(&name, bytes.to_vec().into());
    runtime.block_on(put).expect("memory");
    let store = Store::over(objects, "memory".to_owned()).expect("a store");
    let archive = Archive::new(store, CLOCK.with(Arc::clone) as _, 10_000);
    if archive.refresh().is_err() {
        return false;
    }
    let _totals = (archive.totals(), archive.range(), archive.uploads());
    // Its files are not there.
    let _has_samples = read_all(&archive);
    drop(archive.label_names(&[], TimeRange::ALL));
    true
}

/// Checksums of Prometheus' files, CRC-32C.
mod repair {
    fn put(bytes: &mut [u8], at: usize, checksum: u32) {
        if let Some(place) = bytes.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
    }

    fn crc32c(bytes: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    fn varint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let (mut value, mut shift) = (0_usize, 0);
        for (nr, byte) in bytes.get(at..)?.iter().enumerate().take(4) {
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some((value, at + nr + 1));
            }
        }
        None
    }

    pub(super) fn tombstones(bytes: &mut [u8]) {
        if let Some(end) = bytes.len().checked_sub(4).filter(|end| *end >= 5) {
            put(bytes, end, crc32c(&bytes[5..end]));
        }
    }

    pub(super) fn chunks(bytes: &mut [u8]) {
        let mut at = 8;
        while let Some((len, behind)) = varint(bytes, at) {
            let Some(end) = behind.checked_add(1 + len).filter(|end| end + 4 <= bytes.len()) else {
                return;
            };
            put(bytes, end, crc32c(&bytes[behind..end]));
            at = end + 4;
        }
    }

    pub(super) fn index(bytes: &mut [u8]) {
        let Some(toc) = bytes.len().checked_sub(52) else { return };
        let offset = |bytes: &[u8], nr: usize| {
            let eight = bytes[toc + 8 * nr..toc + 8 * nr + 8].try_into().expect("eight bytes");
            usize::try_from(u64::from_be_bytes(eight)).ok().filter(|at| *at < toc)
        };
        if let Some(symbols) = offset(bytes, 0) {
            let len = bytes
                .get(symbols..symbols + 4)
                .map(|it| u32::from_be_bytes(it.try_into().expect("four bytes")) as usize);
            if let Some(end) = len.map(|len| symbols + 4 + len).filter(|end| end + 4 <= toc) {
                put(bytes, end, crc32c(&bytes[symbols + 4..end]));
            }
        }
        let mut at = offset(bytes, 1).map(|at| at.next_multiple_of(16));
        while let Some((len, behind)) = at.and_then(|at| varint(&bytes[..toc], at)) {
            let end = behind + len;
            if len == 0 || end + 4 > toc {
                break;
            }
            put(bytes, end, crc32c(&bytes[behind..end]));
            at = Some((end + 4).next_multiple_of(16));
        }
        put(bytes, toc + 48, crc32c(&bytes[toc..toc + 48]));
    }
}
